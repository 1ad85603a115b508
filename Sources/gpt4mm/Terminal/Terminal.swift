import Foundation
import Torch

/// Where the program speaks: results on standard output, everything else on standard error.
enum Terminal {
  /// Waits for a reader that is slow.
  static func write(_ text: String) {
    let failure = put(text, to: STDOUT_FILENO, patience: -1)
    // A reader that has gone (`| head`) ends the program quietly.
    if failure == EPIPE { _exit(141) }
    guard failure != 0 else { return }
    note(
      failure == EBADF
        ? "gpt4mm: standard output is closed" : "gpt4mm: standard output cannot be written: is the disk full?"
    )
    _exit(1)
  }

  static func print(_ line: String) { write(line + "\n") }

  /// One that cannot be written is dropped, because work that goes on is worth more.
  static func note(_ line: String) { _ = put(line + "\n", to: STDERR_FILENO, patience: 1000) }

  /// A line that replaces the one before it on a terminal.
  static func redraw(_ line: String) {
    _ = "\r\u{1B}[2K".utf8CString.withUnsafeBytes {
      Descriptor.write(UnsafeRawBufferPointer(rebasing: $0.dropLast()), to: STDERR_FILENO, patience: 1000)
    }
    _ = put(line, to: STDERR_FILENO, patience: 1000)
  }

  /// The terminal's width; nil where there is none.
  static var errorColumns: Int? {
    var size = winsize()
    guard ioctl(FileHandle.standardError.fileDescriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else {
      return nil
    }
    return Int(size.ws_col)
  }

  static var errorIsTerminal: Bool { isatty(FileHandle.standardError.fileDescriptor) == 1 }

  /// Opens what was closed when the program began, so that no file takes its place: results then say that standard
  /// output is closed, and notes are dropped.
  static func openStandardStreams() {
    for (stream, mode) in [(STDIN_FILENO, O_WRONLY), (STDOUT_FILENO, O_RDONLY), (STDERR_FILENO, O_WRONLY)]
    where fcntl(stream, F_GETFD) < 0 {
      // The smallest free number is the stream's.
      _ = open("/dev/null", mode)
    }
  }

  /// Texts, and names of files and of what is in them, reach the terminal without control characters.
  private static func put(_ text: String, to stream: Int32, patience: Int32) -> Int32 {
    var text = Words.shown(text).printable(keeping: ["\n", "\t"])
    return text.withUTF8 { Descriptor.write(UnsafeRawBufferPointer($0), to: stream, patience: patience) }
  }
}

import Foundation

/// Where the program speaks: results on standard output, everything else on standard error.
enum Terminal {
  static func write(_ text: String) { put(text, to: FileHandle.standardOutput) }

  static func print(_ line: String) { write(line + "\n") }

  static func note(_ line: String) { put(line + "\n", to: FileHandle.standardError) }

  static func writeNote(_ text: String) { put(text, to: FileHandle.standardError) }

  /// The terminal's width; nil where there is none.
  static var errorColumns: Int? {
    var size = winsize()
    guard ioctl(FileHandle.standardError.fileDescriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else {
      return nil
    }
    return Int(size.ws_col)
  }

  static var errorIsTerminal: Bool { isatty(FileHandle.standardError.fileDescriptor) == 1 }

  private static func put(_ text: String, to handle: FileHandle) {
    let bytes = Array(text.utf8)
    var done = 0
    while done < bytes.count {
      let written = bytes[done...].withUnsafeBytes {
        Foundation.write(handle.fileDescriptor, $0.baseAddress, $0.count)
      }
      if written > 0 {
        done += written
      } else if errno != EINTR {
        // A reader that has gone (`| head`) ends the program quietly; standard error has nobody else to tell.
        if errno == EPIPE { _exit(141) }
        if handle == FileHandle.standardOutput {
          note("gpt4mm: standard output cannot be written: is the disk full?")
        }
        _exit(1)
      }
    }
  }
}

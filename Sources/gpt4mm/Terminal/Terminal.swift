import Foundation

/// Where the program speaks: results on standard output, everything else on standard error.
enum Terminal {
  static func write(_ text: String) { put(text, to: FileHandle.standardOutput) }

  static func print(_ line: String) { write(line + "\n") }

  static func note(_ line: String) { put(line + "\n", to: FileHandle.standardError) }

  static func writeNote(_ text: String) { put(text, to: FileHandle.standardError) }

  static var errorIsTerminal: Bool { isatty(FileHandle.standardError.fileDescriptor) == 1 }

  private static func put(_ text: String, to handle: FileHandle) {
    // A reader that has gone (`| head`) ends the program quietly.
    do {
      try handle.write(contentsOf: Data(text.utf8))
    } catch {
      exit(141)
    }
  }
}

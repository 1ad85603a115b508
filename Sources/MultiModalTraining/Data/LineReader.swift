import Foundation
import Torch

/// A file's lines one after the other, without their ends, in little memory.
final class LineReader {
  private let url: URL
  private let handle: FileHandle
  private var buffer = Data()
  private var isAtEnd = false
  private var number = 0

  /// A text for one picture is never longer.
  private static let longestLine = 16 << 20
  private static let chunk = 1 << 16

  init(_ url: URL) throws {
    self.url = url
    do { handle = try InputFile.handle(url) } catch let error as FileError {
      throw TrainingError(error.description)
    }
  }

  /// File and number of the last line.
  var place: String { "\(url.path) line \(number)" }

  func next() throws -> Data? {
    var searched = 0
    while true {
      if let end = buffer[(buffer.startIndex + searched)...].firstIndex(of: UInt8(ascii: "\n")) {
        defer { buffer = buffer[(end + 1)...] }
        return line(buffer[..<end])
      }
      searched = buffer.count
      guard searched <= Self.longestLine else {
        throw TrainingError("\(url.path) line \(number + 1) has more than \(Self.longestLine) bytes")
      }
      if isAtEnd {
        defer { buffer = Data() }
        return buffer.isEmpty ? nil : line(buffer)
      }
      do {
        let more = try handle.read(upToCount: Self.chunk) ?? Data()
        isAtEnd = more.isEmpty
        // Of what was read before, only the unfinished line stays.
        if buffer.startIndex > 0 { buffer = Data(buffer) }
        buffer.append(more)
      } catch {
        throw TrainingError("\(url.path) cannot be read: \(error.localizedDescription)")
      }
    }
  }

  private func line(_ bytes: Data) -> Data {
    number += 1
    // Editors on Windows begin a file with a byte order mark.
    let bytes = number == 1 && bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes.dropFirst(3) : bytes
    return Data(bytes.last == UInt8(ascii: "\r") ? bytes.dropLast() : bytes)
  }
}

import Foundation
import LibZ
import Torch

/// An archive's bytes, to read from anywhere in it. One that is compressed by gzip is unpacked into a file without a name, which
/// goes with the last who reads it.
final class ArchiveFile: Sendable {
  let url: URL
  let size: Int
  let isCompressed: Bool
  let stamp: FileStamp
  private let descriptor: Int32

  /// How the names of archives end.
  static let endings = [".tar", ".tar.gz", ".tgz"]

  static func hasName(_ name: String) -> Bool { endings.contains { name.lowercased().hasSuffix($0) } }

  /// - Throws: `TrainingError` for what cannot be read or unpacked.
  init(_ url: URL) throws {
    self.url = url
    stamp = FileStamp(url)
    do {
      let file = try InputFile.descriptor(url)
      var magic: [UInt8] = [0, 0]
      isCompressed = pread(file, &magic, 2, 0) == 2 && magic == [0x1F, 0x8B]
      descriptor = try isCompressed ? Self.unpack(file, url) : file
      size = Int(lseek(descriptor, 0, SEEK_END))
    } catch let error as FileError {
      throw TrainingError(error.description)
    }
  }

  deinit { close(descriptor) }

  /// - Returns: fewer bytes at the end
  func read(_ range: Range<Int>) throws -> Data {
    var data = Data(count: range.count)
    let count = data.withUnsafeMutableBytes { bytes in
      guard let base = bytes.baseAddress else { return 0 }
      var done = 0
      while done < bytes.count {
        let count = pread(
          descriptor, base + done, bytes.count - done, off_t(range.lowerBound + done))
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { return count < 0 ? -1 : done }
        done += count
      }
      return done
    }
    guard count >= 0 else {
      throw FileError("\(url.path) cannot be read: \(String(cString: strerror(errno)))")
    }
    return data.prefix(count)
  }

  /// - Parameter file: is closed
  private static func unpack(_ file: Int32, _ url: URL) throws -> Int32 {
    guard let input = gzdopen(file, "rb") else {
      throw FileError("\(url.path) cannot be unpacked: no memory")
    }
    var name = Array(
      FileManager.default.temporaryDirectory.appendingPathComponent("gpt4mm-XXXXXX").path.utf8CString)
    let output = mkstemp(&name)
    guard output >= 0 else {
      gzclose_r(input)
      throw FileError("\(url.path) cannot be unpacked: \(String(cString: strerror(errno)))")
    }
    unlink(name)
    let copied = Result { try copy(input, to: output, url) }
    let closed = gzclose_r(input)
    do {
      try copied.get()
      // A stream that ends too early shows here.
      guard closed == Z_OK else { throw FileError("\(url.path) is cut short: make it again") }
    } catch {
      close(output)
      throw error
    }
    return output
  }

  private static func copy(_ input: gzFile, to output: Int32, _ url: URL) throws {
    var chunk = [UInt8](repeating: 0, count: 1 << 17)
    while true {
      let count = gzread(input, &chunk, UInt32(chunk.count))
      guard count >= 0 else {
        throw FileError("\(url.path) is damaged and cannot be unpacked: make it again")
      }
      guard count > 0 else { return }
      let failure = chunk.withUnsafeBytes {
        Descriptor.write(UnsafeRawBufferPointer(rebasing: $0[..<Int(count)]), to: output)
      }
      guard failure == 0 else {
        throw FileError(
          "\(url.path) cannot be unpacked into \(FileManager.default.temporaryDirectory.path): "
            + String(cString: strerror(failure)))
      }
    }
  }
}

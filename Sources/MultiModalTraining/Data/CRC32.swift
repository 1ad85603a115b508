import Foundation
import LibZ
import Torch

/// The checksum of zlib and of `cksum -a crc32b`.
enum CRC32 {
  private static let chunk = 1 << 20

  /// Of a whole file.
  static func checksum(of url: URL) throws -> UInt32 {
    let handle = try InputFile.handle(url)
    defer { try? handle.close() }
    var sum: UInt = 0
    while let bytes = try handle.read(upToCount: chunk), !bytes.isEmpty {
      sum = bytes.withUnsafeBytes { crc32_z(sum, $0.bindMemory(to: UInt8.self).baseAddress, $0.count) }
    }
    return UInt32(truncatingIfNeeded: sum)
  }
}

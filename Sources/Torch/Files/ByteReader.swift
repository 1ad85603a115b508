/// Reads little-endian numbers from untrusted bytes; nothing is read beyond the end.
struct ByteReader {
  struct EndOfData: Error {}

  private let bytes: UnsafeRawBufferPointer
  private(set) var position: Int

  init(_ bytes: UnsafeRawBufferPointer, at position: Int = 0) {
    self.bytes = bytes
    self.position = position
  }

  mutating func take(_ count: Int) throws -> UnsafeRawBufferPointer {
    guard count >= 0, position >= 0, count <= bytes.count - position else { throw EndOfData() }
    defer { position += count }
    return UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
  }

  mutating func integer<Number: FixedWidthInteger>(_ type: Number.Type = Number.self) throws -> Number {
    Number(littleEndian: try take(MemoryLayout<Number>.size).loadUnaligned(as: Number.self))
  }

  /// An unsigned 64-bit number as a count or offset.
  mutating func size() throws -> Int {
    guard let size = Int(exactly: try integer(UInt64.self)) else { throw EndOfData() }
    return size
  }

  mutating func text(_ count: Int) throws -> String { String(decoding: try take(count), as: UTF8.self) }

  /// Up to the next newline, which is taken and not returned.
  mutating func line() throws -> String {
    guard let end = bytes[position...].firstIndex(of: UInt8(ascii: "\n")) else { throw EndOfData() }
    let line = try text(end - position)
    position += 1
    return line
  }
}

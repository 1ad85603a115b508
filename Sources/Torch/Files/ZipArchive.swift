/// The entries of a zip archive without compression, as `torch.save` writes it (APPNOTE.TXT 4.3, zip64 included).
struct ZipArchive {
  struct Failure: Error {
    let reason: String
  }

  /// Where each entry's bytes lie.
  let entries: [String: Range<Int>]

  private static let endSignature: UInt32 = 0x0605_4B50
  private static let end64LocatorSignature: UInt32 = 0x0706_4B50
  private static let end64Signature: UInt32 = 0x0606_4B50
  private static let centralSignature: UInt32 = 0x0201_4B50
  private static let localSignature: UInt32 = 0x0403_4B50

  init(_ bytes: UnsafeRawBufferPointer) throws {
    do {
      try self.init(reading: bytes)
    } catch is ByteReader.EndOfData {
      throw Failure(reason: "its zip directory points outside of the file")
    }
  }

  private init(reading bytes: UnsafeRawBufferPointer) throws {
    guard let end = Self.endRecord(bytes) else {
      throw Failure(reason: "its zip directory is missing: it is cut off")
    }
    var reader = ByteReader(bytes, at: end + 10)
    var count = Int(try reader.integer(UInt16.self))
    _ = try reader.integer(UInt32.self)
    var offset = Int(try reader.integer(UInt32.self))
    if count == 0xFFFF || offset == 0xFFFF_FFFF {
      var locator = ByteReader(bytes, at: end - 20)
      guard try locator.integer(UInt32.self) == Self.end64LocatorSignature else {
        throw Failure(reason: "its zip64 directory is missing")
      }
      _ = try locator.integer(UInt32.self)
      var record = ByteReader(bytes, at: try locator.size())
      guard try record.integer(UInt32.self) == Self.end64Signature else {
        throw Failure(reason: "its zip64 directory is missing")
      }
      _ = try record.take(28)
      count = try record.size()
      _ = try record.size()
      offset = try record.size()
    }
    var entries: [String: Range<Int>] = [:]
    var directory = ByteReader(bytes, at: offset)
    for _ in 0..<count {
      let (name, range) = try Self.entry(&directory, bytes)
      guard entries.updateValue(range, forKey: name) == nil else {
        throw Failure(reason: "its entry \"\(name)\" occurs twice")
      }
    }
    self.entries = entries
  }

  /// The end record lies before a comment of at most 65,535 bytes.
  private static func endRecord(_ bytes: UnsafeRawBufferPointer) -> Int? {
    guard bytes.count >= 22 else { return nil }
    let first = max(0, bytes.count - 22 - 0xFFFF)
    return stride(from: bytes.count - 22, through: first, by: -1).first {
      UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: UInt32.self)) == endSignature
    }
  }

  private static func entry(_ directory: inout ByteReader, _ bytes: UnsafeRawBufferPointer) throws -> (
    String, Range<Int>
  ) {
    guard try directory.integer(UInt32.self) == centralSignature else {
      throw Failure(reason: "its zip directory is damaged")
    }
    _ = try directory.take(6)
    let method = try directory.integer(UInt16.self)
    _ = try directory.take(8)
    var packed = Int(try directory.integer(UInt32.self))
    var size = Int(try directory.integer(UInt32.self))
    let nameLength = Int(try directory.integer(UInt16.self))
    let extraLength = Int(try directory.integer(UInt16.self))
    let commentLength = Int(try directory.integer(UInt16.self))
    _ = try directory.take(8)
    var offset = Int(try directory.integer(UInt32.self))
    let name = try directory.text(nameLength)
    var extra = ByteReader(try directory.take(extraLength))
    _ = try directory.take(commentLength)
    while extra.position + 4 <= extraLength {
      let kind = try extra.integer(UInt16.self)
      var field = ByteReader(try extra.take(Int(try extra.integer(UInt16.self))))
      guard kind == 1 else { continue }
      if size == 0xFFFF_FFFF { size = try field.size() }
      if packed == 0xFFFF_FFFF { packed = try field.size() }
      if offset == 0xFFFF_FFFF { offset = try field.size() }
    }
    guard method == 0, packed == size else {
      throw Failure(
        reason: "its entry \"\(name)\" is compressed: save it again with torch.save, which does not compress")
    }
    var local = ByteReader(bytes, at: offset)
    guard try local.integer(UInt32.self) == localSignature else {
      throw Failure(reason: "its entry \"\(name)\" is damaged")
    }
    _ = try local.take(22)
    let localName = Int(try local.integer(UInt16.self))
    let localExtra = Int(try local.integer(UInt16.self))
    _ = try local.take(localName + localExtra)
    let start = local.position
    _ = try local.take(size)
    return (name, start..<start + size)
  }
}

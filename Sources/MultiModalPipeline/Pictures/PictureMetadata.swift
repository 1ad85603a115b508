import Foundation

/// What lies beside the pixels of a picture file. It takes the libraries that read it far more memory or time than pixels
/// of the same size, so it is bounded before they get it.
enum PictureMetadata {
  /// Cameras write some hundred.
  static let maxExifEntries = 2000
  /// Packed, of a colour profile in a PNG. Deflate makes at most a thousand times as much of it.
  private static let longestProfile = 256 << 10

  /// A PNG without its texts, which nobody reads here and which unpack to gigabytes.
  static func withoutTexts(png: Data) -> Data {
    func isDropped(_ chunk: Chunk) -> Bool {
      ["tEXt", "zTXt", "iTXt"].contains(chunk.name)
        || chunk.name == "iCCP" && chunk.body.count > longestProfile
    }
    return png.withUnsafeBytes { bytes in
      let dropped = chunks(bytes, from: 8, isPNG: true).filter(isDropped)
      guard !dropped.isEmpty else { return png }
      var result = Data(capacity: png.count)
      var kept = 0
      for chunk in dropped {
        result += bytes[kept..<chunk.whole.lowerBound]
        kept = chunk.whole.upperBound
      }
      return result + bytes[kept...]
    }
  }

  /// Whether some EXIF data of a file have more entries than any camera writes; those that are led to twice count twice.
  static func hasTooManyEntries(_ file: Data, _ format: PictureFormat) -> Bool {
    file.withUnsafeBytes { bytes in
      exifBlocks(bytes, format).contains {
        entries(UnsafeRawBufferPointer(rebasing: bytes[$0])) > maxExifEntries
      }
    }
  }

  // MARK: Where EXIF data lie

  private static let exifMark = Array("Exif\0\0".utf8)

  private static func exifBlocks(_ bytes: UnsafeRawBufferPointer, _ format: PictureFormat) -> [Range<Int>] {
    switch format {
    case .png: return chunks(bytes, from: 8, isPNG: true).filter { $0.name == "eXIf" }.map(\.body)
    case .webp:
      return chunks(bytes, from: 12, isPNG: false).filter { $0.name == "EXIF" }.map {
        bytes[$0.body].starts(with: exifMark) ? $0.body.dropFirst(exifMark.count) : $0.body
      }
    case .jpeg, .heic, .avif:
      // In a JPEG's segment, and somewhere in a HEIF file.
      var blocks: [Range<Int>] = []
      var position = 0
      while let start = bytes.baseAddress, blocks.count < 16,
        let found = memchr(start + position, Int32(exifMark[0]), bytes.count - position)
      {
        let place = UnsafeRawPointer(found) - start
        position = place + 1
        if bytes[place...].starts(with: exifMark) { blocks.append(place + exifMark.count..<bytes.count) }
      }
      return blocks
    case .gif, .tiff: return []
    }
  }

  private struct Chunk {
    let name: String
    let whole: Range<Int>
    let body: Range<Int>
  }

  /// A PNG's chunks (length, name, body, checksum) or those of a RIFF file (name, length, body, to an even length).
  private static func chunks(_ bytes: UnsafeRawBufferPointer, from start: Int, isPNG: Bool) -> [Chunk] {
    var chunks: [Chunk] = []
    var position = start
    while position + 8 <= bytes.count {
      let words = (0..<2).map { bytes.loadUnaligned(fromByteOffset: position + 4 * $0, as: UInt32.self) }
      let length = Int(isPNG ? UInt32(bigEndian: words[0]) : UInt32(littleEndian: words[1]))
      let body = position + 8..<min(bytes.count, position + 8 + length)
      let end = min(bytes.count, position + 8 + length + (isPNG ? 4 : length % 2))
      let name = String(
        decoding: bytes[position + (isPNG ? 4 : 0)..<position + (isPNG ? 8 : 4)], as: UTF8.self)
      chunks.append(Chunk(name: name, whole: position..<end, body: body))
      position = end
    }
    return chunks
  }

  // MARK: What EXIF data hold

  /// Tags whose value leads to more entries: EXIF's, GPS's and interoperability's.
  private static let pointers: Set<UInt16> = [0x8769, 0x8825, 0xA005]

  /// How many entries are read, as far as they are more than allowed (TIFF 6.0, section 2).
  private static func entries(_ block: UnsafeRawBufferPointer) -> Int {
    guard block.count >= 8 else { return 0 }
    let isBig = block[0] == UInt8(ascii: "M")
    func short(_ place: Int) -> UInt16? {
      guard place >= 0, place + 2 <= block.count else { return nil }
      let value = block.loadUnaligned(fromByteOffset: place, as: UInt16.self)
      return isBig ? UInt16(bigEndian: value) : UInt16(littleEndian: value)
    }
    func long(_ place: Int) -> Int? {
      guard let first = short(place), let second = short(place + 2) else { return nil }
      return isBig ? Int(first) << 16 | Int(second) : Int(second) << 16 | Int(first)
    }
    var places = [long(4) ?? 0]
    var count = 0
    while let place = places.popLast(), count <= maxExifEntries, places.count <= maxExifEntries {
      let inside = min(Int(short(place) ?? 0), (block.count - place - 2) / 12)
      guard inside > 0 else { continue }
      count += inside
      for entry in stride(from: place + 2, to: place + 2 + 12 * inside, by: 12) {
        if let tag = short(entry), pointers.contains(tag), let next = long(entry + 8) { places.append(next) }
      }
      if let next = long(place + 2 + 12 * inside), next > 0 { places.append(next) }
    }
    return places.count > maxExifEntries ? places.count : count
  }
}

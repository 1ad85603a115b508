import Foundation
import Torch

/// The regular files of a tar archive, in order: POSIX ustar and pax, GNU's long names, large sizes and files
/// with holes (https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html,
/// https://www.gnu.org/software/tar/manual/html_section/Sparse-Formats.html).
final class TarReader {
  struct Entry {
    let path: String
    /// Where the file's bytes lie in the archive.
    let range: Range<Int>
    /// For a file that is stored without its holes.
    var sparse: SparseMap?
  }

  private typealias Record = (key: String, value: String)

  let file: ArchiveFile
  var url: URL { file.url }
  private var size: Int { file.size }
  private var offset = 0

  private static let block = 512
  /// Of a long name, a pax header or a map of holes.
  private static let longestHeader = 1 << 20

  init(_ url: URL) throws { file = try ArchiveFile(url) }

  /// The next regular file; nil at the end.
  func next() throws -> Entry? {
    var longName: String?
    var pax: [Record] = []
    while true {
      guard offset + Self.block <= size else {
        guard offset < size else {
          guard offset == size else { throw damaged("ends in the middle of a block") }
          return nil
        }
        try checkBeginning(bytes(offset..<size))
        throw damaged("ends in the middle of a header")
      }
      let header = try bytes(offset..<offset + Self.block)
      if header.allSatisfy({ $0 == 0 }) { return nil }
      try check(header)
      let (extended, stored) = try content(header, pax)
      switch header[156] {
      case UInt8(ascii: "L"): longName = text(try bytes(small: stored))
      case UInt8(ascii: "x"): pax = try records(bytes(small: stored))
      case UInt8(ascii: "0"), 0, UInt8(ascii: "7"), UInt8(ascii: "S"):
        let path = pax.value("GNU.sparse.name") ?? pax.value("path") ?? longName ?? path(header)
        let entry =
          try header[156] == UInt8(ascii: "S")
          ? sparse(path, header, extended: bytes(extended), stored) : sparse(path, pax, stored)
        // Archives older than the standard have folders as files with a slash at the end.
        guard path.utf8.last == UInt8(ascii: "/") else { return entry ?? Entry(path: path, range: stored) }
        (longName, pax) = (nil, [])
      default: (longName, pax) = (nil, [])
      }
    }
  }

  /// Where what belongs to a header lies: more headers, of a file with holes, and its bytes. Moves on behind it.
  private func content(_ header: Data, _ pax: [Record]) throws -> (extended: Range<Int>, stored: Range<Int>) {
    let first = offset + Self.block
    var start = first
    var goesOn = header[156] == UInt8(ascii: "S") && header[482] != 0
    while goesOn {
      guard start + Self.block <= size, start - first < Self.longestHeader else {
        throw damaged("has a map of holes that cannot be read")
      }
      goesOn = try bytes(start + 504..<start + 505) != Data([0])
      start += Self.block
    }
    // Links, devices and folders have no bytes, whatever their headers say.
    let isEmpty = (UInt8(ascii: "1")...UInt8(ascii: "6")).contains(header[156])
    let length = try isEmpty ? 0 : pax.value("size").map { try number($0) } ?? size(header[124..<136])
    guard length <= size - start else { throw damaged("ends in the middle of a file: it is cut short") }
    offset = start + (length + Self.block - 1) / Self.block * Self.block
    return (first..<start, start..<start + length)
  }

  /// A file's bytes.
  func read(_ entry: Entry, atMost limit: Int) throws -> Data {
    guard max(entry.range.count, entry.sparse?.size ?? 0) <= limit else {
      throw TrainingError("\(entry.path) in \(url.path) has more than \(limit) bytes")
    }
    let stored = try bytes(entry.range)
    return entry.sparse?.expanded(stored) ?? stored
  }

  private func bytes(small range: Range<Int>) throws -> Data {
    guard range.count <= Self.longestHeader else { throw damaged("has a header of \(range.count) bytes") }
    return try bytes(range)
  }

  private func bytes(_ range: Range<Int>) throws -> Data {
    let data: Data
    do { data = try file.read(range) } catch { throw TrainingError("\(error)") }
    guard data.count == range.count else { throw damaged("is cut short") }
    return data
  }

  private func damaged(_ what: String) -> TrainingError {
    TrainingError("\(url.path) is a damaged tar file: at byte \(offset) it \(what); make it again")
  }

  // MARK: Headers

  /// The sum of the header's bytes, with the sum's own field as spaces, is in octal digits at 148. Old programs took bytes
  /// as signed.
  private func check(_ header: Data) throws {
    var (sum, signed) = (0, 0)
    for (place, byte) in header.enumerated() {
      let byte = 148..<156 ~= place ? 32 : byte
      sum += Int(byte)
      signed += Int(Int8(bitPattern: byte))
    }
    guard let given = Int(digits(header[148..<156]), radix: 8), given == sum || given == signed else {
      try checkBeginning(header)
      throw damaged("has a header with a wrong checksum")
    }
  }

  /// Zstandard, bzip2 and xz.
  private static let compressed: [[UInt8]] = [
    [0x28, 0xB5, 0x2F, 0xFD], Array("BZh".utf8), [0xFD] + Array("7zXZ".utf8),
  ]

  /// Says of a file that does not begin as an archive what it is.
  private func checkBeginning(_ bytes: Data) throws {
    guard offset == 0 else { return }
    guard !Self.compressed.contains(where: { bytes.starts(with: $0) }) else {
      throw TrainingError(
        "\(url.path) is compressed in a way that is not read: make it a .tar or .tar.gz")
    }
    throw TrainingError("\(url.path) is no tar file")
  }

  /// A name that is not UTF-8 differs from any other.
  private func text(_ bytes: Data) -> String {
    let bytes = bytes.prefix { $0 != 0 }
    return String(validating: bytes, as: UTF8.self)
      ?? bytes.map { $0 < 0x80 ? String(Unicode.Scalar($0)) : String(format: "\\x%02X", $0) }.joined()
  }

  private func digits(_ field: Data) -> String { text(field).trimmingCharacters(in: .whitespaces) }

  /// Octal digits, or with the highest bit of the first byte set, GNU's big-endian binary.
  private func size(_ field: Data) throws -> Int {
    if let first = field.first, first & 0x80 != 0 {
      let value = field.dropFirst(4).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      guard field.prefix(4).elementsEqual([0x80, 0, 0, 0]), value <= UInt64(Int32.max) << 16 else {
        throw damaged("has a wrong file size")
      }
      return Int(value)
    }
    let digits = digits(field)
    // Some programs leave it blank where there is no file.
    guard let value = digits.isEmpty ? 0 : Int(digits, radix: 8), value >= 0 else {
      throw damaged("has a wrong file size")
    }
    return value
  }

  private func number(_ text: String) throws -> Int {
    guard let value = Int(text), value >= 0 else { throw damaged("has a wrong file size") }
    return value
  }

  private func path(_ header: Data) -> String {
    let name = text(header[0..<100])
    let prefix =
      header[257..<262].elementsEqual("ustar".utf8) && header[156] != UInt8(ascii: "S")
      ? text(header[345..<500]) : ""
    return prefix.isEmpty ? name : "\(prefix)/\(name)"
  }

  /// Lines of `length key=value`, where the length counts the whole line.
  private func records(_ bytes: Data) throws -> [(key: String, value: String)] {
    var result: [(String, String)] = []
    var rest = bytes
    while !rest.isEmpty {
      let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
      guard let length = Int(String(decoding: digits, as: UTF8.self)), length > digits.count + 1,
        length <= rest.count
      else { throw damaged("has a pax header that cannot be read") }
      let line = rest.prefix(length).dropFirst(digits.count + 1).dropLast()
      if let equals = line.firstIndex(of: UInt8(ascii: "=")) {
        result.append((text(Data(line[..<equals])), text(Data(line[(equals + 1)...]))))
      }
      rest = rest.dropFirst(length)
    }
    return result
  }

  // MARK: Files with holes

  /// GNU's old format: four pieces in the header, 21 in each block behind it.
  private func sparse(_ path: String, _ header: Data, extended: Data, _ stored: Range<Int>) throws -> Entry {
    func numbers(_ fields: Data, pieces: Int) throws -> [Int] {
      try (0..<2 * pieces).map {
        let start = fields.startIndex + 12 * $0
        return try size(fields[start..<start + 12])
      }
    }
    var all = try numbers(header[386..<482], pieces: 4)
    for start in stride(from: 0, to: extended.count, by: Self.block) {
      all += try numbers(extended.dropFirst(start), pieces: 21)
    }
    return try sparse(path, size: size(header[483..<495]), all, stored)
  }

  /// The pax formats 0.0, 0.1 and 1.0; nil for a file whose bytes are all there.
  private func sparse(_ path: String, _ pax: [Record], _ stored: Range<Int>) throws -> Entry? {
    guard let size = try (pax.value("GNU.sparse.realsize") ?? pax.value("GNU.sparse.size")).map(number) else {
      return nil
    }
    if let map = pax.value("GNU.sparse.map") {
      return try sparse(path, size: size, map.split(separator: ",").map { try number(String($0)) }, stored)
    }
    guard pax.value("GNU.sparse.major") == "1" else {
      let keys = ["GNU.sparse.offset", "GNU.sparse.numbytes"]
      return try sparse(
        path, size: size, pax.filter { keys.contains($0.key) }.map { try number($0.value) }, stored)
    }
    // The map is text before the bytes, in blocks of its own: how many pieces, and their numbers, a line each.
    let front = try bytes(stored.lowerBound..<min(stored.upperBound, stored.lowerBound + Self.longestHeader))
    var lines = front.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)[...]
    func line() throws -> Int { try number(text(Data(lines.popFirst() ?? Data()))) }
    let count = try line()
    guard count < lines.count / 2 + 1 else { throw damaged("has a map of holes that cannot be read") }
    let numbers = try (0..<2 * count).map { _ in try line() }
    let length = lines.first.map { $0.startIndex - front.startIndex } ?? front.count
    let start = stored.lowerBound + (length + Self.block - 1) / Self.block * Self.block
    guard start <= stored.upperBound else { throw damaged("has a map of holes that cannot be read") }
    return try sparse(path, size: size, numbers, start..<stored.upperBound)
  }

  private func sparse(_ path: String, size: Int, _ numbers: [Int], _ stored: Range<Int>) throws -> Entry {
    guard let map = SparseMap(size: size, numbers: numbers, packed: stored.count) else {
      throw damaged("has a map of holes that does not fit its file")
    }
    return Entry(path: path, range: stored, sparse: map)
  }
}

extension [(key: String, value: String)] {
  /// The last one counts.
  fileprivate func value(_ key: String) -> String? { last { $0.key == key }?.value }
}

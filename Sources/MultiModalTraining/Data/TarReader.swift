import Foundation

/// The regular files of an uncompressed tar archive, in order: POSIX ustar and pax, and GNU's long names and large sizes
/// (https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html).
final class TarReader {
  struct Entry {
    let path: String
    /// Where the file's bytes lie in the archive.
    let range: Range<Int>
  }

  let url: URL
  private let handle: FileHandle
  private let size: Int
  private var offset = 0

  private static let block = 512
  /// Of a long name or a pax header.
  private static let longestHeader = 1 << 20

  init(_ url: URL) throws {
    self.url = url
    do {
      handle = try FileHandle(forReadingFrom: url)
      size = Int(try handle.seekToEnd())
    } catch {
      throw TrainingError("\(url.path) cannot be read: \(error.localizedDescription)")
    }
  }

  /// The next regular file; nil at the end.
  func next() throws -> Entry? {
    var longName: String?
    var pax: [String: String] = [:]
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
      let start = offset + Self.block
      let length = try pax["size"].map { try number($0) } ?? size(header)
      guard length <= size - start else {
        throw damaged("ends in the middle of a file: it is cut short")
      }
      let range = start..<start + length
      offset = start + (length + Self.block - 1) / Self.block * Self.block
      switch header[156] {
      case UInt8(ascii: "L"): longName = text(try content(range))
      case UInt8(ascii: "x"): pax = try records(content(range))
      case UInt8(ascii: "0"), 0, UInt8(ascii: "7"):
        let path = pax["path"] ?? longName ?? path(header)
        // Archives older than the standard have folders as files with a slash at the end.
        guard path.utf8.last == UInt8(ascii: "/") else { return Entry(path: path, range: range) }
        longName = nil
        pax = [:]
      default:
        longName = nil
        pax = [:]
      }
    }
  }

  /// A file's bytes.
  func read(_ entry: Entry, atMost limit: Int) throws -> Data {
    guard entry.range.count <= limit else {
      throw TrainingError("\(entry.path) in \(url.path) has more than \(limit) bytes")
    }
    return try bytes(entry.range)
  }

  private func content(_ range: Range<Int>) throws -> Data {
    guard range.count <= Self.longestHeader else { throw damaged("has a header of \(range.count) bytes") }
    return try bytes(range)
  }

  private func bytes(_ range: Range<Int>) throws -> Data {
    do {
      try handle.seek(toOffset: UInt64(range.lowerBound))
      let data = try handle.read(upToCount: range.count) ?? Data()
      guard data.count == range.count else { throw damaged("is cut short") }
      return data
    } catch let error as TrainingError {
      throw error
    } catch {
      throw TrainingError("\(url.path) cannot be read: \(error.localizedDescription)")
    }
  }

  private func damaged(_ what: String) -> TrainingError {
    TrainingError("\(url.path) is a damaged tar file: at byte \(offset) it \(what); make it again")
  }

  // MARK: Headers

  private func text(_ bytes: Data) -> String { String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self) }

  /// The sum of the header's bytes, with the sum's own field as spaces, is in octal digits at 148.
  private func check(_ header: Data) throws {
    let sum = header.enumerated().reduce(0) { $0 + (148..<156 ~= $1.offset ? 32 : Int($1.element)) }
    guard Int(digits(header[148..<156]), radix: 8) == sum else {
      try checkBeginning(header)
      throw damaged("has a header with a wrong checksum")
    }
  }

  /// gzip, Zstandard, bzip2 and xz.
  private static let compressed: [[UInt8]] = [
    [0x1F, 0x8B], [0x28, 0xB5, 0x2F, 0xFD], Array("BZh".utf8), [0xFD] + Array("7zXZ".utf8),
  ]

  /// Says of a file that does not begin as an archive what it is.
  private func checkBeginning(_ bytes: Data) throws {
    guard offset == 0 else { return }
    guard !Self.compressed.contains(where: { bytes.starts(with: $0) }) else {
      throw TrainingError(
        "\(url.path) is compressed: unpack it, because samples are read from anywhere in it")
    }
    throw TrainingError("\(url.path) is no tar file")
  }

  private func digits(_ field: Data) -> String { text(field).trimmingCharacters(in: .whitespaces) }

  /// Octal digits, or with the highest bit of the first byte set, GNU's big-endian binary.
  private func size(_ header: Data) throws -> Int {
    let field = header[124..<136]
    if header[124] & 0x80 != 0 {
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
    let prefix = header[257..<262].elementsEqual("ustar".utf8) ? text(header[345..<500]) : ""
    return prefix.isEmpty ? name : "\(prefix)/\(name)"
  }

  /// Lines of `length key=value`, where the length counts the whole line.
  private func records(_ bytes: Data) throws -> [String: String] {
    var result: [String: String] = [:]
    var rest = bytes
    while !rest.isEmpty {
      let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
      guard let length = Int(String(decoding: digits, as: UTF8.self)), length > digits.count + 1,
        length <= rest.count
      else { throw damaged("has a pax header that cannot be read") }
      let line = rest.prefix(length).dropFirst(digits.count + 1).dropLast()
      if let equals = line.firstIndex(of: UInt8(ascii: "=")) {
        result[String(decoding: line[..<equals], as: UTF8.self)] =
          String(decoding: line[(equals + 1)...], as: UTF8.self)
      }
      rest = rest.dropFirst(length)
    }
    return result
  }
}

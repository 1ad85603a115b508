/// A strict reader of JSON documents from untrusted files: UTF-8, no duplicate keys, bounded depth and size.
package struct JSONScanner {
  package enum Value: Sendable {
    case object([(key: String, value: Value)])
    case array([Value])
    case string(String)
    case integer(Int)
    case number(Double)
    case boolean(Bool)
    case null
  }

  package struct Failure: Error {
    package let reason: String
  }

  /// A name as its bytes: `String` holds canonically equivalent ones for one.
  private struct Name: Hashable {
    let text: String

    static func == (one: Name, other: Name) -> Bool { one.text.utf8.elementsEqual(other.text.utf8) }

    func hash(into hasher: inout Hasher) {
      var text = text
      text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
  }

  private let bytes: UnsafeRawBufferPointer
  private var position = 0
  private let maxDepth: Int
  private let maxValues: Int
  private var count = 0

  private init(_ bytes: UnsafeRawBufferPointer, maxDepth: Int, maxValues: Int) {
    self.bytes = bytes
    self.maxDepth = maxDepth
    self.maxValues = maxValues
  }

  /// - Parameter maxValues: each takes up to 100 bytes here; a description of 100,000 tensors has some 700,000
  /// - Throws: `Failure` with line and column.
  package static func parse(
    _ bytes: UnsafeRawBufferPointer, maxDepth: Int = 16, maxValues: Int = 2_000_000
  ) throws -> Value {
    guard !bytes.starts(with: [0xFF, 0xFE]), !bytes.starts(with: [0xFE, 0xFF]) else {
      throw Failure(reason: "it is UTF-16: save it as UTF-8")
    }
    var scanner = JSONScanner(bytes, maxDepth: maxDepth, maxValues: maxValues)
    // Editors on Windows begin a file with a byte order mark.
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { scanner.position = 3 }
    do {
      let value = try scanner.value(depth: 0)
      scanner.skipSpace()
      guard scanner.position == bytes.count else { throw Failure(reason: "there is text after its end") }
      return value
    } catch let failure as Failure {
      throw Failure(reason: "\(failure.reason) (\(scanner.place))")
    }
  }

  private var place: String {
    let before = bytes[..<min(position, bytes.count)]
    let newline = UInt8(ascii: "\n")
    let start = before.lastIndex(of: newline).map { $0 + 1 } ?? 0
    return "line \(before.count { $0 == newline } + 1), byte \(before.count - start + 1) of it"
  }

  private mutating func skipSpace() {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x09, 0x0A, 0x0D: position += 1
      default: return
      }
    }
  }

  private mutating func next() throws -> UInt8 {
    skipSpace()
    guard position < bytes.count else { throw Failure(reason: "it ends too early") }
    return bytes[position]
  }

  private mutating func expect(_ byte: UInt8) throws {
    guard try next() == byte else {
      throw Failure(
        reason: byte == UInt8(ascii: "\"")
          ? "a name in double quotes is missing" : "\"\(Unicode.Scalar(byte))\" is missing")
    }
    position += 1
  }

  private mutating func value(depth: Int) throws -> Value {
    guard depth < maxDepth else { throw Failure(reason: "it is nested too deeply") }
    count += 1
    guard count <= maxValues else { throw Failure(reason: "it has more than \(maxValues) values") }
    switch try next() {
    case UInt8(ascii: "{"):
      var fields: [(key: String, value: Value)] = []
      var seen = Set<Name>()
      try list(to: UInt8(ascii: "}")) { scanner in
        _ = try scanner.next()
        let key = try scanner.string()
        guard seen.insert(Name(text: key)).inserted else {
          throw Failure(reason: "the name \"\(key.prefix(80))\" occurs twice")
        }
        try scanner.expect(UInt8(ascii: ":"))
        fields.append((key, try scanner.value(depth: depth + 1)))
      }
      return .object(fields)
    case UInt8(ascii: "["):
      var values: [Value] = []
      try list(to: UInt8(ascii: "]")) { values.append(try $0.value(depth: depth + 1)) }
      return .array(values)
    case UInt8(ascii: "\""):
      return .string(try string())
    default:
      return try scalar()
    }
  }

  /// Items with commas between them, from the opening bracket on.
  private mutating func list(to close: UInt8, _ item: (inout JSONScanner) throws -> Void) throws {
    position += 1
    if try next() == close {
      position += 1
      return
    }
    while true {
      try item(&self)
      if try next() == close {
        position += 1
        return
      }
      try expect(UInt8(ascii: ","))
    }
  }

  /// A number, true, false or null.
  private mutating func scalar() throws -> Value {
    let start = position
    var digits = 0
    var integer = 0
    while position < bytes.count, !Self.endsScalar(bytes[position]) {
      let digit = Int(bytes[position]) - 0x30
      if (0...9).contains(digit), digits == position - start, digits < 18 {
        integer = 10 * integer + digit
        digits += 1
      }
      position += 1
    }
    let count = position - start
    // In JSON a number begins with a digit, and with 0 only where no digit follows.
    if digits == count, digits > 0, digits == 1 || bytes[start] != 0x30 { return .integer(integer) }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    switch text {
    case "true": return .boolean(true)
    case "false": return .boolean(false)
    case "null": return .null
    default: break
    }
    let leading = bytes[start..<position].drop { $0 == UInt8(ascii: "-") }.prefix(2)
      .map { Int($0) - 0x30 }
    if let first = leading.first, (0...9).contains(first),
      first > 0 || leading.count < 2 || !(0...9).contains(leading[1])
    {
      if let integer = Int(text) { return .integer(integer) }
      // What Swift reads besides, such as 0x1F, 1. and what is infinite, is no number in JSON.
      if let number = Double(text), number.isFinite, text.allSatisfy({ "0123456789+-.eE".contains($0) }),
        text.split(separator: ".", omittingEmptySubsequences: false).dropFirst().allSatisfy({
          $0.first?.isNumber == true
        })
      {
        return .number(number)
      }
    }
    position = start
    throw Failure(
      reason: ["NaN", "Infinity", "-Infinity", "nan", "inf", "-inf"].contains(text)
        ? "\(text) is no number in JSON"
        : text.isEmpty ? "a value is missing" : "\"\(text.prefix(40))\" is no value")
  }

  private static func endsScalar(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x20, 0x09, 0x0A, 0x0D, UInt8(ascii: ","), UInt8(ascii: ":"), UInt8(ascii: "]"), UInt8(ascii: "}"):
      true
    default: false
    }
  }

  private mutating func string() throws -> String {
    try expect(UInt8(ascii: "\""))
    let start = position
    while position < bytes.count {
      let byte = bytes[position]
      if byte == UInt8(ascii: "\"") {
        defer { position += 1 }
        return try text(UnsafeRawBufferPointer(rebasing: bytes[start..<position]))
      }
      guard byte >= 0x20 else { break }
      if byte == UInt8(ascii: "\\") { break }
      position += 1
    }
    return try escapedString(Array(bytes[start..<position]))
  }

  private func text(_ units: UnsafeRawBufferPointer) throws -> String {
    guard let text = String(validating: units, as: UTF8.self) else {
      throw Failure(reason: "a text in it is not UTF-8")
    }
    return text
  }

  /// The rest of a text that has an escape, after those units.
  private mutating func escapedString(_ beginning: [UInt8]) throws -> String {
    var units = beginning
    while position < bytes.count {
      let byte = bytes[position]
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        return try units.withUnsafeBytes(text)
      case UInt8(ascii: "\\"):
        units += try escape()
      case 0..<0x20:
        throw Failure(reason: "a text in it holds a control character")
      default:
        units.append(byte)
      }
    }
    throw Failure(reason: "it ends within a text")
  }

  private mutating func escape() throws -> [UInt8] {
    guard position < bytes.count else { throw Failure(reason: "it ends within a text") }
    let byte = bytes[position]
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
    case UInt8(ascii: "b"): return [8]
    case UInt8(ascii: "f"): return [12]
    case UInt8(ascii: "n"): return [10]
    case UInt8(ascii: "r"): return [13]
    case UInt8(ascii: "t"): return [9]
    case UInt8(ascii: "u"):
      var unit = try hexadecimal()
      if (0xD800..<0xDC00).contains(unit), position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
        bytes[position + 1] == UInt8(ascii: "u")
      {
        position += 2
        let low = try hexadecimal()
        guard (0xDC00..<0xE000).contains(low) else { throw Failure(reason: Self.loneSurrogate) }
        unit = 0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(unit) else { throw Failure(reason: Self.loneSurrogate) }
      return Array(String(Character(scalar)).utf8)
    default: throw Failure(reason: "a text in it has an unknown escape")
    }
  }

  private static let loneSurrogate = "a text in it has half of a character (a lone surrogate)"

  private mutating func hexadecimal() throws -> UInt32 {
    guard position + 4 <= bytes.count,
      bytes[position..<position + 4].allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
      let unit = UInt32(String(decoding: bytes[position..<position + 4], as: UTF8.self), radix: 16)
    else { throw Failure(reason: "a text in it has a broken escape") }
    position += 4
    return unit
  }
}

extension JSONScanner.Value {
  package var isNull: Bool { if case .null = self { true } else { false } }
  package var string: String? { if case .string(let text) = self { text } else { nil } }
  package var bool: Bool? { if case .boolean(let flag) = self { flag } else { nil } }
  package var array: [Self]? { if case .array(let values) = self { values } else { nil } }
  package var object: [(key: String, value: Self)]? {
    if case .object(let fields) = self { fields } else { nil }
  }

  /// A whole number, however it is written.
  package var integer: Int? {
    switch self {
    case .integer(let number): number
    case .number(let number): Int(exactly: number)
    default: nil
    }
  }

  package var number: Double? {
    switch self {
    case .integer(let number): Double(number)
    case .number(let number): number
    default: nil
    }
  }

  /// A list of items that are all of one form.
  package func list<Item>(_ form: (Self) -> Item?) -> [Item]? {
    guard let values = array else { return nil }
    let items = values.compactMap(form)
    return items.count == values.count ? items : nil
  }

  /// For messages, and short: by scalars, because a character has as many as a file likes.
  package var brief: String {
    switch self {
    case .object: "an object"
    case .array: "a list"
    case .string(let text): "\"\(String(text.unicodeScalars.prefix(40)))\""
    case .integer(let number): "\(number)"
    case .number(let number): "\(number)"
    case .boolean(let flag): "\(flag)"
    case .null: "null"
    }
  }
}

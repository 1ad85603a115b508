/// A strict reader of small JSON documents from untrusted files: UTF-8, no duplicate keys, bounded depth.
struct JSONScanner {
  indirect enum Value {
    case object([(key: String, value: Value)])
    case array([Value])
    case string(String)
    case integer(Int)
    case other
  }

  struct Failure: Error {
    let reason: String
  }

  private let bytes: UnsafeRawBufferPointer
  private var position = 0
  private static let maxDepth = 16

  private init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  static func parse(_ bytes: UnsafeRawBufferPointer) throws -> Value {
    var scanner = JSONScanner(bytes)
    let value = try scanner.value(depth: 0)
    scanner.skipSpace()
    guard scanner.position == bytes.count else { throw Failure(reason: "there is text after its end") }
    return value
  }

  private mutating func skipSpace() {
    while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) { position += 1 }
  }

  private mutating func next() throws -> UInt8 {
    skipSpace()
    guard position < bytes.count else { throw Failure(reason: "it ends too early") }
    return bytes[position]
  }

  private mutating func expect(_ character: Character) throws {
    guard let byte = character.asciiValue, try next() == byte else {
      throw Failure(reason: "\"\(character)\" is missing at byte \(position)")
    }
    position += 1
  }

  private mutating func value(depth: Int) throws -> Value {
    guard depth < Self.maxDepth else { throw Failure(reason: "it is nested too deeply") }
    switch try next() {
    case UInt8(ascii: "{"):
      var fields: [(key: String, value: Value)] = []
      var seen = Set<String>()
      try list(from: "{", to: "}") { scanner in
        _ = try scanner.next()
        let key = try scanner.string()
        guard seen.insert(key).inserted else { throw Failure(reason: "the name \"\(key)\" occurs twice") }
        try scanner.expect(":")
        fields.append((key, try scanner.value(depth: depth + 1)))
      }
      return .object(fields)
    case UInt8(ascii: "["):
      var values: [Value] = []
      try list(from: "[", to: "]") { values.append(try $0.value(depth: depth + 1)) }
      return .array(values)
    case UInt8(ascii: "\""):
      return .string(try string())
    default:
      return try scalar()
    }
  }

  private mutating func list(
    from open: Character, to close: Character, _ item: (inout JSONScanner) throws -> Void
  )
    throws
  {
    try expect(open)
    if try next() == close.asciiValue {
      position += 1
      return
    }
    while true {
      try item(&self)
      if try next() == close.asciiValue {
        position += 1
        return
      }
      try expect(",")
    }
  }

  /// A number, true, false or null.
  private mutating func scalar() throws -> Value {
    let start = position
    while position < bytes.count, !" \t\r\n,:]}".utf8.contains(bytes[position]) { position += 1 }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    // In JSON a number begins with a digit, and with 0 only where no digit follows.
    let digits = text.drop { $0 == "-" }.prefix(2).map(\.isNumber)
    let isNumber =
      digits.first == true && !(digits == [true, true] && text.drop { $0 == "-" }.hasPrefix("0"))
    if isNumber, let integer = Int(text) { return .integer(integer) }
    guard ["true", "false", "null"].contains(text) || isNumber && Double(text) != nil else {
      throw Failure(reason: "\"\(text.prefix(40))\" at byte \(start) is no value")
    }
    return .other
  }

  private mutating func string() throws -> String {
    try expect("\"")
    var units: [UInt8] = []
    while position < bytes.count {
      let byte = bytes[position]
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let text = String(validating: units, as: UTF8.self) else {
          throw Failure(reason: "a text in it is not UTF-8")
        }
        return text
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
        guard (0xDC00..<0xE000).contains(low) else { throw Failure(reason: "a text in it is not Unicode") }
        unit = 0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(unit) else { throw Failure(reason: "a text in it is not Unicode") }
      return Array(String(Character(scalar)).utf8)
    default: throw Failure(reason: "a text in it has an unknown escape")
    }
  }

  private mutating func hexadecimal() throws -> UInt32 {
    guard position + 4 <= bytes.count,
      bytes[position..<position + 4].allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
      let unit = UInt32(String(decoding: bytes[position..<position + 4], as: UTF8.self), radix: 16)
    else { throw Failure(reason: "a text in it has a broken escape") }
    position += 4
    return unit
  }
}

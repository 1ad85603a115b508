import Foundation

/// A SentencePiece model's bytes, looked at before the library gets them: it follows what a model says without looking
/// whether that leads out of it.
/// Source: github.com/google/sentencepiece, src/sentencepiece_model.proto and src/normalizer.cc.
enum SentencePieceModel {
  struct Damage: Error {
    let reason: String
  }

  /// The library has room for 32 results in one search of rules, and 64 of symbols.
  static let maxNested = 32

  private static let pieces = 1
  private static let normalizers = [3, 5]

  /// - Throws: `Damage` for a model that the library would read beyond its end with.
  static func check(_ model: Data) throws {
    try model.withUnsafeBytes { bytes in
      var symbols: [UnsafeRawBufferPointer] = []
      for field in try fields(bytes) {
        guard case .bytes(let message) = field.value else { continue }
        if field.number == pieces, let symbol = try userSymbol(message) { symbols.append(symbol) }
        if normalizers.contains(field.number) {
          for case (2, .bytes(let rules)) in try fields(message) { try checkRules(rules) }
        }
      }
      try checkNesting(symbols)
    }
  }

  /// The text of a piece that is found before all others.
  private static func userSymbol(_ piece: UnsafeRawBufferPointer) throws -> UnsafeRawBufferPointer? {
    var text: UnsafeRawBufferPointer?
    var isSymbol = false
    for field in try fields(piece) {
      switch field {
      case (1, .bytes(let bytes)): text = bytes
      case (2, .fixed32(let bits)):
        guard Float(bitPattern: bits).isFinite else { throw Damage(reason: "a score in it is no number") }
      case (3, .varint(let type)): isSymbol = type == 4
      default: break
      }
    }
    return isSymbol ? text : nil
  }

  /// How many symbols may begin at one place of a text: each is a beginning of the next.
  private static func checkNesting(_ symbols: [UnsafeRawBufferPointer]) throws {
    var open: [UnsafeRawBufferPointer] = []
    for symbol in symbols.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
      while let last = open.last, !symbol.starts(with: last) { open.removeLast() }
      open.append(symbol)
      guard open.count <= maxNested else {
        throw Damage(reason: "more than \(maxNested) of its symbols begin alike")
      }
    }
  }

  // MARK: Rules of normalisation

  /// The length of a trie, the trie, and the texts that it leads to, each with a zero behind it.
  private static func checkRules(_ rules: UnsafeRawBufferPointer) throws {
    guard !rules.isEmpty else { return }
    let damage = Damage(reason: "its rules of normalisation point outside of themselves")
    guard rules.count > 4 else { throw damage }
    let length = Int(UInt32(littleEndian: rules.loadUnaligned(as: UInt32.self)))
    guard length % 4 == 0, length > 0, length < rules.count - 4, rules.last == 0 else { throw damage }
    let units = (0..<length / 4).map {
      UInt32(littleEndian: rules.loadUnaligned(fromByteOffset: 4 + 4 * $0, as: UInt32.self))
    }
    guard DoubleArray(units: units).isSound(values: rules.count - 4 - length, nested: maxNested) else {
      throw damage
    }
  }

  // MARK: Protocol buffers

  private enum Value {
    case varint(UInt64)
    case fixed32(UInt32)
    case bytes(UnsafeRawBufferPointer)
    case other
  }

  /// A message's fields. What a sound model does not have, and readers may understand differently, is refused.
  private static func fields(_ message: UnsafeRawBufferPointer) throws -> [(number: Int, value: Value)] {
    let damage = Damage(reason: "it is damaged")
    var position = 0
    func varint() throws -> UInt64 {
      var value: UInt64 = 0
      for shift in stride(from: 0, to: 64, by: 7) {
        guard position < message.count else { throw damage }
        let byte = message[position]
        position += 1
        value |= UInt64(byte & 0x7F) << UInt64(shift)
        if byte < 0x80 { return value }
      }
      throw damage
    }
    func take(_ count: UInt64) throws -> UnsafeRawBufferPointer {
      guard count <= UInt64(message.count - position) else { throw damage }
      defer { position += Int(count) }
      return UnsafeRawBufferPointer(rebasing: message[position..<position + Int(count)])
    }
    var fields: [(Int, Value)] = []
    while position < message.count {
      let tag = try varint()
      guard tag >> 3 > 0, tag >> 3 < 1 << 29 else { throw damage }
      let value: Value
      switch tag & 7 {
      case 0: value = .varint(try varint())
      case 1:
        _ = try take(8)
        value = .other
      case 2: value = .bytes(try take(varint()))
      case 5: value = .fixed32(UInt32(littleEndian: try take(4).loadUnaligned(as: UInt32.self)))
      default: throw damage
      }
      fields.append((Int(tag >> 3), value))
    }
    return fields
  }
}

/// A trie in one array, as Darts-clone lays it out.
/// Source: github.com/s-yata/darts-clone.
struct DoubleArray {
  let units: [UInt32]

  private func offset(_ unit: UInt32) -> Int { Int((unit >> 10) << ((unit & 1 << 9) >> 6)) }
  private func hasLeaf(_ unit: UInt32) -> Bool { unit >> 8 & 1 == 1 }
  private func label(_ unit: UInt32) -> UInt32 { unit & (1 << 31 | 0xFF) }
  private func value(_ unit: UInt32) -> Int { Int(unit & 0x7FFF_FFFF) }

  /// Whether no text leads a search out of the array, to a value beyond the last, to more than `nested` values, or in a circle.
  func isSound(values: Int, nested: Int) -> Bool {
    let (first, following) = siblings()
    // How many values lie on the way from a node to the deepest below it; -1 while it is above what is looked at.
    var found = [Int?](repeating: nil, count: units.count)
    var path = [(node: 0, child: -2, deepest: 0)]
    while let top = path.popLast() {
      let unit = units[top.node]
      let base = top.node ^ offset(unit)
      var child = top.child
      if child == -2 {
        guard found[top.node] == nil, base | 0xFF < units.count, !hasLeaf(unit) || value(units[base]) < values
        else {
          return false
        }
        found[top.node] = -1
        child = first[base]
      }
      if child < 0 {
        let count = top.deepest + (hasLeaf(unit) ? 1 : 0)
        guard count <= nested else { return false }
        found[top.node] = count
        if let above = path.indices.last { path[above].deepest = max(path[above].deepest, count) }
        continue
      }
      switch found[child] {
      case -1: return false
      case let known?: path.append((top.node, following[child], max(top.deepest, known)))
      case nil: path += [(top.node, following[child], top.deepest), (child, -2, 0)]
      }
    }
    return true
  }

  /// The nodes that have the same base before them in the array's own order: the first of each, and after each the next; -1 for
  /// none.
  private func siblings() -> (first: [Int], following: [Int]) {
    var first = [Int](repeating: -1, count: units.count)
    var following = first
    for (node, unit) in units.enumerated() where label(unit) < 256 {
      let base = node ^ Int(label(unit))
      guard base < units.count else { continue }
      following[node] = first[base]
      first[base] = node
    }
    return (first, following)
  }
}

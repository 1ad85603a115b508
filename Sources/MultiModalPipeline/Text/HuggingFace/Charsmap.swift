import Foundation

/// SentencePiece's table of characters and what they become: a double-array trie (Aoe, 1989) and the texts that its leaves
/// point to.
struct Charsmap: Sendable {
  private let units: [UInt32]
  /// Texts that each end with a zero.
  private let texts: [UInt8]
  let longestText: Int

  /// A grapheme shorter than this is looked up as a whole.
  private static let longestGrapheme = 6

  /// - Throws: `TokenizerError` for a table that is cut off.
  init(_ data: Data) throws {
    let bytes = [UInt8](data)
    func unit(at place: Int) -> UInt32 {
      (0..<4).reduce(0) { $0 | UInt32(bytes[place + $1]) << (8 * UInt32($1)) }
    }
    guard bytes.count >= 4 else { throw TokenizerError("precompiled_charsmap is cut off") }
    let size = Int(unit(at: 0))
    guard size % 4 == 0, size > 0, size <= bytes.count - 4 else {
      throw TokenizerError("precompiled_charsmap is cut off")
    }
    units = stride(from: 4, to: 4 + size, by: 4).map(unit)
    texts = Array(bytes[(4 + size)...])
    longestText = texts.split(separator: 0).map(\.count).max() ?? 0
  }

  func callAsFunction(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
    var mapped: [Unicode.Scalar] = []
    for character in String(text) {
      if character.utf8.count < Self.longestGrapheme, let whole = transform(character.utf8) {
        mapped += whole
        continue
      }
      for scalar in character.unicodeScalars {
        if let one = transform(UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter) {
          mapped += one
        } else {
          mapped.append(scalar)
        }
      }
    }
    return mapped
  }

  /// What a text becomes: what its shortest beginning becomes that is in the table, as the vocabularies were made with.
  private func transform(_ text: some Sequence<UInt8>) -> [Unicode.Scalar]? {
    func unit(_ place: Int) -> UInt32? { units.indices.contains(place) ? units[place] : nil }
    func offset(_ unit: UInt32) -> Int { Int((unit >> 10) << ((unit & (1 << 9)) >> 6)) }
    guard let root = unit(0) else { return nil }
    var place = offset(root)
    for byte in text {
      if byte == 0 { return nil }
      place ^= Int(byte)
      guard let node = unit(place), node & (1 << 31 | 0xFF) == UInt32(byte) else { return nil }
      place ^= offset(node)
      guard (node >> 8) & 1 == 1, let leaf = unit(place) else { continue }
      let start = Int(leaf & (1 << 31 - 1))
      guard start <= texts.count else { return nil }
      return Array(String(decoding: texts[start...].prefix { $0 != 0 }, as: UTF8.self).unicodeScalars)
    }
    return nil
  }
}

/// Tokens that are found in a text as they are, before it is cut into pieces.
struct AddedTokens: Sendable {
  struct Token: Sendable, Equatable {
    var content: String
    /// Only where no letter or digit is beside it.
    var isSingleWord = false
    /// Takes the white space before it.
    var stripsLeft = false
    /// Takes the white space behind it.
    var stripsRight = false
    /// Found in the normalised text, in its own normalised form.
    var isNormalized = false
    /// Has no text when it is decoded.
    var isSpecial = false
  }

  private(set) var tokens: [Int: Token] = [:]
  /// The highest id and one.
  private(set) var count = 0
  private var ids = Trie()
  private var special = Trie()
  private var plain = Trie()
  private var normalized = Trie()
  private let normalizer: Normalizer?

  init(normalizer: Normalizer?) { self.normalizer = normalizer }

  func id(_ content: String) -> Int? { ids.node(content.unicodeScalars).flatMap(ids.value) }

  func isSpecial(_ content: String) -> Bool {
    special.node(content.unicodeScalars).flatMap(special.value) != nil
  }

  /// Adds a token: with the id of a vocabulary's entry, or the next one.
  mutating func add(_ token: Token, to vocabulary: Vocabulary) throws {
    guard !token.content.isEmpty else { return }
    guard token.content.utf8.count <= Vocabulary.longestPiece else {
      throw TokenizerError(
        "the added token \"\(token.content.prefix(40))...\" is longer than \(Vocabulary.longestPiece) bytes")
    }
    let content = token.content.unicodeScalars
    let id =
      id(token.content) ?? vocabulary.id(content) ?? max(vocabulary.entries, count)
    if let before = tokens[id], before == token { return }
    tokens[id] = token
    count = max(count, id + 1)
    ids.insert(content, id)
    if token.isSpecial { special.insert(content, id) }
    if token.isNormalized {
      let found = normalizer.map { $0(Array(content)) } ?? Array(content)
      if !found.isEmpty { normalized.insert(found, id) }
    } else {
      plain.insert(content, id)
    }
  }

  /// A part of a text: a token, or what is to be cut into pieces.
  enum Part {
    case token(Int)
    case text(PreTokenizer.Piece)
  }

  /// Finds the tokens, and normalises what is between them.
  func split(_ text: [Unicode.Scalar]) -> [Part] {
    find(in: PreTokenizer.Piece(text: text, isFirst: true), plain).flatMap { part -> [Part] in
      guard case .text(let piece) = part else { return [part] }
      guard let normalizer else { return find(in: piece, normalized) }
      return find(in: PreTokenizer.Piece(text: normalizer(piece.text), isFirst: piece.isFirst), normalized)
    }
  }

  /// The longest at each place, from the left.
  private func find(in piece: PreTokenizer.Piece, _ trie: Trie) -> [Part] {
    let text = piece.text
    var parts: [Part] = []
    /// Where what is not yet in a part begins.
    var rest = 0
    func add(until end: Int) {
      guard rest < end else { return }
      parts.append(.text(.init(text: Array(text[rest..<end]), isFirst: piece.isFirst && rest == 0)))
    }
    var place = 0
    while place < text.count {
      guard let found = trie.longest(in: text, at: place), let token = tokens[found.value] else {
        place += 1
        continue
      }
      var (start, end) = (place, found.end)
      place = end
      if token.isSingleWord,
        start > 0 && text[start - 1].isWord || end < text.count && text[end].isWord
      {
        continue
      }
      if token.stripsLeft { while start > rest, text[start - 1].isWhitespace { start -= 1 } }
      if token.stripsRight {
        end = max(end, rest)
        while end < text.count, text[end].isWhitespace { end += 1 }
      }
      add(until: start)
      parts.append(.token(found.value))
      rest = end
    }
    add(until: text.count)
    return parts
  }
}

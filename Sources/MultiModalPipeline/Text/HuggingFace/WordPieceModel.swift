/// WordPiece (Schuster & Nakajima, 2012), as in BERT: the longest entry from the left, again and again.
struct WordPieceModel: TokenModel {
  let vocabulary: Vocabulary
  let unknown: String
  /// Written before every entry that does not begin a word.
  let continuingPrefix: String
  /// A longer word is unknown.
  let longestWord: Int
  private let trie: Trie

  init(_ vocabulary: Vocabulary, unknown: String, continuingPrefix: String = "##", longestWord: Int = 100) {
    self.vocabulary = vocabulary
    self.unknown = unknown
    self.continuingPrefix = continuingPrefix
    self.longestWord = longestWord
    trie = vocabulary.trie
  }

  func append(_ piece: [Unicode.Scalar], to ids: inout [Int]) throws {
    let start = ids.count
    let continuing = trie.node(continuingPrefix.unicodeScalars)
    var place = 0
    if piece.count <= longestWord {
      while place < piece.count, let root = place == 0 ? Trie.root : continuing,
        let (end, id) = trie.longest(in: piece, at: place, from: root)
      {
        ids.append(id)
        place = end
      }
    }
    guard place < piece.count else { return }
    ids.removeLast(ids.count - start)
    guard let id = vocabulary.id(unknown) else {
      throw TokenizerError("the vocabulary lacks \"\(unknown)\", which stands for what is unknown")
    }
    ids.append(id)
  }
}

/// Every character is a token, as in Japanese BERT models with a vocabulary of characters.
struct CharacterModel: TokenModel {
  let vocabulary: Vocabulary
  let unknown: String

  /// Of what is written in several ways, such as half and full width.
  static let normalizer = Normalizer.unicode(.compatiblyComposed, since: Unicode.Scalar.pythonVersion)

  func append(_ piece: [Unicode.Scalar], to ids: inout [Int]) throws {
    let model = WordLevelModel(vocabulary: vocabulary, unknown: unknown)
    for scalar in Self.normalizer(piece) { try model.append([scalar], to: &ids) }
  }
}

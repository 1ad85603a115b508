/// The entries of a vocabulary, by id and by text.
struct Vocabulary: Sendable {
  private(set) var trie: Trie
  private var pieces: [String?] = []
  /// How many entries there are; ids may have holes between them.
  private(set) var entries = 0

  /// A file's ids must be below it, so that one number cannot ask for all memory.
  private static let largestID = 1 << 22
  /// Longest entry in Unicode scalars, because texts are searched for entries from each place on.
  static let longestPiece = 1024

  init(capacity: Int = 8) {
    trie = Trie(capacity: 4 * capacity)
    pieces.reserveCapacity(capacity)
  }

  /// The highest id and one.
  var count: Int { pieces.count }

  mutating func add(_ piece: String, id: Int) throws {
    guard (0..<Self.largestID).contains(id) else {
      throw TokenizerError("\"\(piece)\" has the id \(id): ids must be from 0 to \(Self.largestID - 1)")
    }
    guard piece.utf8.count <= Self.longestPiece else {
      throw TokenizerError(
        "\"\(piece.prefix(40))...\" is longer than the \(Self.longestPiece) bytes that an entry may have")
    }
    while pieces.count <= id { pieces.append(nil) }
    if pieces[id] == nil { entries += 1 }
    pieces[id] = piece
    trie.insert(piece.unicodeScalars, id)
  }

  /// The entry with an id.
  func piece(_ id: Int) -> String? { pieces.indices.contains(id) ? pieces[id] : nil }

  /// The id of a text that is an entry.
  func id(_ text: some Sequence<Unicode.Scalar>) -> Int? { trie.node(text).flatMap(trie.value) }

  func id(_ text: String) -> Int? { id(text.unicodeScalars) }
}

/// What makes tokens of a piece of text.
protocol TokenModel: Sendable {
  var vocabulary: Vocabulary { get }
  /// - Throws: `TokenizerError` for a text that the vocabulary cannot express.
  func append(_ piece: [Unicode.Scalar], to ids: inout [Int]) throws
}

/// A piece is one token, or unknown.
struct WordLevelModel: TokenModel {
  let vocabulary: Vocabulary
  let unknown: String

  func append(_ piece: [Unicode.Scalar], to ids: inout [Int]) throws {
    guard let id = vocabulary.id(piece) ?? vocabulary.id(unknown) else {
      throw TokenizerError(
        "the vocabulary has neither \"\(String(piece))\" nor \"\(unknown)\" for what is unknown")
    }
    ids.append(id)
  }
}

extension String {
  init(_ scalars: some Sequence<Unicode.Scalar>) {
    var view = UnicodeScalarView()
    view.append(contentsOf: scalars)
    self.init(view)
  }
}

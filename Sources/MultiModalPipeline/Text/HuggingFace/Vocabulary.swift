/// The entries of a vocabulary, by id and by text. `String` would hold canonically equivalent texts for one.
struct Vocabulary: Sendable {
  private var pieces: [String?] = []
  /// A hash table of ids: the upper half of an entry's hash, and its id and one; 0 where there is none.
  private var slots: [UInt64]
  /// How many entries there are; ids may have holes between them.
  private(set) var entries = 0

  /// A file's ids must be below it, so that one number cannot ask for all memory.
  private static let largestID = 1 << 22
  /// The most bytes of an entry, because texts are searched for entries from each place on.
  static let longestPiece = 1024

  init(capacity: Int = 8) {
    slots = Self.slots(for: capacity)
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
    if 2 * entries > slots.count {
      slots = Self.slots(for: 2 * entries)
      for (id, piece) in pieces.enumerated() { if let piece { put(piece, id) } }
    } else {
      put(piece, id)
    }
  }

  /// The entry with an id.
  func piece(_ id: Int) -> String? { pieces.indices.contains(id) ? pieces[id] : nil }

  /// The id of a text that is an entry.
  func id(_ text: some Sequence<Unicode.Scalar>) -> Int? {
    Self.id(in: slots[slot(of: text, Self.hash(text))])
  }

  func id(_ text: String) -> Int? { id(text.unicodeScalars) }

  /// All entries, to be searched for in texts.
  var trie: Trie {
    var trie = Trie(capacity: 2 * entries)
    for (id, piece) in pieces.enumerated() { if let piece { trie.insert(piece.unicodeScalars, id) } }
    return trie
  }

  // MARK: The hash table

  private static func slots(for count: Int) -> [UInt64] {
    var size = 16
    while size < 2 * count { size *= 2 }
    return Array(repeating: 0, count: size)
  }

  private static func id(in slot: UInt64) -> Int? { slot == 0 ? nil : Int(slot & 0xFFFF_FFFF) - 1 }

  private mutating func put(_ piece: String, _ id: Int) {
    let hash = Self.hash(piece.unicodeScalars)
    slots[slot(of: piece.unicodeScalars, hash)] = hash & ~0xFFFF_FFFF | UInt64(id + 1)
  }

  /// Where a text lies, or is to be put.
  private func slot(of text: some Sequence<Unicode.Scalar>, _ hash: UInt64) -> Int {
    var place = Int(truncatingIfNeeded: hash) & (slots.count - 1)
    while let id = Self.id(in: slots[place]) {
      if slots[place] >> 32 == hash >> 32, pieces[id]?.unicodeScalars.elementsEqual(text) == true { break }
      place = (place + 1) & (slots.count - 1)
    }
    return place
  }

  private static func hash(_ text: some Sequence<Unicode.Scalar>) -> UInt64 {
    var hash = IntegerTable.multiplier
    for scalar in text {
      hash = (hash ^ UInt64(scalar.value)) &* IntegerTable.multiplier
      hash ^= hash >> 29
    }
    return hash
  }
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

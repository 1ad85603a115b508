/// The most likely way to cut a text into entries that each have a probability of their own (Kudo, 2018).
struct UnigramModel: TokenModel {
  let vocabulary: Vocabulary
  private let trie: Trie
  /// Logarithms, by id.
  private let scores: [Double]
  private let unknown: Int?
  private let hasByteFallback: Bool
  private let unknownScore: Double

  /// How much less likely than any entry an unknown character is.
  private static let unknownPenalty = 10.0

  init(_ entries: [(piece: String, score: Double)], unknown: Int?, hasByteFallback: Bool) throws {
    if let unknown, !entries.indices.contains(unknown) {
      throw TokenizerError("unk_id is \(unknown), but the vocabulary has \(entries.count) entries")
    }
    var vocabulary = Vocabulary(capacity: entries.count)
    for (id, entry) in entries.enumerated() { try vocabulary.add(entry.piece, id: id) }
    self.vocabulary = vocabulary
    trie = vocabulary.trie
    scores = entries.map(\.score)
    self.unknown = unknown
    self.hasByteFallback = hasByteFallback
    unknownScore = (scores.min() ?? 0) - Self.unknownPenalty
  }

  private struct Best {
    var score = 0.0
    var start = -1
    var id = 0
  }

  func append(_ piece: [Unicode.Scalar], to ids: inout [Int]) throws {
    var best = Array(repeating: Best(), count: piece.count + 1)
    for start in piece.indices { try extend(&best, piece, from: start) }
    var ranges: [Range<Int>] = []
    var end = piece.count
    var wasUnknown = false
    while end > 0 {
      let (start, isUnknown) = (best[end].start, best[end].id == unknown)
      if isUnknown, wasUnknown, let last = ranges.popLast() {
        ranges.append(start..<last.upperBound)
      } else {
        ranges.append(start..<end)
      }
      (wasUnknown, end) = (isUnknown, start)
    }
    for range in ranges.reversed() { try append(word: Array(piece[range]), to: &ids) }
  }

  /// Adds the entries that begin at a place to the best ways to the places where they end.
  private func extend(_ best: inout [Best], _ piece: [Unicode.Scalar], from start: Int) throws {
    func offer(_ end: Int, _ id: Int, _ score: Double) {
      let total = best[start].score + score
      if best[end].start < 0 || total > best[end].score {
        best[end] = Best(score: total, start: start, id: id)
      }
    }
    var node = Trie.root
    var end = start
    var hasCharacter = false
    while end < piece.count, let next = trie.child(of: node, piece[end]) {
      node = next
      end += 1
      guard let id = trie.value(at: node) else { continue }
      offer(end, id, scores[id])
      if end == start + 1 { hasCharacter = true }
    }
    guard !hasCharacter else { return }
    guard let unknown else {
      throw TokenizerError(
        "the vocabulary has neither \"\(piece[start])\" nor an entry for what is unknown (unk_id)")
    }
    offer(start + 1, unknown, unknownScore)
  }

  private func append(word: [Unicode.Scalar], to ids: inout [Int]) throws {
    if let id = vocabulary.id(word) {
      ids.append(id)
    } else if hasByteFallback, let bytes = vocabulary.bytes(of: word) {
      ids += bytes
    } else if let unknown {
      ids.append(unknown)
    }
  }
}

/// Byte-pair encoding (Sennrich et al., 2016): characters, of which the pair that comes first in a list is joined as long as
/// there is one.
struct BytePairModel: TokenModel {
  struct Options {
    var unknown: String?
    /// Written before every character but a piece's first.
    var continuingPrefix = ""
    /// Written after a piece's last character.
    var endSuffix = ""
    /// Unknown characters behind each other are one token.
    var fusesUnknown = false
    /// Unknown characters are written as bytes such as `<0x41>`, where the vocabulary has them.
    var hasByteFallback = false
  }

  let vocabulary: Vocabulary
  private let options: Options
  private let unknown: Int?
  /// A pair's place in the list of merges.
  private let ranks: IntegerTable
  /// What each merge makes.
  private let merged: [Int32]

  /// - Parameter merges: pairs of entries, the first to be joined first
  init(_ vocabulary: Vocabulary, merges: [(String, String)], options: Options) throws {
    self.vocabulary = vocabulary
    self.options = options
    unknown = try options.unknown.map {
      guard let id = vocabulary.id($0) else {
        throw TokenizerError("the vocabulary lacks \"\($0)\", which stands for what is unknown")
      }
      return id
    }
    var ranks = IntegerTable(capacity: merges.count)
    var merged: [Int32] = []
    merged.reserveCapacity(merges.count)
    let prefix = options.continuingPrefix.unicodeScalars.count
    for (left, right) in merges {
      let rest = prefix == 0 ? right : String(right.unicodeScalars.dropFirst(prefix))
      guard let first = vocabulary.id(left), let second = vocabulary.id(right),
        let id = vocabulary.id(left + rest)
      else {
        throw TokenizerError(
          "the merge of \"\(left)\" and \"\(right)\" needs both and what they make as entries of the vocabulary"
        )
      }
      ranks.set(Self.key(first, second), Int32(merged.count))
      merged.append(Int32(id))
    }
    (self.ranks, self.merged) = (ranks, merged)
  }

  private static func key(_ left: Int, _ right: Int) -> UInt64 { UInt64(left) << 32 | UInt64(right) }

  private func rank(_ left: Int, _ right: Int) -> Int? { ranks[Self.key(left, right)].map(Int.init) }

  func append(_ piece: [Unicode.Scalar], to ids: inout [Int]) throws { merge(characters(piece), into: &ids) }

  /// The tokens of single characters.
  private func characters(_ piece: [Unicode.Scalar]) -> [Int] {
    var symbols: [Int] = []
    symbols.reserveCapacity(piece.count)
    var isUnknown = false
    for (index, scalar) in piece.enumerated() {
      var text = index == 0 ? [] : Array(options.continuingPrefix.unicodeScalars)
      text.append(scalar)
      if index == piece.count - 1 { text += options.endSuffix.unicodeScalars }
      if let id = vocabulary.id(text) {
        symbols.append(id)
        isUnknown = false
      } else if options.hasByteFallback, let bytes = vocabulary.bytes(of: text) {
        symbols += bytes
        isUnknown = false
      } else if let unknown {
        if !(isUnknown && options.fusesUnknown) { symbols.append(unknown) }
        isUnknown = true
      }
    }
    return symbols
  }

  /// Joins pairs of neighbours, those of the lowest rank first, and of these the leftmost.
  private func merge(_ symbols: [Int], into ids: inout [Int]) {
    var symbols = symbols
    let count = symbols.count
    // Neighbours that are left; a symbol that was joined to one before it is -1.
    var previous = Array(-1..<max(count - 1, 0))
    var next = Array(1..<count + 1)
    var queue = SmallestFirst()
    func offer(_ left: Int, _ right: Int) {
      if let rank = rank(symbols[left], symbols[right]) { queue.push(UInt64(rank) << 32 | UInt64(left)) }
    }
    for index in symbols.indices.dropLast() { offer(index, index + 1) }
    while let first = queue.pop() {
      let left = Int(first & 0xFFFF_FFFF)
      guard symbols[left] >= 0, next[left] < count else { continue }
      let right = next[left]
      // What was queued may have been joined to something else since.
      let made = merged[Int(first >> 32)]
      guard let rank = rank(symbols[left], symbols[right]), merged[rank] == made else { continue }
      symbols[left] = Int(made)
      symbols[right] = -1
      next[left] = next[right]
      if next[left] < count {
        previous[next[left]] = left
      }
      if previous[left] >= 0 { offer(previous[left], left) }
      if next[left] < count { offer(left, next[left]) }
    }
    for symbol in symbols where symbol >= 0 { ids.append(symbol) }
  }
}

extension Vocabulary {
  /// The tokens of a text's bytes, such as `<0x41>`; nil when one is missing.
  func bytes(of text: [Unicode.Scalar]) -> [Int]? {
    var ids: [Int] = []
    for byte in String(text).utf8 {
      let digits = String(byte, radix: 16, uppercase: true)
      guard let id = id("<0x" + (digits.count < 2 ? "0" : "") + digits + ">") else { return nil }
      ids.append(id)
    }
    return ids
  }
}

/// A binary heap of numbers.
private struct SmallestFirst {
  private var heap: [UInt64] = []

  mutating func push(_ value: UInt64) {
    heap.append(value)
    var place = heap.count - 1
    while place > 0, heap[place] < heap[(place - 1) / 2] {
      heap.swapAt(place, (place - 1) / 2)
      place = (place - 1) / 2
    }
  }

  mutating func pop() -> UInt64? {
    guard let first = heap.first, let last = heap.popLast() else { return nil }
    guard !heap.isEmpty else { return first }
    heap[0] = last
    var place = 0
    while true {
      var smallest = place
      for child in [2 * place + 1, 2 * place + 2] where child < heap.count && heap[child] < heap[smallest] {
        smallest = child
      }
      guard smallest != place else { return first }
      heap.swapAt(place, smallest)
      place = smallest
    }
  }
}

/// How a text is cut into the pieces that a model makes tokens of.
indirect enum PreTokenizer: Sendable {
  case sequence([PreTokenizer])
  case byteLevel(addsPrefixSpace: Bool, splits: Bool)
  case metaspace(Metaspace)
  case whitespace
  case whitespaceSplit
  case bert
  case digits(individual: Bool)
  case punctuation(SplitBehavior)
  case split(Pattern, SplitBehavior, inverted: Bool)

  /// A part of a text; what begins with the text's first character knows it.
  struct Piece {
    var text: [Unicode.Scalar]
    var isFirst: Bool
  }

  /// Spaces written as a character, which begins the words.
  struct Metaspace: Sendable {
    enum Prepending: String, CaseIterable, Sendable { case first, never, always }

    var replacement: Unicode.Scalar = "\u{2581}"
    var prepending = Prepending.always
    var splits = true
  }

  /// What becomes of the places where a text is cut.
  enum SplitBehavior: String, CaseIterable, Sendable {
    case removed = "Removed"
    case isolated = "Isolated"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    case contiguous = "Contiguous"
  }

  func callAsFunction(_ piece: Piece) -> [Piece] {
    let text = piece.text
    switch self {
    case .sequence(let parts): return parts.reduce([piece]) { pieces, part in pieces.flatMap { part($0) } }
    case .byteLevel(let addsPrefixSpace, let splits):
      let spaced = addsPrefixSpace && text.first != " " ? [" "] + text : text
      let words = splits ? ByteLevel.words(of: spaced) : [0..<spaced.count]
      return pieces(piece, spaced, words).map {
        Piece(text: ByteLevel.encode($0.text), isFirst: $0.isFirst)
      }
    case .metaspace(let settings): return split(piece, settings)
    case .whitespace:
      return runs(piece) { $0.isWhitespace ? nil : $0.isWord }
    case .whitespaceSplit: return split(piece, at: matches(text, \.isWhitespace), .removed)
    case .bert:
      return split(piece, at: matches(text, \.isWhitespace), .removed).flatMap {
        split($0, at: matches($0.text, \.isPunctuation), .isolated)
      }
    case .digits(let individual):
      return split(piece, at: matches(text, \.isDigit), individual ? .isolated : .contiguous)
    case .punctuation(let behavior): return split(piece, at: matches(text, \.isPunctuation), behavior)
    case .split(let pattern, let behavior, let inverted):
      return split(piece, at: pattern.matches(in: text), behavior, inverted: inverted)
    }
  }

  private func matches(_ text: [Unicode.Scalar], _ isMatch: (Unicode.Scalar) -> Bool) -> [Range<Int>] {
    text.indices.filter { isMatch(text[$0]) }.map { $0..<$0 + 1 }
  }

  private func pieces(_ piece: Piece, _ text: [Unicode.Scalar], _ ranges: [Range<Int>]) -> [Piece] {
    ranges.filter { !$0.isEmpty }.map {
      Piece(text: Array(text[$0]), isFirst: piece.isFirst && $0.lowerBound == 0)
    }
  }

  private func split(_ piece: Piece, _ settings: Metaspace) -> [Piece] {
    var text = piece.text.map { $0 == " " ? settings.replacement : $0 }
    let prepends =
      switch settings.prepending {
      case .always: true
      case .first: piece.isFirst
      case .never: false
      }
    if prepends, text.first != settings.replacement { text.insert(settings.replacement, at: 0) }
    let spaced = Piece(text: text, isFirst: piece.isFirst)
    guard settings.splits else { return text.isEmpty ? [] : [spaced] }
    return split(spaced, at: matches(text) { $0 == settings.replacement }, .mergedWithNext)
  }

  /// Runs of characters of one kind, without those of none.
  private func runs(_ piece: Piece, kind: (Unicode.Scalar) -> Bool?) -> [Piece] {
    let kinds = piece.text.map(kind)
    var ranges: [Range<Int>] = []
    for (index, kind) in kinds.enumerated() where kind != nil {
      if index > 0, kinds[index - 1] == kind, let last = ranges.popLast() {
        ranges.append(last.lowerBound..<index + 1)
      } else {
        ranges.append(index..<index + 1)
      }
    }
    return pieces(piece, piece.text, ranges)
  }

  private func split(
    _ piece: Piece, at matches: [Range<Int>], _ behavior: SplitBehavior, inverted: Bool = false
  ) -> [Piece] {
    var parts: [(range: Range<Int>, isMatch: Bool)] = []
    var start = 0
    for match in matches {
      if start < match.lowerBound { parts.append((start..<match.lowerBound, inverted)) }
      parts.append((match, !inverted))
      start = match.upperBound
    }
    if start < piece.text.count { parts.append((start..<piece.text.count, inverted)) }
    return pieces(piece, piece.text, Self.joined(parts, behavior))
  }

  private static func joined(_ parts: [(range: Range<Int>, isMatch: Bool)], _ behavior: SplitBehavior)
    -> [Range<Int>]
  {
    var joined: [Range<Int>] = []
    var previous = false
    switch behavior {
    case .removed: return parts.filter { !$0.isMatch }.map(\.range)
    case .isolated: return parts.map(\.range)
    case .contiguous, .mergedWithPrevious:
      for part in parts {
        let joins = behavior == .contiguous ? part.isMatch == previous : part.isMatch && !previous
        if joins, let last = joined.popLast() {
          joined.append(last.lowerBound..<part.range.upperBound)
        } else {
          joined.append(part.range)
        }
        previous = part.isMatch
      }
      return joined
    case .mergedWithNext:
      for part in parts.reversed() {
        if part.isMatch, !previous, let last = joined.popLast() {
          joined.append(part.range.lowerBound..<last.upperBound)
        } else {
          joined.append(part.range)
        }
        previous = part.isMatch
      }
      return joined.reversed()
    }
  }
}

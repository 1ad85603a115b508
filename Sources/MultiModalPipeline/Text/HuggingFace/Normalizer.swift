import Foundation

/// How a text is changed before it is cut into pieces.
indirect enum Normalizer: Sendable {
  case sequence([Normalizer])
  /// Of a version of Unicode: that of the tables in Hugging Face's tokenizers is 9.
  case unicode(Form, since: Int = 9)
  case lowercase
  case stripAccents
  case bert(BERT)
  case replace(Pattern, with: [Unicode.Scalar])
  case prepend([Unicode.Scalar])
  case strip(left: Bool, right: Bool)
  case precompiled(Charsmap)
  /// Takes out what BERT in Python does: control, format, private and unassigned characters.
  case clean

  /// Unicode's normalisation forms.
  enum Form: String, CaseIterable, Sendable {
    case composed = "NFC"
    case decomposed = "NFD"
    case compatiblyComposed = "NFKC"
    case compatiblyDecomposed = "NFKD"
  }

  /// What BERT does to texts.
  struct BERT: Sendable {
    var cleansText = true
    var separatesChinese = true
    /// As `lowercases` where it is nil.
    var stripsAccents: Bool?
    var lowercases = true
  }

  /// How many times longer a text may become.
  var growth: Double {
    switch self {
    case .sequence(let normalizers): normalizers.reduce(1) { $0 * $1.growth }
    case .unicode, .bert: Self.longestDecomposition
    case .lowercase: 2
    case .replace(let pattern, let content): pattern.growth(to: content)
    case .precompiled(let charsmap): max(1, Double(charsmap.longestText))
    case .stripAccents, .prepend, .strip, .clean: 1
    }
  }

  /// Of U+FDFA.
  private static let longestDecomposition = 18.0

  func callAsFunction(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
    switch self {
    case .sequence(let normalizers): return normalizers.reduce(text) { $1($0) }
    case .unicode(let form, let version): return Self.normalized(text, form, since: version)
    case .lowercase: return Self.lowercased(text)
    case .stripAccents: return text.filter { !$0.isAccent }
    case .bert(let settings): return Self.bert(text, settings)
    case .replace(let pattern, let content): return pattern.replaced(in: text, with: content)
    case .prepend(let prefix): return text.isEmpty ? [] : prefix + text
    case .strip(let left, let right):
      let start = left ? text.firstIndex { !$0.isWhitespace } ?? text.count : 0
      let end = right ? (text.lastIndex { !$0.isWhitespace } ?? -1) + 1 : text.count
      return start < end ? Array(text[start..<end]) : []
    case .precompiled(let charsmap): return charsmap(text)
    case .clean:
      return text.filter { $0 == "\t" || $0 == "\n" || $0 == "\r" || $0.value != 0xFFFD && !$0.isOther }
    }
  }

  /// Characters that are newer than a version of Unicode stay, and nothing moves across them.
  private static func normalized(_ text: [Unicode.Scalar], _ form: Form, since version: Int = 9) -> [Unicode
    .Scalar]
  {
    guard text.contains(where: { $0.value >= 0x80 }) else { return text }
    var normalized: [Unicode.Scalar] = []
    var part = String.UnicodeScalarView()
    for scalar in text {
      switch scalar.value {
      // Swift's own tables take variation selectors for the letters whose numbers have the same last bits.
      case 0..<0xE0000 where scalar.isKnown(since: version): part.append(scalar)
      default:
        normalized += string(String(part), form).unicodeScalars
        normalized.append(scalar)
        part = .init()
      }
    }
    return normalized + string(String(part), form).unicodeScalars
  }

  /// In two passes: Swift's first moves no mark across one that came out of a character that is none.
  private static func string(_ text: String, _ form: Form) -> String {
    switch form {
    case .composed: text.decomposedStringWithCanonicalMapping.precomposedStringWithCanonicalMapping
    case .decomposed: text.decomposedStringWithCanonicalMapping.decomposedStringWithCanonicalMapping
    case .compatiblyComposed:
      text.decomposedStringWithCompatibilityMapping.precomposedStringWithCanonicalMapping
    case .compatiblyDecomposed:
      text.decomposedStringWithCompatibilityMapping.decomposedStringWithCanonicalMapping
    }
  }

  /// Each character alone, so a Σ becomes a σ at the end of a word too.
  private static func lowercased(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
    var lower: [Unicode.Scalar] = []
    lower.reserveCapacity(text.count)
    for scalar in text {
      if scalar.value < 0x80 {
        lower.append(
          (0x41...0x5A).contains(scalar.value) ? Unicode.Scalar(UInt8(scalar.value) | 0x20) : scalar)
      } else {
        lower += scalar.properties.lowercaseMapping.unicodeScalars
      }
    }
    return lower
  }

  private static func bert(_ text: [Unicode.Scalar], _ settings: BERT) -> [Unicode.Scalar] {
    var text = text
    if settings.cleansText {
      text = text.compactMap { scalar in
        if scalar.value == 0 || scalar.value == 0xFFFD || scalar.isControl { return nil }
        return scalar.isWhitespace ? " " : scalar
      }
    }
    if settings.separatesChinese { text = text.flatMap { $0.isChinese ? [" ", $0, " "] : [$0] } }
    if settings.stripsAccents ?? settings.lowercases {
      text = normalized(text, .decomposed).filter { !$0.isNonspacing }
    }
    return settings.lowercases ? lowercased(text) : text
  }
}

/// What is looked for in a text: a text, or one of the few regular expressions that common vocabularies have.
enum Pattern: Sendable {
  case text([Unicode.Scalar])
  /// At least so many spaces behind each other.
  case spaces(Int)
  /// White space.
  case whitespace

  /// How many times longer a text may become in which something else is put for it.
  func growth(to content: [Unicode.Scalar]) -> Double {
    switch self {
    case .text(let text): max(1, Double(content.count) / Double(max(text.count, 1)))
    case .spaces, .whitespace: max(1, Double(content.count))
    }
  }

  /// Where it is found, from the left, without overlaps.
  func matches(in text: [Unicode.Scalar]) -> [Range<Int>] {
    var matches: [Range<Int>] = []
    var start = 0
    while start < text.count {
      let end = end(in: text, from: start)
      if end > start { matches.append(start..<end) }
      start = max(end, start + 1)
    }
    return matches
  }

  /// Where a match ends that begins at a place; the place itself where none does.
  private func end(in text: [Unicode.Scalar], from start: Int) -> Int {
    func run(_ isPart: (Unicode.Scalar) -> Bool) -> Int {
      text[start...].firstIndex { !isPart($0) } ?? text.count
    }
    switch self {
    case .text(let content): return text[start...].starts(with: content) ? start + content.count : start
    case .spaces(let count):
      let end = run { $0 == " " }
      return end - start >= count ? end : start
    case .whitespace: return run(\.isWhitespace)
    }
  }

  func replaced(in text: [Unicode.Scalar], with content: [Unicode.Scalar]) -> [Unicode.Scalar] {
    var replaced: [Unicode.Scalar] = []
    var start = 0
    for match in matches(in: text) {
      replaced += text[start..<match.lowerBound]
      replaced += content
      start = match.upperBound
    }
    return replaced + text[start...]
  }
}

/// A step from tokens to text. What it makes of all tokens does not depend on how they came.
protocol DecodingStep: Sendable {
  /// - Returns: what is certain now and was not before, as tokens for the next step
  mutating func append(_ token: [Unicode.Scalar]) -> [[Unicode.Scalar]]
  /// What was held back.
  mutating func finish() -> [[Unicode.Scalar]]
}

extension DecodingStep {
  mutating func finish() -> [[Unicode.Scalar]] { [] }
}

/// Decodes tokens one by one through a chain of steps.
struct HuggingFaceDecoder: StreamingDecoder {
  private let tokenizer: HuggingFaceTokenizer
  private var steps: [any DecodingStep]

  init(_ tokenizer: HuggingFaceTokenizer, _ steps: [any DecodingStep]) {
    self.tokenizer = tokenizer
    self.steps = steps
  }

  mutating func append(_ id: Int) throws -> String {
    guard let token = try tokenizer.shownPiece(id) else { return "" }
    return String(pass([Array(token.unicodeScalars)], from: 0).joined())
  }

  mutating func finish() throws -> String {
    var text: [Unicode.Scalar] = []
    for index in steps.indices { text += pass(steps[index].finish(), from: index + 1).joined() }
    return String(text)
  }

  /// What a token adds behind others.
  func bytes(_ token: [Unicode.Scalar]) throws -> [UInt8] {
    if steps.contains(where: { $0 is ByteLevelDecoding }) { return ByteLevelDecoding.bytes(token) }
    if steps.contains(where: { $0 is ByteFallbackDecoding }), let byte = ByteFallbackDecoding.byte(token) {
      return [byte]
    }
    var decoder = self
    let text = decoder.pass([["a"]], from: 0) + decoder.pass([token], from: 0)
    return Array(try (String(text.joined()) + decoder.finish()).utf8.dropFirst())
  }

  private mutating func pass(_ tokens: [[Unicode.Scalar]], from start: Int) -> [[Unicode.Scalar]] {
    var tokens = tokens
    for index in steps.indices.dropFirst(start) {
      var passed: [[Unicode.Scalar]] = []
      for token in tokens { passed += steps[index].append(token) }
      tokens = passed
    }
    return tokens
  }
}

/// Bytes written as GPT-2's characters, up to the last whole character.
struct ByteLevelDecoding: DecodingStep {
  private var bytes: [UInt8] = []

  mutating func append(_ token: [Unicode.Scalar]) -> [[Unicode.Scalar]] {
    bytes += Self.bytes(token)
    let held = bytes.incompleteSuffix
    defer { bytes.removeFirst(bytes.count - held) }
    return [Self.text(bytes.dropLast(held))]
  }

  mutating func finish() -> [[Unicode.Scalar]] {
    defer { bytes = [] }
    return [Self.text(bytes[...])]
  }

  static func bytes(_ token: [Unicode.Scalar]) -> [UInt8] {
    let known = token.map(ByteLevel.byte)
    return known.contains(nil) ? Array(String(token).utf8) : known.compactMap { $0 }
  }

  private static func text(_ bytes: ArraySlice<UInt8>) -> [Unicode.Scalar] {
    Array(String(decoding: bytes, as: UTF8.self).unicodeScalars)
  }
}

extension [UInt8] {
  /// How many of the last bytes are the beginning of one UTF-8 character.
  var incompleteSuffix: Int {
    for length in 1...3 where length <= count {
      let byte = self[count - length]
      switch byte {
      case 0x80..<0xC0: continue
      case 0xC2..<0xE0: return length < 2 ? length : 0
      case 0xE0..<0xF0: return length < 3 && isBeginning(length) ? length : 0
      case 0xF0..<0xF5: return length < 4 && isBeginning(length) ? length : 0
      default: return 0
      }
    }
    return 0
  }

  /// Whether the second of the last bytes may follow the first of them.
  private func isBeginning(_ length: Int) -> Bool {
    guard length > 1 else { return true }
    let second = self[count - length + 1]
    switch self[count - length] {
    case 0xE0: return second >= 0xA0
    case 0xED: return second < 0xA0
    case 0xF0: return second >= 0x90
    case 0xF4: return second < 0x90
    default: return true
    }
  }
}

/// Words with a space before them, but for those that continue one.
struct WordPieceDecoding: DecodingStep {
  let prefix: [Unicode.Scalar]
  let cleansUp: Bool
  private var isFirst = true

  init(prefix: [Unicode.Scalar], cleansUp: Bool) {
    self.prefix = prefix
    self.cleansUp = cleansUp
  }

  mutating func append(_ token: [Unicode.Scalar]) -> [[Unicode.Scalar]] {
    var token = token
    if !isFirst {
      if token.starts(with: prefix) { token.removeFirst(prefix.count) } else { token.insert(" ", at: 0) }
    }
    isFirst = false
    return [cleansUp ? CleanUp.wordPiece(token) : token]
  }
}

/// A character that stands for a space; a text's first may go.
struct MetaspaceDecoding: DecodingStep {
  let replacement: Unicode.Scalar
  private var dropsSpace: Bool

  init(replacement: Unicode.Scalar, dropsFirst: Bool) {
    self.replacement = replacement
    dropsSpace = dropsFirst
  }

  mutating func append(_ token: [Unicode.Scalar]) -> [[Unicode.Scalar]] {
    defer { dropsSpace = false }
    return [dropsSpace ? token.filter { $0 != replacement } : token.map { $0 == replacement ? " " : $0 }]
  }
}

/// Words end with a mark, which is a space but at the text's end.
struct EndSuffixDecoding: DecodingStep {
  let suffix: Pattern
  private var held: [Unicode.Scalar]?

  init(suffix: [Unicode.Scalar]) { self.suffix = .text(suffix) }

  mutating func append(_ token: [Unicode.Scalar]) -> [[Unicode.Scalar]] {
    defer { held = token }
    return held.map { [suffix.replaced(in: $0, with: [" "])] } ?? []
  }

  mutating func finish() -> [[Unicode.Scalar]] {
    defer { held = nil }
    return held.map { [suffix.replaced(in: $0, with: [])] } ?? []
  }
}

/// Replaces a text in every token.
struct ReplaceDecoding: DecodingStep {
  let pattern: Pattern
  let content: [Unicode.Scalar]

  mutating func append(_ token: [Unicode.Scalar]) -> [[Unicode.Scalar]] {
    [pattern.replaced(in: token, with: content)]
  }
}

/// Tokens such as `<0x41>`: a run of them is a text, or as many U+FFFD where it is not UTF-8.
struct ByteFallbackDecoding: DecodingStep {
  private var bytes: [UInt8] = []

  mutating func append(_ token: [Unicode.Scalar]) -> [[Unicode.Scalar]] {
    guard let byte = Self.byte(token) else { return finish() + [token] }
    bytes.append(byte)
    return []
  }

  static func byte(_ token: [Unicode.Scalar]) -> UInt8? {
    let text = String(token)
    guard text.utf8.count == 6, text.hasPrefix("<0x"), text.hasSuffix(">") else { return nil }
    return UInt8(text.dropFirst(3).dropLast(), radix: 16)
  }

  mutating func finish() -> [[Unicode.Scalar]] {
    defer { bytes = [] }
    guard !bytes.isEmpty else { return [] }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      return Array(repeating: ["\u{FFFD}"], count: bytes.count)
    }
    return [Array(text.unicodeScalars)]
  }
}

/// Takes up to so many of a character from the beginning and the end: of every token, or of the whole text.
struct StripDecoding: DecodingStep {
  let content: Unicode.Scalar
  let start: Int
  let stop: Int
  let isOfWhole: Bool
  private var left: Int
  /// How many of the character were held back, because they may be the text's last.
  private var held = 0

  init(content: Unicode.Scalar, start: Int, stop: Int, isOfWhole: Bool) {
    (self.content, self.start, self.stop, self.isOfWhole) = (content, start, stop, isOfWhole)
    left = start
  }

  mutating func append(_ token: [Unicode.Scalar]) -> [[Unicode.Scalar]] {
    guard isOfWhole else {
      let first = token.prefix(start).prefix { $0 == content }.count
      let last = token.dropFirst(first).suffix(stop).reversed().prefix { $0 == content }.count
      return [Array(token[first..<token.count - last])]
    }
    var rest = token[...]
    while left > 0, rest.first == content {
      rest.removeFirst()
      left -= 1
    }
    if !rest.isEmpty { left = 0 }
    guard let end = rest.lastIndex(where: { $0 != content }) else {
      held += rest.count
      return []
    }
    defer { held = rest.endIndex - end - 1 }
    return [Array(repeating: content, count: held) + rest[...end]]
  }

  mutating func finish() -> [[Unicode.Scalar]] {
    defer { held = 0 }
    return [Array(repeating: content, count: max(held - stop, 0))]
  }
}

/// Tokens with spaces between them, where nothing else is said.
struct JoiningDecoding: DecodingStep {
  private var isFirst = true

  mutating func append(_ token: [Unicode.Scalar]) -> [[Unicode.Scalar]] {
    defer { isFirst = false }
    return [isFirst ? token : [" "] + token]
  }
}

/// Takes the spaces before punctuation and English endings from the whole text.
struct CleanUp: DecodingStep {
  private var held: [Unicode.Scalar] = []

  private static func rules(_ rules: [(String, String)]) -> [(Pattern, [Unicode.Scalar])] {
    rules.map { (.text(Array($0.unicodeScalars)), Array($1.unicodeScalars)) }
  }

  private static let punctuation = rules([
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
  ])
  private static let doNot = rules([(" do not", " don't")])
  private static let endings = rules([(" 's", "'s"), (" 've", "'ve"), (" 're", "'re")])

  private static func apply(_ rules: [(Pattern, [Unicode.Scalar])], to text: [Unicode.Scalar]) -> [Unicode
    .Scalar]
  {
    rules.reduce(text) { $1.0.replaced(in: $0, with: $1.1) }
  }

  /// What WordPiece's decoder does to each token.
  static func wordPiece(_ token: [Unicode.Scalar]) -> [Unicode.Scalar] {
    token.first == " " || token.contains(" ") ? apply(punctuation + doNot + endings, to: token) : token
  }

  mutating func append(_ token: [Unicode.Scalar]) -> [[Unicode.Scalar]] {
    let before = held.count
    held += token
    // No rule takes anything across a place between a character and a space, but behind an apostrophe or an n.
    guard
      let cut = held.indices.dropFirst(max(before, 1)).last(where: {
        held[$0] == " " && held[$0 - 1] != " " && held[$0 - 1] != "'" && held[$0 - 1] != "n"
      })
    else { return [] }
    defer { held.removeFirst(cut) }
    return [Self.apply(Self.punctuation + Self.endings, to: Array(held[..<cut]))]
  }

  mutating func finish() -> [[Unicode.Scalar]] {
    defer { held = [] }
    return [Self.apply(Self.punctuation + Self.endings, to: held)]
  }
}

/// Decodes SentencePiece's tokens one by one.
struct SentencePieceDecoder: StreamingDecoder {
  private let tokenizer: SentencePieceTokenizer
  /// Tokens before `ids` that decide how these are decoded: as many as have a text, because only a text's first space goes.
  private var context: [Int] = []
  /// Tokens whose text is not out yet.
  private var ids: [Int] = []

  init(_ tokenizer: SentencePieceTokenizer) { self.tokenizer = tokenizer }

  mutating func append(_ id: Int) throws -> String {
    // One that has no text may come within a character.
    guard !tokenizer.isControl(id) else { return "" }
    ids.append(id)
    return try incompleteBytes == ids.count ? "" : emit(ids.count - incompleteBytes)
  }

  mutating func finish() throws -> String { try ids.isEmpty ? "" : emit(ids.count) }

  /// The text of the first `count` of the tokens.
  private mutating func emit(_ count: Int) throws -> String {
    let own = Array(ids.prefix(count))
    let before = try tokenizer.decode(context)
    let all = try tokenizer.decode(context + own)
    context = try tokenizer.decode(own).isEmpty ? context + own : own
    ids.removeFirst(count)
    return String(decoding: all.utf8.dropFirst(before.utf8.count), as: UTF8.self)
  }

  /// How many of the last tokens are the beginning of one UTF-8 character.
  private var incompleteBytes: Int {
    var continuation = 0
    for id in ids.suffix(3).reversed() {
      guard let byte = tokenizer.byte(id) else { return 0 }
      continuation += 1
      switch byte {
      case 0x80..<0xC0: continue
      case 0xC0..<0xE0: return continuation < 2 ? continuation : 0
      case 0xE0..<0xF0: return continuation < 3 ? continuation : 0
      case 0xF0..<0xF8: return continuation < 4 ? continuation : 0
      default: return 0
      }
    }
    return 0
  }
}

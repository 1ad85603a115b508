/// Decodes tokens one by one into text that never ends within a character; all pieces together equal the decoding of
/// all tokens.
public struct StreamingDecoder: Sendable {
  private let tokenizer: Tokenizer
  private var ids: [Int] = []
  private var emitted = 0

  public init(_ tokenizer: Tokenizer) { self.tokenizer = tokenizer }

  /// Takes one more token.
  /// - Returns: the text that is certain now and was not before; empty within a character.
  public mutating func append(_ id: Int) throws -> String {
    ids.append(id)
    return try emit(tokenizer.decode(ids.dropLast(incompleteBytes)))
  }

  /// What was held back, with U+FFFD for bytes that never became a character.
  public mutating func finish() throws -> String { try emit(tokenizer.decode(ids)) }

  private mutating func emit(_ text: String) -> String {
    let new = text.utf8.dropFirst(emitted)
    emitted += new.count
    return String(decoding: new, as: UTF8.self)
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

import Torch

/// Text to token ids and back: what generating, training and serving need of any vocabulary.
public protocol Tokenizer: Sendable {
  /// How many token ids there are; ids count from 0.
  var vocabularySize: Int { get }
  /// The id that begins a text; nil where the vocabulary names none. A checkpoint's generation settings come before it.
  var bos: Int? { get }
  /// The id that ends a text; nil where the vocabulary names none. A checkpoint's generation settings come before it.
  var eos: Int? { get }
  /// The id that fills short rows of a batch; nil where the vocabulary names none.
  var pad: Int? { get }

  /// The tokens of a text alone, such as a prompt's, without any that begin or end it.
  /// - Throws: `TokenizerError` for a text that the vocabulary cannot express.
  func encode(_ text: String) throws -> [Int]

  /// The tokens that a model learns to write for a text, with those that the vocabulary puts around it, such as the end;
  /// GPT-2's puts none.
  /// - Throws: `TokenizerError` for a text that the vocabulary cannot express.
  func encodeTarget(_ text: String) throws -> [Int]

  /// The text of token ids; special ones, such as begin and end, are left out.
  /// - Throws: `TokenizerError` for an id that cannot be one of the vocabulary.
  func decode(_ ids: [Int]) throws -> String

  /// Decodes a text whose tokens come one by one.
  func streamingDecoder() -> any StreamingDecoder

  /// The vocabulary's entry, such as `▁cat` or `<0x41>`.
  /// - Throws: `TokenizerError` for an id that the vocabulary does not have.
  func piece(_ id: Int) throws -> String

  /// What a token adds to the UTF-8 of a text that others precede, such as the space before a word; nothing for a special one.
  /// - Throws: `TokenizerError` for an id that cannot be one of the vocabulary.
  func bytes(_ id: Int) throws -> [UInt8]

  /// What the tokenizer was read from, to be written beside a model's weights.
  var files: TokenizerFiles { get }
}

/// Decodes tokens one by one into text that never ends within a character; all pieces together equal the decoding of
/// all tokens.
public protocol StreamingDecoder: Sendable {
  /// Takes one more token.
  /// - Returns: the text that is certain now and was not before; empty within a character.
  mutating func append(_ id: Int) throws -> String

  /// What was held back, with U+FFFD for bytes that never became a character.
  mutating func finish() throws -> String
}

/// A text or vocabulary that cannot be used; says what was given and what to do.
public struct TokenizerError: SentenceError {
  /// One sentence, for people.
  public let description: String

  /// One sentence, for people.
  public init(_ description: String) { self.description = description }
}

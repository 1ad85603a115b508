import CSentencePiece
import Foundation

func check(_ error: CSPError?, _ context: String) throws {
  guard let error else { return }
  defer { csp_free(error) }
  throw TokenizerError(libraryReason(error).map { "\(context): \($0)" } ?? context)
}

/// SentencePiece's own words; nil where they name places in its sources.
func libraryReason(_ error: CSPError) -> String? {
  let reason = String(cString: error)
  return reason.contains(".cc(") || reason.contains(".h(") ? nil : reason
}

/// Text to token ids and back, by a SentencePiece model (Kudo & Richardson, 2018).
///
/// A training example is BOS, the prompt's tokens, the text's tokens and EOS; prompt and text are encoded apart, so
/// that a prompt given at generation has the tokens it had in training.
public final class SentencePieceTokenizer: Tokenizer, @unchecked Sendable {
  // SentencePieceProcessor's const functions may be called from several threads at once.
  private let processor: OpaquePointer
  /// The model file's bytes.
  public let modelData: Data
  /// How many token ids there are; ids count from 0.
  public let vocabularySize: Int
  /// The id that begins every text; every model has one.
  public let bos: Int?
  /// The id that ends every text; every model has one.
  public let eos: Int?
  /// The id that fills short rows of a batch; every model has one.
  public let pad: Int?
  private let ends: [Int]

  /// - Throws: `TokenizerError` for a file that is missing, damaged, or lacks one of the ids for begin, end and padding.
  public convenience init(contentsOf url: URL) throws {
    try self.init(modelData: TokenizerFiles.read(url), name: url.path)
  }

  /// - Throws: `TokenizerError` for bytes that are no model, or lack one of the ids for begin, end and padding.
  public init(modelData: Data, name: String = "the tokenizer model") throws {
    do { try SentencePieceModel.check(modelData) } catch let damage as SentencePieceModel.Damage {
      throw TokenizerError("\(name) is no SentencePiece model: \(damage.reason)")
    }
    var loaded: OpaquePointer?
    try check(
      modelData.withUnsafeBytes { csp_load($0.baseAddress, $0.count, &loaded) },
      "\(name) is no SentencePiece model")
    guard let loaded else { throw TokenizerError("\(name) is no SentencePiece model") }
    processor = loaded
    self.modelData = modelData
    vocabularySize = Int(csp_piece_count(loaded))
    let (bos, eos, pad) = (Int(csp_bos_id(loaded)), Int(csp_eos_id(loaded)), Int(csp_pad_id(loaded)))
    (self.bos, self.eos, self.pad) = (bos, eos, pad)
    for (id, role) in [(bos, "begin (bos)"), (eos, "end (eos)"), (pad, "padding (pad)")] where id < 0 {
      throw TokenizerError(
        "\(name) has no \(role) token: train one with 'gpt4mm tokenizer train', which adds all")
    }
    ends = [eos]
  }

  deinit { csp_release(processor) }

  // MARK: Encoding

  /// - Throws: `TokenizerError` for a character that the vocabulary cannot express at all.
  public func encode(_ text: String) throws -> [Int] {
    var ids: [Int] = []
    // SentencePiece writes a space as U+2581, so a real U+2581 has to go through its bytes.
    for (index, part) in text.unicodeScalars.split(separator: "\u{2581}", omittingEmptySubsequences: false)
      .enumerated()
    {
      if index > 0 { ids += try Self.spaceMark.map(bytePiece) }
      ids += try encodePlain(String(part))
    }
    return ids
  }

  /// The text's tokens and EOS.
  public func encodeTarget(_ text: String) throws -> [Int] { try encode(text) + ends }

  private static let spaceMark = Array("\u{2581}".utf8)

  private func bytePiece(_ byte: UInt8) throws -> Int {
    let id = csp_byte_piece(processor, byte)
    guard id >= 0 else {
      throw TokenizerError("the vocabulary has no byte fallback, so it cannot express the character U+2581")
    }
    return Int(id)
  }

  private func encodePlain(_ text: String) throws -> [Int] {
    guard !text.isEmpty else { return [] }
    var text = text
    var ids: UnsafeMutablePointer<Int32>?
    var count = 0
    try withExtendedLifetime(self) {
      try check(
        text.withUTF8 { utf8 in
          utf8.withMemoryRebound(to: CChar.self) {
            csp_encode(processor, $0.baseAddress, $0.count, &ids, &count)
          }
        }, "the text cannot be encoded")
    }
    defer { csp_free(ids) }
    return UnsafeBufferPointer(start: ids, count: count).map(Int.init)
  }

  // MARK: Decoding

  /// The text of token ids; begin, end and padding are left out.
  /// - Throws: `TokenizerError` for an id that the vocabulary does not have.
  public func decode(_ ids: [Int]) throws -> String {
    for id in ids where !(0..<vocabularySize).contains(id) {
      throw TokenizerError("token \(id) is not in the vocabulary, whose ids are 0 to \(vocabularySize - 1)")
    }
    let plain = ids.map(Int32.init).filter { !csp_is_control(processor, $0) }
    var text: UnsafeMutablePointer<CChar>?
    var size = 0
    try withExtendedLifetime(self) {
      try check(csp_decode(processor, plain, plain.count, &text, &size), "the tokens cannot be decoded")
    }
    defer { csp_free(text) }
    return String(decoding: UnsafeRawBufferPointer(start: text, count: size), as: UTF8.self)
  }

  /// The vocabulary's entry, such as `▁cat` or `<0x41>`.
  public func piece(_ id: Int) throws -> String {
    guard (0..<vocabularySize).contains(id) else {
      throw TokenizerError("token \(id) is not in the vocabulary, whose ids are 0 to \(vocabularySize - 1)")
    }
    var piece: UnsafeMutablePointer<CChar>?
    try withExtendedLifetime(self) { try check(csp_piece(processor, Int32(id), &piece), "token \(id)") }
    guard let piece else { return "" }
    defer { csp_free(piece) }
    return String(cString: piece)
  }

  /// Decodes one token after the other.
  public func streamingDecoder() -> any StreamingDecoder { SentencePieceDecoder(self) }

  /// `tokenizer.model`
  public var files: TokenizerFiles { TokenizerFiles(contents: [TokenizerFiles.sentencePieceName: modelData]) }

  /// What the token adds to a text; none for a control token.
  /// - Throws: `TokenizerError` for an id that is not in the vocabulary.
  public func bytes(_ id: Int) throws -> [UInt8] {
    if isControl(id) { return [] }
    if let byte = byte(id) { return [byte] }
    return Array(try piece(id).replacingOccurrences(of: "\u{2581}", with: " ").utf8)
  }

  /// Whether a token has no text, such as the one that ends a text.
  func isControl(_ id: Int) -> Bool {
    (0..<vocabularySize).contains(id) && withExtendedLifetime(self) { csp_is_control(processor, Int32(id)) }
  }

  /// The byte that a byte-fallback token stands for.
  func byte(_ id: Int) -> UInt8? {
    guard (0..<vocabularySize).contains(id) else { return nil }
    let byte = withExtendedLifetime(self) { csp_byte(processor, Int32(id)) }
    return byte < 0 ? nil : UInt8(byte)
  }
}

/// A tokenizer as Hugging Face's folders describe it: a text is searched for added tokens, normalised, cut into pieces, and
/// each piece made tokens of by a model; a target gets the tokens of a template around it.
struct HuggingFaceTokenizer: Tokenizer {
  /// What it is made of.
  struct Parts {
    var added: AddedTokens
    var preTokenizer: PreTokenizer?
    var model: any TokenModel
    /// What is put around a target.
    var prefix: [Int] = []
    var suffix: [Int] = []
    /// At their beginning.
    var decoding: [any DecodingStep]
    var bos: String?
    var eos: String?
    var pad: String?
  }

  private let parts: Parts
  let files: TokenizerFiles
  let vocabularySize: Int
  let bos: Int?
  let eos: Int?
  let pad: Int?

  init(_ parts: Parts, files: TokenizerFiles) {
    self.parts = parts
    self.files = files
    vocabularySize = max(parts.model.vocabulary.count, parts.added.count)
    func id(_ content: String?) -> Int? {
      content.flatMap { parts.added.id($0) ?? parts.model.vocabulary.id($0) }
    }
    (bos, eos, pad) = (id(parts.bos), id(parts.eos), id(parts.pad))
  }

  func encode(_ text: String) throws -> [Int] {
    var ids: [Int] = []
    for part in parts.added.split(Array(text.unicodeScalars)) {
      switch part {
      case .token(let id): ids.append(id)
      case .text(let piece):
        guard !piece.text.isEmpty else { continue }
        for piece in parts.preTokenizer.map({ $0(piece) }) ?? [piece] {
          try parts.model.append(piece.text, to: &ids)
        }
      }
    }
    return ids
  }

  func encodeTarget(_ text: String) throws -> [Int] { try parts.prefix + encode(text) + parts.suffix }

  func decode(_ ids: [Int]) throws -> String {
    var decoder = streamingDecoder()
    var text = ""
    for id in ids { text += try decoder.append(id) }
    return try text + decoder.finish()
  }

  func streamingDecoder() -> any StreamingDecoder { HuggingFaceDecoder(self, parts.decoding) }

  func piece(_ id: Int) throws -> String {
    guard let piece = entry(id) else {
      throw TokenizerError("token \(id) is not in the vocabulary, whose ids are 0 to \(vocabularySize - 1)")
    }
    return piece
  }

  func bytes(_ id: Int) throws -> [UInt8] {
    guard let piece = try shownPiece(id) else { return [] }
    return try HuggingFaceDecoder(self, parts.decoding).bytes(Array(piece.unicodeScalars))
  }

  private func entry(_ id: Int) -> String? {
    parts.added.tokens[id]?.content ?? parts.model.vocabulary.piece(id)
  }

  /// The entry that a token shows; nil for special ones, and where a model's head has more rows than the vocabulary entries.
  func shownPiece(_ id: Int) throws -> String? {
    guard id >= 0 else { throw TokenizerError("a token id must be from 0 on, got \(id)") }
    return entry(id).flatMap { parts.added.isSpecial($0) ? nil : $0 }
  }
}

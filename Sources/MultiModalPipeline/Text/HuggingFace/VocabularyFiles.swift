import Foundation
import MultiModalModel

/// Tokenizers from the files that were written before there was `tokenizer.json`.
enum VocabularyFiles {
  static let vocabularyName = "vocab.json"
  static let mergesName = "merges.txt"
  static let wordPieceName = "vocab.txt"
  static let fairseqName = "sentencepiece.bpe.model"

  /// GPT-2's or RoBERTa's byte pairs.
  static func bytePairs(_ vocabulary: Data, merges: Data, _ files: TokenizerFiles, place: String) throws
    -> HuggingFaceTokenizer.Parts
  {
    let entries = try TokenizerJSON.vocabulary(
      entries: JSONFields(vocabulary, name: "\(place)/\(vocabularyName)"))
    var pairs: [(String, String)] = []
    for line in try lines(merges, "\(place)/\(mergesName)") where !line.isEmpty && !line.hasPrefix("#version")
    {
      guard let pair = TokenizerJSON.pair(line) else {
        throw TokenizerError(
          "\(place)/\(mergesName): \"\(line.prefix(40))\" must be two texts with a space between")
      }
      pairs.append(pair)
    }
    let settings = try TokenizerSettings(
      files, place: place, fallback: entries.id("<s>") == nil ? .gpt2 : .roberta)
    var parts = HuggingFaceTokenizer.Parts(
      added: AddedTokens(normalizer: nil),
      preTokenizer: try settings.adjusted(.byteLevel(addsPrefixSpace: false, splits: true)),
      model: try named("\(place)/\(mergesName)") {
        try BytePairModel(entries, merges: pairs, options: .init())
      }, decoding: [ByteLevelDecoding()])
    try settings.complete(&parts)
    if settings.family != .gpt2 {
      try surround(&parts, settings, "cls_token", "sep_token", place)
    } else if try settings.configuration.bool("add_bos_token") ?? false {
      try surround(&parts, settings, "bos_token", nil, place)
    }
    return parts
  }

  /// BERT's words, or the characters of its Japanese kind.
  static func wordPieces(_ vocabulary: Data, _ files: TokenizerFiles, place: String) throws
    -> HuggingFaceTokenizer.Parts
  {
    let name = "\(place)/\(wordPieceName)"
    var lines = try lines(vocabulary, name)
    if lines.last?.isEmpty == true { lines.removeLast() }
    var entries = Vocabulary(capacity: lines.count)
    try named(name) { for (id, line) in lines.enumerated() { try entries.add(line, id: id) } }
    let settings = try TokenizerSettings(files, place: place, fallback: .bert)
    let unknown = settings.content("unk_token") ?? "[UNK]"
    var parts =
      try settings.family == .bertJapanese
      ? japaneseCharacters(entries, settings, unknown)
      : .init(
        added: AddedTokens(normalizer: settings.bertNormalizer()), preTokenizer: .bert,
        model: WordPieceModel(entries, unknown: unknown),
        decoding: [WordPieceDecoding(prefix: continuing, cleansUp: true)])
    try settings.complete(&parts)
    try surround(&parts, settings, "cls_token", "sep_token", place)
    return parts
  }

  private static let continuing = Array("##".unicodeScalars)

  /// Which words a dictionary finds does not matter where every character is a token, only what is no part of one.
  private static func japaneseCharacters(
    _ entries: Vocabulary, _ settings: TokenizerSettings, _ unknown: String
  )
    throws -> HuggingFaceTokenizer.Parts
  {
    let json = settings.configuration
    guard try json.string("subword_tokenizer_type") == "character" else {
      throw json.error("subword_tokenizer_type", "\"character\", the only kind that is supported")
    }
    try json.expect("do_lower_case", "false, the only value that is supported here") { $0.bool == false }
    let words =
      try json.read("word_tokenizer_type", "\"basic\" or \"mecab\", the kinds that are supported") {
        $0.string.flatMap { ["basic", "mecab"].contains($0) ? $0 : nil }
      } ?? "basic"
    let spaces: [Unicode.Scalar] = ["\t", "\n", "\u{B}", " "]
    return .init(
      added: AddedTokens(normalizer: words == "basic" ? .clean : CharacterModel.normalizer),
      preTokenizer: words == "basic"
        ? .whitespaceSplit : .sequence(spaces.map { .split(.text([$0]), .removed, inverted: false) }),
      model: CharacterModel(vocabulary: entries, unknown: unknown),
      decoding: [WordPieceDecoding(prefix: continuing, cleansUp: false)])
  }

  /// A SentencePiece model whose ids are fairseq's: four of its own first, and a mask last.
  static func fairseq(_ model: Data, _ files: TokenizerFiles, place: String) throws
    -> HuggingFaceTokenizer.Parts
  {
    let name = "\(place)/\(fairseqName)"
    let file = try named(name) { try SentencePieceFile(model) }
    guard file.pieces.count > 3 else { throw TokenizerError("\(name) has no entries") }
    let settings = try TokenizerSettings(files, place: place, fallback: .xlmRoberta)
    let entries =
      ["<s>", "<pad>", "</s>", "<unk>"].map { ($0, 0.0) }
      + file.pieces.dropFirst(3).map { ($0.text, Double($0.score)) } + [("<mask>", 0)]
    let charsmap = try named(name) { try file.charsmap.isEmpty ? nil : Charsmap(file.charsmap) }
    let spaces = PreTokenizer.Metaspace()
    var parts = HuggingFaceTokenizer.Parts(
      added: AddedTokens(normalizer: charsmap.map { .precompiled($0) }),
      preTokenizer: .sequence([.whitespaceSplit, .metaspace(spaces)]),
      model: try named(name) { try UnigramModel(entries, unknown: 3, hasByteFallback: false) },
      decoding: [MetaspaceDecoding(replacement: spaces.replacement, dropsFirst: true)])
    for piece in file.pieces where piece.kind == .control || piece.kind == .userDefined {
      try parts.added.add(
        .init(content: piece.text, isSpecial: piece.kind == .control), to: parts.model.vocabulary)
    }
    try settings.complete(&parts)
    try surround(&parts, settings, "bos_token", "eos_token", place)
    return parts
  }

  private static func surround(
    _ parts: inout HuggingFaceTokenizer.Parts, _ settings: TokenizerSettings, _ first: String,
    _ last: String?,
    _ place: String
  ) throws {
    func id(_ role: String) throws -> Int {
      guard let content = settings.content(role), let id = parts.added.id(content) else {
        throw TokenizerError("\(place) names no \"\(role)\"")
      }
      return id
    }
    parts.prefix = [try id(first)]
    parts.suffix = try last.map { [try id($0)] } ?? []
  }

  private static func lines(_ data: Data, _ name: String) throws -> [String] {
    try [UInt8](data).split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { line in
      let line = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
      guard let text = String(validating: line, as: UTF8.self) else {
        throw TokenizerError("\(name) is not UTF-8")
      }
      return text
    }
  }

  /// Puts a file's name before what is wrong with it.
  private static func named<Result>(_ name: String, _ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let error as TokenizerError {
      throw TokenizerError("\(name): \(error.description)")
    }
  }
}

import Foundation
import MultiModalModel

/// Reads `tokenizer.json`, the format of Hugging Face's tokenizers.
enum TokenizerJSON {
  static let name = "tokenizer.json"

  static func parts(_ json: JSONFields, _ settings: TokenizerSettings) throws
    -> HuggingFaceTokenizer.Parts
  {
    let normalizer = try settings.adjusted(json.object("normalizer").map(normalizer))
    try check(growth: normalizer?.growth ?? 1, of: "normalizer", json)
    let model = try model(json.required("model", json.object))
    var added = AddedTokens(normalizer: normalizer)
    for token in try json.objects("added_tokens") { try added.add(addedToken(token), to: model.vocabulary) }
    let decoding = try json.object("decoder").map { try Self.decoding($0) } ?? [JoiningDecoding()]
    try check(
      growth: decoding.compactMap { $0 as? ReplaceDecoding }
        .reduce(1) { $0 * $1.pattern.growth(to: $1.content) },
      of: "decoder", json)
    var parts = HuggingFaceTokenizer.Parts(
      added: added, preTokenizer: try settings.adjusted(json.object("pre_tokenizer").map(preTokenizer)),
      model: model, decoding: decoding)
    if let processor = try json.object("post_processor") { try surround(&parts, processor) }
    try settings.complete(&parts)
    return parts
  }

  /// A file must not make a text so long that it takes all memory.
  private static func check(growth: Double, of part: String, _ json: JSONFields) throws {
    guard growth <= 65536 else {
      throw json.error(
        part, "one that makes a text at most 65536 times longer, but may make it \(growth) times longer")
    }
  }

  static func addedToken(_ json: JSONFields) throws -> AddedTokens.Token {
    let isSpecial = try json.bool("special") ?? false
    return try AddedTokens.Token(
      content: json.required("content"), isSingleWord: json.bool("single_word") ?? false,
      stripsLeft: json.bool("lstrip") ?? false, stripsRight: json.bool("rstrip") ?? false,
      isNormalized: json.bool("normalized") ?? !isSpecial, isSpecial: isSpecial)
  }

  // MARK: Normalizers

  private static func normalizer(_ json: JSONFields) throws -> Normalizer {
    let kind = try json.required("type")
    if let form = Normalizer.Form(rawValue: kind) { return .unicode(form) }
    switch kind {
    case "Sequence": return .sequence(try json.objects("normalizers").map(normalizer))
    case "Lowercase": return .lowercase
    case "StripAccents": return .stripAccents
    case "BertNormalizer":
      return .bert(
        .init(
          cleansText: try json.bool("clean_text") ?? true,
          separatesChinese: try json.bool("handle_chinese_chars") ?? true,
          stripsAccents: try json.bool("strip_accents"), lowercases: try json.bool("lowercase") ?? true))
    case "Replace":
      return .replace(try pattern(json), with: Array(try json.required("content").unicodeScalars))
    case "Prepend": return .prepend(Array(try json.required("prepend").unicodeScalars))
    case "Strip":
      return .strip(
        left: try json.bool("strip_left") ?? true,
        right: try json.bool("strip_right") ?? true)
    case "Precompiled":
      let data = try json.read("precompiled_charsmap", "base64") {
        $0.string.flatMap { Data(base64Encoded: $0) }
      }
      return try data.map { .precompiled(try Charsmap($0)) } ?? .sequence([])
    default: throw json.unknownKind(kind)
    }
  }

  private static func pattern(_ json: JSONFields) throws -> Pattern {
    let pattern = try json.required("pattern", json.object)
    let text = try pattern.read("String", "a text of 1 to \(Vocabulary.longestPiece) bytes") {
      $0.string.flatMap { (1...Vocabulary.longestPiece).contains($0.utf8.count) ? $0 : nil }
    }
    if let text { return .text(Array(text.unicodeScalars)) }
    return try pattern.required("Regex") {
      try pattern.read($0, #"" {2,}" or "\s+", the expressions that are supported"#) {
        switch $0.string {
        case " {2,}": .spaces(2)
        case #"\s+"#: .whitespace
        default: nil
        }
      }
    }
  }

  // MARK: Pre-tokenizers

  private static func preTokenizer(_ json: JSONFields) throws -> PreTokenizer {
    let kind = try json.required("type")
    switch kind {
    case "Sequence": return .sequence(try json.objects("pretokenizers").map(preTokenizer))
    case "ByteLevel":
      return .byteLevel(
        addsPrefixSpace: try json.bool("add_prefix_space") ?? true,
        splits: try json.bool("use_regex") ?? true)
    case "Metaspace": return .metaspace(try metaspace(json))
    case "Whitespace": return .whitespace
    case "WhitespaceSplit": return .whitespaceSplit
    case "BertPreTokenizer": return .bert
    case "Digits": return .digits(individual: try json.bool("individual_digits") ?? false)
    case "Punctuation": return .punctuation(try json.choice("behavior") ?? .isolated)
    case "CharDelimiterSplit":
      return .split(
        .text([try json.required("delimiter", json.character)]), .removed, inverted: false)
    case "Split":
      return .split(
        try pattern(json), try json.choice("behavior") ?? .removed,
        inverted: try json.bool("invert") ?? false)
    default: throw json.unknownKind(kind)
    }
  }

  private static func metaspace(_ json: JSONFields) throws -> PreTokenizer.Metaspace {
    var settings = PreTokenizer.Metaspace()
    if let replacement = try json.character("replacement") { settings.replacement = replacement }
    // Older files say only whether a space is put before a text.
    let adds = try json.bool("add_prefix_space") ?? true
    settings.prepending = try json.choice("prepend_scheme") ?? (adds ? .always : .never)
    settings.splits = try json.bool("split") ?? true
    return settings
  }

  // MARK: What is put around a text

  private static func surround(_ parts: inout HuggingFaceTokenizer.Parts, _ json: JSONFields) throws {
    let kind = try json.required("type")
    switch kind {
    case "ByteLevel": break
    case "Sequence": for part in try json.objects("processors") { try surround(&parts, part) }
    case "RobertaProcessing", "BertProcessing":
      func id(_ key: String) throws -> Int {
        try json.required(key) {
          try json.read($0, "a token and its id") { $0.array?.count == 2 ? $0.array?[1].integer : nil }
        }
      }
      parts.prefix = try [id("cls")] + parts.prefix
      parts.suffix += [try id("sep")]
    case "TemplateProcessing": try surround(&parts, template: json)
    default: throw json.unknownKind(kind)
    }
  }

  private static func surround(_ parts: inout HuggingFaceTokenizer.Parts, template json: JSONFields)
    throws
  {
    var (before, after): ([Int], [Int]) = ([], [])
    var isBefore = true
    for item in try json.objects("single") {
      if try item.object("Sequence") != nil {
        guard isBefore else { throw json.error("single", "a template with one text") }
        isBefore = false
        continue
      }
      guard let special = try item.object("SpecialToken"),
        let ids = try json.object("special_tokens")?.object(special.required("id"))?.array("ids")
      else { throw json.error("single", "a template of a text and of tokens that \"special_tokens\" lists") }
      for case .integer(let id) in ids {
        if isBefore { before.append(id) } else { after.append(id) }
      }
    }
    guard !isBefore else { throw json.error("single", "a template with a text") }
    parts.prefix = before + parts.prefix
    parts.suffix += after
  }

  // MARK: Decoders

  /// - Parameter isWhole: whether a step before made one token of all
  private static func decoding(_ json: JSONFields, isWhole: Bool = false) throws -> [any DecodingStep] {
    let kind = try json.required("type")
    guard !isWhole || kind == "Strip" || kind == "Fuse" else {
      throw json.error("type", "Strip or Fuse behind Fuse or ByteLevel, got \"\(kind)\"")
    }
    switch kind {
    case "Sequence":
      var steps: [any DecodingStep] = []
      var isWhole = isWhole
      for part in try json.objects("decoders") {
        steps += try decoding(part, isWhole: isWhole)
        isWhole = try isWhole || ["Fuse", "ByteLevel"].contains(part.required("type"))
      }
      return steps
    case "ByteLevel": return [ByteLevelDecoding()]
    case "WordPiece":
      return [
        WordPieceDecoding(
          prefix: Array((try json.string("prefix") ?? "##").unicodeScalars),
          cleansUp: try json.bool("cleanup") ?? true)
      ]
    case "Metaspace":
      let settings = try metaspace(json)
      return [MetaspaceDecoding(replacement: settings.replacement, dropsFirst: settings.prepending != .never)]
    case "BPEDecoder":
      return [EndSuffixDecoding(suffix: Array((try json.string("suffix") ?? "</w>").unicodeScalars))]
    case "Replace":
      return [
        ReplaceDecoding(
          pattern: try pattern(json), content: Array(try json.required("content").unicodeScalars))
      ]
    case "ByteFallback": return [ByteFallbackDecoding()]
    case "Fuse": return []
    case "Strip":
      return [
        StripDecoding(
          content: try json.required("content", json.character),
          start: max(try json.integer("start") ?? 0, 0),
          stop: max(try json.integer("stop") ?? 0, 0), isOfWhole: isWhole)
      ]
    default: throw json.unknownKind(kind)
    }
  }
}

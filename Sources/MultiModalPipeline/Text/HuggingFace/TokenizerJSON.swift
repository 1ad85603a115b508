import Foundation

/// Reads `tokenizer.json`, the format of Hugging Face's tokenizers.
enum TokenizerJSON {
  static let name = "tokenizer.json"

  static func parts(_ json: JSONDescription, _ settings: TokenizerSettings) throws
    -> HuggingFaceTokenizer.Parts
  {
    let normalizer = try settings.adjusted(json.object("normalizer").map(normalizer))
    try check(growth: normalizer?.growth ?? 1, of: "normalizer", json)
    guard let modelJSON = try json.object("model") else {
      throw TokenizerError("\(json.place) describes no model")
    }
    let model = try model(modelJSON)
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
  private static func check(growth: Double, of part: String, _ json: JSONDescription) throws {
    guard growth <= 65536 else {
      throw json.wrong(
        part, "one that makes a text at most 65536 times longer, but may make it \(growth) times longer")
    }
  }

  static func addedToken(_ json: JSONDescription) throws -> AddedTokens.Token {
    let isSpecial = try json.boolean("special", default: false)
    return try AddedTokens.Token(
      content: json.required("content"), isSingleWord: json.boolean("single_word", default: false),
      stripsLeft: json.boolean("lstrip", default: false), stripsRight: json.boolean("rstrip", default: false),
      isNormalized: json.boolean("normalized", default: !isSpecial), isSpecial: isSpecial)
  }

  // MARK: Normalizers

  private static func normalizer(_ json: JSONDescription) throws -> Normalizer {
    let kind = try json.required("type")
    if let form = Normalizer.Form(rawValue: kind) { return .unicode(form) }
    switch kind {
    case "Sequence": return .sequence(try json.objects("normalizers").map(normalizer))
    case "Lowercase": return .lowercase
    case "StripAccents": return .stripAccents
    case "BertNormalizer":
      return .bert(
        .init(
          cleansText: try json.boolean("clean_text", default: true),
          separatesChinese: try json.boolean("handle_chinese_chars", default: true),
          stripsAccents: try json["strip_accents"].map { _ in
            try json.boolean("strip_accents", default: false)
          }, lowercases: try json.boolean("lowercase", default: true)))
    case "Replace":
      return .replace(try pattern(json), with: Array(try json.required("content").unicodeScalars))
    case "Prepend": return .prepend(Array(try json.required("prepend").unicodeScalars))
    case "Strip":
      return .strip(
        left: try json.boolean("strip_left", default: true),
        right: try json.boolean("strip_right", default: true))
    case "Precompiled":
      guard let text = try json.string("precompiled_charsmap") else { return .sequence([]) }
      guard let data = Data(base64Encoded: text) else { throw json.wrong("precompiled_charsmap", "base64") }
      return .precompiled(try Charsmap(data))
    default: throw json.unknownKind(kind)
    }
  }

  private static func pattern(_ json: JSONDescription) throws -> Pattern {
    guard let pattern = try json.object("pattern") else { throw json.wrong("pattern", "given") }
    if let text = try pattern.string("String") {
      guard (1...Vocabulary.longestPiece).contains(text.utf8.count) else {
        throw pattern.wrong("String", "a text of 1 to \(Vocabulary.longestPiece) bytes")
      }
      return .text(Array(text.unicodeScalars))
    }
    let expression = try pattern.required("Regex")
    switch expression {
    case " {2,}": return .spaces(2)
    case #"\s+"#: return .whitespace
    default:
      throw TokenizerError("\(pattern.place): the regular expression \"\(expression)\" is not supported")
    }
  }

  // MARK: Pre-tokenizers

  private static func preTokenizer(_ json: JSONDescription) throws -> PreTokenizer {
    let kind = try json.required("type")
    switch kind {
    case "Sequence": return .sequence(try json.objects("pretokenizers").map(preTokenizer))
    case "ByteLevel":
      return .byteLevel(
        addsPrefixSpace: try json.boolean("add_prefix_space", default: true),
        splits: try json.boolean("use_regex", default: true))
    case "Metaspace": return .metaspace(try metaspace(json))
    case "Whitespace": return .whitespace
    case "WhitespaceSplit": return .whitespaceSplit
    case "BertPreTokenizer": return .bert
    case "Digits": return .digits(individual: try json.boolean("individual_digits", default: false))
    case "Punctuation": return .punctuation(try json.choice("behavior", default: .isolated))
    case "CharDelimiterSplit":
      guard let delimiter = try json.character("delimiter") else {
        throw json.wrong("delimiter", "one character")
      }
      return .split(.text([delimiter]), .removed, inverted: false)
    case "Split":
      return .split(
        try pattern(json), try json.choice("behavior", default: .removed),
        inverted: try json.boolean("invert", default: false))
    default: throw json.unknownKind(kind)
    }
  }

  private static func metaspace(_ json: JSONDescription) throws -> PreTokenizer.Metaspace {
    var settings = PreTokenizer.Metaspace()
    if let replacement = try json.character("replacement") { settings.replacement = replacement }
    // Older files say only whether a space is put before a text.
    let adds = try json.boolean("add_prefix_space", default: true)
    settings.prepending = try json.choice("prepend_scheme", default: adds ? .always : .never)
    settings.splits = try json.boolean("split", default: true)
    return settings
  }

  // MARK: What is put around a text

  private static func surround(_ parts: inout HuggingFaceTokenizer.Parts, _ json: JSONDescription) throws {
    let kind = try json.required("type")
    switch kind {
    case "ByteLevel": break
    case "Sequence": for part in try json.objects("processors") { try surround(&parts, part) }
    case "RobertaProcessing", "BertProcessing":
      func id(_ key: String) throws -> Int {
        guard let pair = try json.array(key), pair.count == 2, case .integer(let id) = pair[1] else {
          throw json.wrong(key, "a token and its id")
        }
        return id
      }
      parts.prefix = try [id("cls")] + parts.prefix
      parts.suffix += [try id("sep")]
    case "TemplateProcessing": try surround(&parts, template: json)
    default: throw json.unknownKind(kind)
    }
  }

  private static func surround(_ parts: inout HuggingFaceTokenizer.Parts, template json: JSONDescription)
    throws
  {
    var (before, after): ([Int], [Int]) = ([], [])
    var isBefore = true
    for item in try json.objects("single") {
      if try item.object("Sequence") != nil {
        guard isBefore else { throw json.wrong("single", "a template with one text") }
        isBefore = false
        continue
      }
      guard let special = try item.object("SpecialToken"),
        let ids = try json.object("special_tokens")?.object(special.required("id"))?.array("ids")
      else { throw json.wrong("single", "a template of a text and of tokens that \"special_tokens\" lists") }
      for case .integer(let id) in ids {
        if isBefore { before.append(id) } else { after.append(id) }
      }
    }
    guard !isBefore else { throw json.wrong("single", "a template with a text") }
    parts.prefix = before + parts.prefix
    parts.suffix += after
  }

  // MARK: Decoders

  /// - Parameter isWhole: whether a step before made one token of all
  private static func decoding(_ json: JSONDescription, isWhole: Bool = false) throws -> [any DecodingStep] {
    let kind = try json.required("type")
    guard !isWhole || kind == "Strip" || kind == "Fuse" else {
      throw TokenizerError("\(json.place): \"\(kind)\" behind \"Fuse\" or \"ByteLevel\" is not supported")
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
          cleansUp: try json.boolean("cleanup", default: true))
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
      guard let content = try json.character("content") else { throw json.wrong("content", "one character") }
      return [
        StripDecoding(
          content: content, start: max(try json.integer("start") ?? 0, 0),
          stop: max(try json.integer("stop") ?? 0, 0), isOfWhole: isWhole)
      ]
    default: throw json.unknownKind(kind)
    }
  }
}

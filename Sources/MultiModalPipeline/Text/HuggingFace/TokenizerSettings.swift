import Foundation

/// What `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` say, as transformers reads them.
struct TokenizerSettings {
  /// The classes of transformers whose defaults are known.
  enum Family {
    case gpt2
    case roberta
    case bert
    case bertJapanese
    case xlmRoberta
  }

  let family: Family?
  let configuration: JSONDescription
  private let addedIDs: JSONDescription?
  /// By role, such as `bos_token`.
  private var special: [String: AddedTokens.Token] = [:]
  private var additional: [AddedTokens.Token] = []

  private static let roles = [
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
  ]

  static let configurationName = "tokenizer_config.json"
  static let specialName = "special_tokens_map.json"
  static let addedName = "added_tokens.json"

  /// - Parameters:
  ///   - place: the folder, for errors
  ///   - fallback: the family where the files name no class
  init(_ files: TokenizerFiles, place: String, fallback: Family? = nil) throws {
    func file(_ name: String) throws -> JSONDescription? {
      try files.contents[name].map { try JSONDescription($0, name: "\(place)/\(name)") }
    }
    let given = try file(Self.configurationName)
    configuration = try given ?? JSONDescription(.object([]), "\(place)/\(Self.configurationName)")
    let named = try configuration.string("tokenizer_class").flatMap(Self.family)
    family = named ?? fallback
    // The newer form of the configuration has all in one file.
    let isNew = configuration["added_tokens_decoder"] != nil
    addedIDs = isNew ? nil : try file(Self.addedName)
    for (role, content) in Self.defaults(family) { special[role] = Self.token(content, role) }
    for source in isNew ? [configuration] : [configuration, try file(Self.specialName)].compactMap({ $0 }) {
      for role in Self.roles {
        if let value = source[role] { special[role] = try Self.token(value, role, source) }
      }
      for key in ["additional_special_tokens", "extra_special_tokens"] {
        guard case .array(let values)? = source[key] else { continue }
        additional = try values.map { try Self.token($0, key, source) }
      }
    }
  }

  private static func family(_ name: String) -> Family? {
    switch name.hasSuffix("Fast") ? String(name.dropLast(4)) : name {
    case "GPT2Tokenizer": .gpt2
    case "RobertaTokenizer", "BartTokenizer": .roberta
    case "BertTokenizer": .bert
    case "BertJapaneseTokenizer": .bertJapanese
    case "XLMRobertaTokenizer": .xlmRoberta
    default: nil
    }
  }

  private static func defaults(_ family: Family?) -> [String: String] {
    switch family {
    case nil: [:]
    case .gpt2: ["bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"]
    case .bert, .bertJapanese:
      [
        "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]",
        "mask_token": "[MASK]",
      ]
    case .roberta, .xlmRoberta:
      [
        "bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>",
        "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>",
      ]
    }
  }

  private static func token(_ content: String, _ role: String) -> AddedTokens.Token {
    // RoBERTa's mask stands for a word with the space before it.
    .init(content: content, stripsLeft: role == "mask_token" && content == "<mask>", isSpecial: true)
  }

  private static func token(_ value: JSONDescription.Value, _ role: String, _ source: JSONDescription) throws
    -> AddedTokens.Token
  {
    if case .string(let content) = value { return token(content, role) }
    var token = try TokenizerJSON.addedToken(JSONDescription(value, "\(source.place): \(role)"))
    token.isSpecial = true
    return token
  }

  /// The text of a special token.
  func content(_ role: String) -> String? { special[role]?.content }

  /// Adds the tokens that the files name and the tokenizer does not have yet.
  func complete(_ parts: inout HuggingFaceTokenizer.Parts) throws {
    let specialContents = Set((special.values + additional).map { Array($0.content.utf8) })
    var named: [(id: Int, token: AddedTokens.Token)] = []
    for (key, value) in try configuration.object("added_tokens_decoder")?.fields ?? [] {
      guard let id = Int(key) else { throw configuration.wrong("added_tokens_decoder", "an object of ids") }
      named.append((id, try TokenizerJSON.addedToken(JSONDescription(value, configuration.place))))
    }
    for (content, value) in addedIDs?.fields ?? [] {
      guard case .integer(let id) = value else {
        throw TokenizerError("\(addedIDs?.place ?? ""): the id of \"\(content)\" must be a whole number")
      }
      named.append((id, .init(content: content, isNormalized: true)))
    }
    for (_, token) in named.sorted(by: { $0.id < $1.id }) {
      var token = token
      if specialContents.contains(Array(token.content.utf8)), !token.isSpecial {
        token.isSpecial = true
        if addedIDs != nil { token.isNormalized = false }
      }
      try parts.added.add(token, to: parts.model.vocabulary)
    }
    for token in Self.roles.compactMap({ special[$0] }) + additional
    where parts.added.id(token.content) == nil {
      try parts.added.add(token, to: parts.model.vocabulary)
    }
    (parts.bos, parts.eos, parts.pad) = (content("bos_token"), content("eos_token"), content("pad_token"))
    if try cleansUp(parts.model) { parts.decoding.append(CleanUp()) }
    parts.decoding += try textRules().map(\.step)
  }

  // MARK: What they change

  /// BERT's settings come before those of `tokenizer.json`.
  func adjusted(_ normalizer: Normalizer?) throws -> Normalizer? {
    guard family == .bert, case .bert(let settings)? = normalizer else { return normalizer }
    return try bertNormalizer(cleansText: settings.cleansText)
  }

  func bertNormalizer(cleansText: Bool = true) throws -> Normalizer {
    .bert(
      .init(
        cleansText: cleansText,
        separatesChinese: try configuration.boolean("tokenize_chinese_chars", default: true),
        stripsAccents: try configuration["strip_accents"].map { _ in
          try configuration.boolean("strip_accents", default: false)
        }, lowercases: try configuration.boolean("do_lower_case", default: true)))
  }

  /// Whether a space before the text comes before what `tokenizer.json` says.
  func adjusted(_ preTokenizer: PreTokenizer?) throws -> PreTokenizer? {
    guard case .byteLevel(let adds, let splits)? = preTokenizer else { return preTokenizer }
    let byDefault = family == .gpt2 || family == .roberta ? false : adds
    return .byteLevel(
      addsPrefixSpace: try configuration.boolean("add_prefix_space", default: byDefault), splits: splits)
  }

  private func textRules() throws -> [TextRule] {
    try (configuration.array("text_rules") ?? []).map {
      guard case .string(let name) = $0, let rule = TextRule(rawValue: name) else {
        throw configuration.wrong(
          "text_rules", "a list of \(TextRule.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      return rule
    }
  }

  /// Whether spaces before punctuation go from decoded texts: never behind byte pairs, as in transformers 5, unless the
  /// configuration insists.
  private func cleansUp(_ model: any TokenModel) throws -> Bool {
    guard try configuration.boolean("clean_up_tokenization_spaces", default: false) else { return false }
    return try !(model is BytePairModel)
      || configuration.boolean(
        "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", default: false)
  }
}

import Foundation
import MultiModalModel
import Torch

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
  let configuration: JSONFields
  private let addedIDs: JSONFields?
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
    func file(_ name: String) throws -> JSONFields? {
      try files.contents[name].map { try JSONFields($0, name: "\(place)/\(name)") }
    }
    configuration = try JSONFields(
      files.contents[Self.configurationName] ?? Data("{}".utf8), name: "\(place)/\(Self.configurationName)")
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
        additional = try values.enumerated().map { try Self.token($1, "\(key)[\($0)]", source) }
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

  private static func token(_ value: JSONFields.Value, _ role: String, _ source: JSONFields) throws
    -> AddedTokens.Token
  {
    if case .string(let content) = value { return token(content, role) }
    var token = try TokenizerJSON.addedToken(source.object(value, at: role))
    token.isSpecial = true
    return token
  }

  /// The text of a special token.
  func content(_ role: String) -> String? { special[role]?.content }

  /// Adds the tokens that the files name and the tokenizer does not have yet.
  func complete(_ parts: inout HuggingFaceTokenizer.Parts) throws {
    let specialContents = Set((special.values + additional).map { Array($0.content.utf8) })
    var named: [(id: Int, token: AddedTokens.Token)] = []
    if let tokens = try configuration.object("added_tokens_decoder") {
      for (key, value) in tokens.all {
        guard let id = Int(key) else { throw configuration.error("added_tokens_decoder", "an object of ids") }
        named.append((id, try TokenizerJSON.addedToken(tokens.object(value, at: key))))
      }
    }
    if let addedIDs {
      for (content, value) in addedIDs.all {
        named.append(
          (try TokenizerJSON.id(value, of: content, addedIDs), .init(content: content, isNormalized: true)))
      }
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
        separatesChinese: try configuration.bool("tokenize_chinese_chars") ?? true,
        stripsAccents: try configuration.bool("strip_accents"),
        lowercases: try configuration.bool("do_lower_case") ?? true))
  }

  /// Whether a space before the text comes before what `tokenizer.json` says.
  func adjusted(_ preTokenizer: PreTokenizer?) throws -> PreTokenizer? {
    guard case .byteLevel(let adds, let splits)? = preTokenizer else { return preTokenizer }
    let byDefault = family == .gpt2 || family == .roberta ? false : adds
    return .byteLevel(
      addsPrefixSpace: try configuration.bool("add_prefix_space") ?? byDefault, splits: splits)
  }

  private func textRules() throws -> [TextRule] {
    let known = TextRule.allCases.map(\.rawValue).joined(separator: ", ")
    return try configuration.read("text_rules", "a list of \(known)") {
      $0.list { $0.string.flatMap(TextRule.init) }
    } ?? []
  }

  /// Whether spaces before punctuation go from decoded texts: never behind byte pairs, as in transformers 5, unless the
  /// configuration insists.
  private func cleansUp(_ model: any TokenModel) throws -> Bool {
    guard try configuration.bool("clean_up_tokenization_spaces") ?? false else { return false }
    return try !(model is BytePairModel)
      || configuration.bool("clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output")
        ?? false
  }
}

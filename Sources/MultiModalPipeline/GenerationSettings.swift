import Foundation
import MultiModalModel

/// How a model's texts begin and end, and what is asked for where nobody says otherwise.
public struct GenerationSettings: Sendable, Equatable {
  /// The token that begins every text.
  public var start: Int
  /// Tokens that end a text; the first ends those that are learned.
  public var end: [Int]
  /// Fills up short rows.
  public var padding: Int
  /// What a text is asked for by default; its stop tokens are `end`.
  public var options: GenerationOptions
  /// What the texts began with that the model was trained on, `""` for nothing; nil where that is not known, or was something
  /// else for nearly every picture.
  public var prompts: [String]?

  /// - Parameters:
  ///   - options: whose stop tokens become `end`
  ///   - prompts: what the texts began with that the model was trained on
  public init(
    start: Int, end: [Int], padding: Int, options: GenerationOptions = GenerationOptions(),
    prompts: [String]? = nil
  ) {
    self.start = start
    self.end = end
    self.padding = padding
    self.prompts = prompts
    self.options = options
    self.options.stopTokens = end
  }

  /// What holds for a model: what its `config.json` says, for a family in which it does, else what the tokenizer says.
  /// - Parameter fields: of a `generation_config.json`, in the place of what `config.json` says
  /// - Throws: `ModelError` where nothing says how a text begins, or for a field that is no such thing.
  public init(
    _ configuration: any ImageToTextConfiguration, _ tokenizer: (any Tokenizer)?,
    _ fields: [String: JSONValue]? = nil
  ) throws {
    let own = configuration.generationFields
    try self.init(fields ?? own ?? [:], tokenizer: own == nil ? tokenizer : nil)
  }

  /// What a folder says, by the names of transformers' `GenerationConfig`.
  /// - Parameters:
  ///   - fields: of `generation_config.json` or, without one, of `config.json`
  ///   - tokenizer: says how texts begin and end where the fields do not; nil where a `config.json` would
  /// - Throws: `ModelError` where nothing says how a text begins, or for a field that is no such thing.
  public init(_ fields: [String: JSONValue], tokenizer: (any Tokenizer)?) throws {
    let reader = try JSONFields(.init(.object(fields)), refusal: ModelError.field)
    guard
      let start = try reader.tokens("decoder_start_token_id")?.first ?? reader.tokens("bos_token_id")?.first
        ?? tokenizer?.bos
    else {
      throw ModelError(
        "nothing says which token begins a text: give decoder_start_token_id in generation_config.json")
    }
    let end = try reader.tokens("eos_token_id") ?? tokenizer?.eos.map { [$0] } ?? []
    let padding = try reader.tokens("pad_token_id")?.first ?? tokenizer?.pad ?? end.first ?? start
    let prompts = try reader.texts("prompts")
    self.init(start: start, end: end, padding: padding, options: try reader.options(), prompts: prompts)
  }

  /// What texts begin with where nobody says otherwise: the one prompt that the model was trained with.
  public var prompt: String? { prompts?.count == 1 ? prompts?.first { !$0.isEmpty } : nil }

  /// A sentence where a text is to begin with something else than those that the model was trained on; nil elsewhere.
  public func warning(forPrompt prompt: String?) -> String? {
    guard let prompts, !prompts.contains(prompt ?? "") else { return nil }
    func quoted(_ text: String) -> String { text.isEmpty ? "none" : "\"\(text)\"" }
    return
      "the model was trained with other prompts than \(quoted(prompt ?? "")), so its texts may be of no use: "
      + "it knows \(prompts.map(quoted).joined(separator: ", "))"
  }

  /// What generation begins with: the start token and the prompt's.
  public func prompt(_ text: String?, by tokenizer: any Tokenizer) throws -> [Int] {
    try [start] + tokenizer.encode(text ?? "")
  }

  /// The same by the names of transformers' `GenerationConfig`; what is as it is by default is left out.
  public var fields: [String: JSONValue] {
    var fields: [String: JSONValue] = [
      "decoder_start_token_id": .int(start), "pad_token_id": .int(padding),
      "eos_token_id": end.count == 1 ? .int(end[0]) : .array(end.map(JSONValue.int)),
    ]
    let plain = GenerationOptions()
    func write<Value: Equatable>(
      _ name: String, _ path: KeyPath<GenerationOptions, Value>, _ json: (Value) -> JSONValue
    ) {
      if options[keyPath: path] != plain[keyPath: path] { fields[name] = json(options[keyPath: path]) }
    }
    func optional(_ value: Int?) -> JSONValue { value.map(JSONValue.int) ?? .null }
    func tokens(_ values: [Int]) -> JSONValue { .array(values.map(JSONValue.int)) }
    write("max_new_tokens", \.maxNewTokens, optional)
    write("max_length", \.maxLength, optional)
    write("min_new_tokens", \.minNewTokens, JSONValue.int)
    write("min_length", \.minLength, JSONValue.int)
    write("num_beams", \.numBeams, JSONValue.int)
    write("num_return_sequences", \.numReturnSequences, JSONValue.int)
    write("length_penalty", \.lengthPenalty, JSONValue.double)
    write("repetition_penalty", \.repetitionPenalty, JSONValue.double)
    write("no_repeat_ngram_size", \.noRepeatNGramSize, JSONValue.int)
    write("suppress_tokens", \.suppressTokens, tokens)
    write("begin_suppress_tokens", \.beginSuppressTokens, tokens)
    write("forced_bos_token_id", \.forcedBOSToken, optional)
    write("forced_eos_token_id", \.forcedEOSToken, optional)
    write("early_stopping", \.earlyStopping) { $0 == .always ? .bool(true) : .string("never") }
    if let prompts { fields["prompts"] = .array(prompts.map(JSONValue.string)) }
    if options.temperature > 0 {
      fields["do_sample"] = .bool(true)
      fields["temperature"] = .double(options.temperature)
      fields["top_k"] = .int(options.topK ?? 0)
      write("top_p", \.topP, JSONValue.double)
      write("min_p", \.minP, JSONValue.double)
    }
    return fields
  }
}

extension JSONFields {
  private static let counts = 0...1_000_000_000

  /// One token or several.
  fileprivate func tokens(_ name: String) throws -> [Int]? {
    try read(name, "a token id or a list of them") { value in
      func token(_ value: Value) -> Int? { value.integer.flatMap { $0 >= 0 ? $0 : nil } }
      return token(value).map { [$0] } ?? value.list(token)
    }
  }

  fileprivate func options() throws -> GenerationOptions {
    var options = GenerationOptions()
    options.maxNewTokens = try integer("max_new_tokens", in: Self.counts)
    options.maxLength = try integer("max_length", in: Self.counts)
    options.minNewTokens = try integer("min_new_tokens", in: Self.counts) ?? 0
    options.minLength = try integer("min_length", in: Self.counts) ?? 0
    options.numBeams = try integer("num_beams", in: 1...64) ?? 1
    options.numReturnSequences = try integer("num_return_sequences", in: 1...256) ?? 1
    options.lengthPenalty = try number("length_penalty", in: -1e6...1e6) ?? 1
    options.repetitionPenalty = try number("repetition_penalty", in: 1e-6...1e6) ?? 1
    options.noRepeatNGramSize = try integer("no_repeat_ngram_size", in: Self.counts) ?? 0
    options.suppressTokens = try tokens("suppress_tokens") ?? []
    options.beginSuppressTokens = try tokens("begin_suppress_tokens") ?? []
    options.forcedBOSToken = try tokens("forced_bos_token_id")?.first
    options.forcedEOSToken = try tokens("forced_eos_token_id")?.first
    options.earlyStopping =
      try read("early_stopping", "true, false or \"never\"") {
        $0.bool.map { $0 ? .always : .heuristic } ?? ($0.string == "never" ? .never : nil)
      } ?? .heuristic
    if try bool("do_sample") ?? false {
      guard options.numBeams == 1 else { throw error("num_beams", "1 where do_sample is true") }
      options.temperature = try number("temperature", in: 0.001...1e6) ?? 1
      let topK = try integer("top_k", in: Self.counts) ?? 50
      options.topK = topK > 0 ? topK : nil
      options.topP = try number("top_p", in: 1e-6...1) ?? 1
      options.minP = try number("min_p", in: 0...1) ?? 0
    }
    try expectPlainRest()
    return options
  }

  /// - Throws: `ModelError` for what would change the texts and is not done here.
  private func expectPlainRest() throws {
    let absent = [
      "bad_words_ids", "sequence_bias", "exponential_decay_length_penalty", "constraints", "force_words_ids",
      "penalty_alpha",
    ]
    let zero = ["diversity_penalty", "encoder_no_repeat_ngram_size", "epsilon_cutoff", "eta_cutoff"]
    let one = ["num_beam_groups", "typical_p", "guidance_scale", "encoder_repetition_penalty"]
    for name in absent { try expect(name, "left out, because it would change the texts") }
    for name in zero { try expect(name, "0 or left out") { $0.number == 0 } }
    for name in one { try expect(name, "1 or left out") { $0.number == 1 } }
    try expect("renormalize_logits", "false or left out") { $0.bool == false }
    try refuseUnknown(
      besides: Self.harmless,
      hint: "remove it from generation_config.json if it does not change the texts")
  }

  /// What says nothing about which tokens a text has: how it is computed, what is returned, and what counts for draws alone.
  private static let harmless: Set<String> = [
    "transformers_version", "use_cache", "output_attentions", "output_hidden_states", "output_scores",
    "output_logits",
    "return_dict_in_generate", "cache_implementation", "cache_config", "return_legacy_cache",
    "prefill_chunk_size",
    "compile_config", "disable_compile", "low_memory", "remove_invalid_values", "is_assistant",
    "num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold",
    "max_matching_ngram_size",
    "assistant_lookbehind", "target_lookbehind", "bos_token_id", "temperature", "top_k", "top_p", "min_p",
    "trust_remote_code",
  ]
}

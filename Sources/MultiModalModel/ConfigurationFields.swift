import Torch

/// Reads the fields of an object in a configuration: absent and null ones have the default, and what nobody asked for is refused
/// unless it is known to say nothing about what the model computes.
package struct ConfigurationFields {
  private let fields: [String: JSONValue]
  /// What messages call the object, such as `decoder.`; empty for the outermost.
  private let prefix: String
  private var asked: Set<String> = []

  /// - Throws: `ModelError` when the value is no object.
  package init(_ value: JSONValue?, prefix: String = "") throws {
    guard case .object(let fields)? = value else {
      throw ModelError(
        "\(prefix.isEmpty ? "config.json" : String(prefix.dropLast())) must be an object in braces")
    }
    self.fields = fields
    self.prefix = prefix
  }

  package mutating func value(_ name: String) -> JSONValue? {
    asked.insert(name)
    guard let value = fields[name], value != .null else { return nil }
    return value
  }

  package func error(_ name: String, _ must: String) -> ModelError {
    ModelError("\(prefix)\(name) must be \(must)")
  }

  package mutating func int(_ name: String, in range: ClosedRange<Int>) throws -> Int? {
    guard let value = value(name) else { return nil }
    guard case .int(let number) = value, range.contains(number) else {
      throw error(name, "a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  mutating func int(_ name: String, _ fallback: Int, in range: ClosedRange<Int>) throws -> Int {
    try int(name, in: range) ?? fallback
  }

  /// A whole number under the first of some names that is there.
  mutating func int(_ names: [String], _ fallback: Int, in range: ClosedRange<Int>) throws -> Int {
    var result = fallback
    for name in names.reversed() { result = try int(name, result, in: range) }
    return result
  }

  /// One number, or a height and a width.
  mutating func size(_ name: String, _ fallback: Int, most: Int) throws -> (height: Int, width: Int) {
    if case .array(let sides)? = value(name) {
      guard sides.count == 2, case .int(let height) = sides[0], case .int(let width) = sides[1],
        (1...most).contains(height), (1...most).contains(width)
      else { throw error(name, "a number of pixels, or two: height and width, up to \(most)") }
      return (height, width)
    }
    let side = try int(name, fallback, in: 1...most)
    return (side, side)
  }

  package mutating func bool(_ name: String, _ fallback: Bool) throws -> Bool {
    guard let value = value(name) else { return fallback }
    guard case .bool(let flag) = value else { throw error(name, "true or false") }
    return flag
  }

  package mutating func double(_ name: String, _ fallback: Double, in range: ClosedRange<Double>) throws
    -> Double
  {
    switch value(name) {
    case nil: return fallback
    case .int(let number)? where range.contains(Double(number)): return Double(number)
    case .double(let number)? where range.contains(number): return number
    default: throw error(name, "a number from \(range.lowerBound) to \(range.upperBound)")
    }
  }

  mutating func string(_ name: String) throws -> String? {
    guard let value = value(name) else { return nil }
    guard case .string(let text) = value else { throw error(name, "a text") }
    return text
  }

  /// A field that would change what the model computes and may only have the value under which it does not.
  package mutating func expect(_ name: String, _ allowed: JSONValue..., because reason: String) throws {
    guard let value = value(name), !allowed.contains(value) else { return }
    throw ModelError("\(prefix)\(name) has a value that is not supported: \(reason)")
  }

  /// - Throws: `ModelError` that names what was not asked for and is not known to be harmless.
  func refuseUnknown(besides harmless: Set<String> = []) throws {
    try refuseUnknown(
      besides: harmless.union(Self.harmless),
      because: "may change what the model computes: remove it from config.json")
  }

  /// - Throws: `ModelError` that names what was not asked for, is not null and not known to be harmless.
  package func refuseUnknown(besides harmless: Set<String>, because reason: String) throws {
    let unknown = fields.filter { name, value in
      value != .null && !asked.contains(name) && !harmless.contains(name) && !name.hasPrefix("_")
    }.keys.sorted()
    guard let first = unknown.first else { return }
    let others = unknown.dropFirst().joined(separator: ", ")
    throw ModelError(
      "\(prefix)\(first) is not known here and \(reason) if it does not"
        + (others.isEmpty ? "" : " (the same goes for \(others))"))
  }

  /// Fields of transformers' configurations that say nothing about what a model computes: about files, training, other tasks,
  /// what is returned, and how texts are generated, which is read for itself.
  private static let harmless: Set<String> = [
    "architectures", "model_type", "torch_dtype", "dtype", "transformers_version", "id2label", "label2id",
    "num_labels",
    "finetuning_task", "task_specific_params", "problem_type", "return_dict", "output_attentions",
    "output_hidden_states",
    "output_scores", "return_dict_in_generate", "use_cache", "use_bfloat16", "torchscript",
    "chunk_size_feed_forward",
    "gradient_checkpointing", "tf_legacy_loss", "tokenizer_class", "processor_class", "initializer_range",
    "init_std",
    "encoder_stride", "pooler_output_size", "pooler_act", "is_encoder_decoder", "is_decoder",
    "tie_encoder_decoder",
    "cross_attention_hidden_size", "tie_word_embeddings", "prefix", "sep_token_id", "auto_map",
    "summary_activation",
    "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj",
    "classifier_dropout",
    "decoder_layerdrop", "encoder_layerdrop", "n_ctx", "bos_token_id", "eos_token_id", "pad_token_id",
    "decoder_start_token_id", "max_length", "min_length", "do_sample", "early_stopping", "num_beams",
    "num_beam_groups",
    "diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty",
    "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences",
    "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values", "exponential_decay_length_penalty",
    "suppress_tokens", "begin_suppress_tokens", "classifier_activation", "directionality", "pooler_fc_size",
    "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type",
    "max_new_tokens",
  ]
}

extension Activation {
  /// By the name that transformers gives it.
  /// - Throws: `ModelError` for one that is not supported.
  init(transformers name: String, field: String) throws {
    switch name {
    case "gelu", "gelu_python": self = .gelu
    case "gelu_new", "gelu_pytorch_tanh", "gelu_fast": self = .geluTanh
    case "relu": self = .relu
    default:
      throw ModelError(
        "\(field) is \"\(name)\", which is not supported: it may be gelu, gelu_new, gelu_pytorch_tanh, gelu_fast or relu"
      )
    }
  }
}

import Torch

extension ModelError {
  /// A field that is not what it must be.
  package static func field(_ path: String, _ problem: String) -> ModelError {
    ModelError("\(path) \(problem)")
  }
}

/// What `config.json` of transformers has.
extension JSONFields {
  /// A whole number under the first of some names that is there.
  func integer(_ names: [String], in range: ClosedRange<Int>) throws -> Int? {
    try names.compactMap { try integer($0, in: range) }.first
  }

  /// One number, or a height and a width.
  func size(_ name: String, most: Int) throws -> (height: Int, width: Int)? {
    try read(name, "a number of pixels, or two: height and width, up to \(most)") { value in
      guard let sides = value.integer.map({ [$0, $0] }) ?? value.list(\.integer), sides.count == 2,
        sides.allSatisfy((1...most).contains)
      else { return nil }
      return (sides[0], sides[1])
    }
  }

  func activation(_ name: String) throws -> Activation? {
    try read(name, "gelu, gelu_new, gelu_pytorch_tanh, gelu_fast or relu") {
      switch $0.string {
      case "gelu", "gelu_python": .gelu
      case "gelu_new", "gelu_pytorch_tanh", "gelu_fast": .geluTanh
      case "relu": .relu
      default: nil
      }
    }
  }

  /// - Throws: `ModelError` that names what was not asked for and is not known to be harmless.
  func refuseOthers(besides harmless: Set<String> = []) throws {
    try refuseUnknown(
      besides: harmless.union(Self.harmless),
      hint: "remove it from config.json if it does not change what the model computes")
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

import Torch

/// The decoder's part of a vision encoder-decoder's `config.json`.
struct TextDecoderConfiguration: Equatable, Sendable {
  /// What transformers calls `model_type`.
  enum Kind: String, Sendable, CaseIterable {
    case trocr
    case gpt2
    case bert
    case roberta
  }

  enum Positions: Equatable, Sendable {
    case learned
    /// Sines and cosines, whose first row belongs to padding.
    case sinusoidal
  }

  let kind: Kind
  let vocabulary: Int
  let width: Int
  let depth: Int
  let heads: Int
  let innerWidth: Int
  let activation: Activation
  let eps: Double
  let positions: Positions
  /// Rows of the table of positions, and the row of a text's first token.
  let positionRows: Int
  let firstPosition: Int
  /// What the table is made for is called by the configuration.
  let positionsName: String
  let scalesEmbedding: Bool
  let normalizesEmbedding: Bool
  let tokenTypes: Int
  /// Of the encoder's output as cross-attention takes it.
  private(set) var contextWidth = 0
  /// Whether attention's products are divided by the root of the heads' width, and by the layer's number from 1.
  private(set) var scalesAttention = true
  private(set) var scalesByLayer = false
  private(set) var hasTiedHead = true
  let embeddingDropout: Double
  let dropout: Double
  let attentionDropout: Double
  let activationDropout: Double

  /// Padding, where its place in a text has a row of its own.
  var unplacedToken: Int? { kind == .roberta || positions == .sinusoidal ? firstPosition - 1 : nil }

  /// The most tokens of a text.
  var longestText: Int { positionRows - firstPosition }

  private static let widths = 1...65536
  private static let depths = 1...1024

  /// - Parameter encoderWidth: of the encoder's output
  init(_ fields: JSONFields, encoderWidth: Int) throws {
    let kind: Kind = try fields.required("model_type", fields.choice)
    let padding = try fields.integer("pad_token_id", in: 0...100_000_000) ?? (kind == .bert ? 0 : 1)
    switch kind {
    case .trocr: try self.init(trOCR: fields, padding: padding)
    case .gpt2: try self.init(gpt2: fields)
    case .bert, .roberta: try self.init(kind, bert: fields, padding: padding)
    }
    hasTiedHead = try fields.bool("tie_word_embeddings") ?? true
    if kind != .trocr {
      // Otherwise the class has no cross-attention, and never sees the picture.
      try fields.expect("add_cross_attention", "true, because the decoder attends to the picture") {
        $0.bool == true
      }
    }
    try fields.expect("pruned_heads", "empty, because heads cannot be left out") {
      $0.object?.isEmpty == true
    }
    let cross = try fields.integer("cross_attention_hidden_size", in: 0...65536) ?? 0
    contextWidth = cross > 0 ? cross : width
    guard cross == 0 || cross == encoderWidth, kind == .trocr || contextWidth == width else {
      throw ModelError(
        "decoder.cross_attention_hidden_size must be encoder.hidden_size, or absent, got \(cross) and \(encoderWidth)"
      )
    }
    try checkSizes(padding: padding)
    try fields.refuseOthers(besides: ["add_cross_attention"])
  }

  private init(trOCR fields: JSONFields, padding: Int) throws {
    kind = .trocr
    vocabulary = try fields.integer("vocab_size", in: 1...10_000_000) ?? 50265
    width = try fields.integer(["d_model", "hidden_size"], in: Self.widths) ?? 1024
    depth = try fields.integer(["decoder_layers", "num_hidden_layers"], in: Self.depths) ?? 12
    heads = try fields.integer(["decoder_attention_heads", "num_attention_heads"], in: Self.depths) ?? 16
    innerWidth = try fields.integer("decoder_ffn_dim", in: 1...1_048_576) ?? 4096
    activation = try fields.activation("activation_function") ?? .gelu
    eps = 1e-5
    positions = try fields.bool("use_learned_position_embeddings") == false ? .sinusoidal : .learned
    let most = try fields.integer("max_position_embeddings", in: 1...1_048_576) ?? 512
    firstPosition = positions == .learned ? 2 : padding + 1
    positionRows = positions == .learned ? most + 2 : most + firstPosition
    positionsName = "max_position_embeddings"
    scalesEmbedding = try fields.bool("scale_embedding") ?? false
    normalizesEmbedding = try fields.bool("layernorm_embedding") ?? true
    tokenTypes = 0
    dropout = try fields.number("dropout", in: 0...0.99) ?? 0.1
    embeddingDropout = dropout
    attentionDropout = try fields.number("attention_dropout", in: 0...0.99) ?? 0
    activationDropout = try fields.number("activation_dropout", in: 0...0.99) ?? 0
  }

  private init(gpt2 fields: JSONFields) throws {
    kind = .gpt2
    vocabulary = try fields.integer("vocab_size", in: 1...10_000_000) ?? 50257
    width = try fields.integer(["n_embd", "hidden_size"], in: Self.widths) ?? 768
    depth = try fields.integer(["n_layer", "num_hidden_layers"], in: Self.depths) ?? 12
    heads = try fields.integer(["n_head", "num_attention_heads"], in: Self.depths) ?? 12
    innerWidth = try fields.integer("n_inner", in: 1...1_048_576) ?? 4 * width
    activation = try fields.activation("activation_function") ?? .geluTanh
    eps = try fields.number("layer_norm_epsilon", in: 0...1) ?? 1e-5
    positions = .learned
    firstPosition = 0
    positionRows = try fields.integer(["n_positions", "max_position_embeddings"], in: 1...1_048_576) ?? 1024
    positionsName = "n_positions"
    (scalesEmbedding, normalizesEmbedding, tokenTypes) = (false, false, 0)
    dropout = try fields.number("resid_pdrop", in: 0...0.99) ?? 0.1
    attentionDropout = try fields.number("attn_pdrop", in: 0...0.99) ?? 0.1
    activationDropout = 0
    embeddingDropout = try fields.number("embd_pdrop", in: 0...0.99) ?? 0.1
    scalesAttention = try fields.bool("scale_attn_weights") ?? true
    scalesByLayer = try fields.bool("scale_attn_by_inverse_layer_idx") ?? false
    _ = try fields.bool("reorder_and_upcast_attn")
  }

  private init(_ kind: Kind, bert fields: JSONFields, padding: Int) throws {
    self.kind = kind
    vocabulary = try fields.integer("vocab_size", in: 1...10_000_000) ?? (kind == .bert ? 30522 : 50265)
    width = try fields.integer("hidden_size", in: Self.widths) ?? 768
    depth = try fields.integer("num_hidden_layers", in: Self.depths) ?? 12
    heads = try fields.integer("num_attention_heads", in: Self.depths) ?? 12
    innerWidth = try fields.integer("intermediate_size", in: 1...1_048_576) ?? 3072
    activation = try fields.activation("hidden_act") ?? .gelu
    eps = try fields.number("layer_norm_eps", in: 0...1) ?? 1e-12
    positions = .learned
    positionRows = try fields.integer("max_position_embeddings", in: 1...1_048_576) ?? 512
    firstPosition = kind == .bert ? 0 : padding + 1
    positionsName = "max_position_embeddings"
    (scalesEmbedding, normalizesEmbedding) = (false, true)
    tokenTypes = try fields.integer("type_vocab_size", in: 1...1024) ?? 2
    dropout = try fields.number("hidden_dropout_prob", in: 0...0.99) ?? 0.1
    embeddingDropout = dropout
    attentionDropout = try fields.number("attention_probs_dropout_prob", in: 0...0.99) ?? 0.1
    activationDropout = 0
    try fields.expect("position_embedding_type", "absolute, because relative positions are not computed") {
      $0.string == "absolute"
    }
  }

  private func checkSizes(padding: Int) throws {
    guard width % heads == 0 else {
      throw ModelError("the decoder's width must be a multiple of its heads, got \(width) and \(heads)")
    }
    // Such a table is computed, before any weight could show that the numbers are wrong.
    guard positions == .learned || positionRows * width <= 1 << 27 else {
      throw ModelError(
        "decoder.\(positionsName) and decoder.d_model are \(positionRows) and \(width), which makes a table of more than half a gigabyte"
      )
    }
    guard firstPosition < positionRows else {
      throw ModelError(
        "decoder.\(positionsName) is \(positionRows), which leaves no place behind that of padding, \(padding)"
      )
    }
  }
}

extension TextDecoderConfiguration.Kind {
  /// The special tokens that transformers' classes have by default.
  var generationFields: [String: JSONValue] {
    switch self {
    case .trocr:
      [
        "decoder_start_token_id": .int(2), "bos_token_id": .int(0), "pad_token_id": .int(1),
        "eos_token_id": .int(2),
      ]
    case .gpt2: ["bos_token_id": .int(50256), "eos_token_id": .int(50256)]
    case .bert: ["pad_token_id": .int(0)]
    case .roberta: ["bos_token_id": .int(0), "pad_token_id": .int(1), "eos_token_id": .int(2)]
    }
  }
}

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
  init(_ value: JSONValue?, encoderWidth: Int) throws {
    var fields = try ConfigurationFields(value, prefix: "decoder.")
    let type = try fields.string("model_type")
    guard let kind = type.flatMap(Kind.init(rawValue:)) else {
      throw ModelError(
        "decoder.model_type is \"\(type ?? "")\", which is not supported: it may be "
          + Kind.allCases.map(\.rawValue).joined(separator: ", "))
    }
    let padding = try fields.int(
      "pad_token_id", kind == .bert ? 0 : 1, in: 0...100_000_000)
    switch kind {
    case .trocr: try self.init(trOCR: &fields, padding: padding)
    case .gpt2: try self.init(gpt2: &fields)
    case .bert, .roberta: try self.init(kind, bert: &fields, padding: padding)
    }
    hasTiedHead = try fields.bool("tie_word_embeddings", true)
    if kind != .trocr {
      // Otherwise the class has no cross-attention, and never sees the picture.
      try fields.expect(
        "add_cross_attention", .bool(true), because: "the decoder must attend to the picture")
    }
    try fields.expect("pruned_heads", .object([:]), because: "heads cannot be left out")
    let cross = try fields.int("cross_attention_hidden_size", 0, in: 0...65536)
    contextWidth = cross > 0 ? cross : width
    guard cross == 0 || cross == encoderWidth, kind == .trocr || contextWidth == width else {
      throw ModelError(
        "decoder.cross_attention_hidden_size must be encoder.hidden_size, or absent, got \(cross) and \(encoderWidth)"
      )
    }
    try checkSizes(padding: padding)
    try fields.refuseUnknown(besides: ["add_cross_attention"])
  }

  private init(trOCR fields: inout ConfigurationFields, padding: Int) throws {
    kind = .trocr
    vocabulary = try fields.int("vocab_size", 50265, in: 1...10_000_000)
    width = try fields.int(["d_model", "hidden_size"], 1024, in: Self.widths)
    depth = try fields.int(["decoder_layers", "num_hidden_layers"], 12, in: Self.depths)
    heads = try fields.int(["decoder_attention_heads", "num_attention_heads"], 16, in: Self.depths)
    innerWidth = try fields.int("decoder_ffn_dim", 4096, in: 1...1_048_576)
    activation = try Activation(
      transformers: fields.string("activation_function") ?? "gelu", field: "decoder.activation_function")
    eps = 1e-5
    positions = try fields.bool("use_learned_position_embeddings", true) ? .learned : .sinusoidal
    let most = try fields.int("max_position_embeddings", 512, in: 1...1_048_576)
    firstPosition = positions == .learned ? 2 : padding + 1
    positionRows = positions == .learned ? most + 2 : most + firstPosition
    positionsName = "max_position_embeddings"
    scalesEmbedding = try fields.bool("scale_embedding", false)
    normalizesEmbedding = try fields.bool("layernorm_embedding", true)
    tokenTypes = 0
    dropout = try fields.double("dropout", 0.1, in: 0...0.99)
    embeddingDropout = dropout
    attentionDropout = try fields.double("attention_dropout", 0, in: 0...0.99)
    activationDropout = try fields.double("activation_dropout", 0, in: 0...0.99)
  }

  private init(gpt2 fields: inout ConfigurationFields) throws {
    kind = .gpt2
    vocabulary = try fields.int("vocab_size", 50257, in: 1...10_000_000)
    width = try fields.int(["n_embd", "hidden_size"], 768, in: Self.widths)
    depth = try fields.int(["n_layer", "num_hidden_layers"], 12, in: Self.depths)
    heads = try fields.int(["n_head", "num_attention_heads"], 12, in: Self.depths)
    innerWidth = try fields.int("n_inner", 4 * width, in: 1...1_048_576)
    activation = try Activation(
      transformers: fields.string("activation_function") ?? "gelu_new", field: "decoder.activation_function"
    )
    eps = try fields.double("layer_norm_epsilon", 1e-5, in: 0...1)
    positions = .learned
    firstPosition = 0
    positionRows = try fields.int(["n_positions", "max_position_embeddings"], 1024, in: 1...1_048_576)
    positionsName = "n_positions"
    (scalesEmbedding, normalizesEmbedding, tokenTypes) = (false, false, 0)
    dropout = try fields.double("resid_pdrop", 0.1, in: 0...0.99)
    attentionDropout = try fields.double("attn_pdrop", 0.1, in: 0...0.99)
    activationDropout = 0
    embeddingDropout = try fields.double("embd_pdrop", 0.1, in: 0...0.99)
    scalesAttention = try fields.bool("scale_attn_weights", true)
    scalesByLayer = try fields.bool("scale_attn_by_inverse_layer_idx", false)
    _ = try fields.bool("reorder_and_upcast_attn", false)
  }

  private init(_ kind: Kind, bert fields: inout ConfigurationFields, padding: Int) throws {
    self.kind = kind
    vocabulary = try fields.int("vocab_size", kind == .bert ? 30522 : 50265, in: 1...10_000_000)
    width = try fields.int("hidden_size", 768, in: Self.widths)
    depth = try fields.int("num_hidden_layers", 12, in: Self.depths)
    heads = try fields.int("num_attention_heads", 12, in: Self.depths)
    innerWidth = try fields.int("intermediate_size", 3072, in: 1...1_048_576)
    activation = try Activation(
      transformers: fields.string("hidden_act") ?? "gelu", field: "decoder.hidden_act")
    eps = try fields.double("layer_norm_eps", 1e-12, in: 0...1)
    positions = .learned
    positionRows = try fields.int("max_position_embeddings", 512, in: 1...1_048_576)
    firstPosition = kind == .bert ? 0 : padding + 1
    positionsName = "max_position_embeddings"
    (scalesEmbedding, normalizesEmbedding) = (false, true)
    tokenTypes = try fields.int("type_vocab_size", 2, in: 1...1024)
    dropout = try fields.double("hidden_dropout_prob", 0.1, in: 0...0.99)
    embeddingDropout = dropout
    attentionDropout = try fields.double("attention_probs_dropout_prob", 0.1, in: 0...0.99)
    activationDropout = 0
    try fields.expect(
      "position_embedding_type", .string("absolute"), because: "relative positions are not computed")
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

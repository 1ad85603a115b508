import Torch

// The shared layers as zetascale builds and names them. Parts are built in its order, so that a seed gives its weights.

extension Attention {
  /// Without biases: `to_q`, `to_k`, `to_v` [heads · 64, dim] and `to_out` [dim, heads · 64].
  /// - Parameters:
  ///   - dim: width of the input and output
  ///   - qkNorm: L2-normalise queries and keys and multiply their products by 10 instead of 1/√64
  ///   - flash: use a fused kernel
  public convenience init(
    _ path: ParameterPath, dim: Int, heads: Int, qkNorm: Bool = false, flash: Bool = true, dropout: Double = 0
  ) throws {
    let inner = heads * GPT4MultiModal.Configuration.headDim
    self.init(
      query: try Linear(path / "to_q", inputs: dim, outputs: inner, bias: false),
      key: try Linear(path / "to_k", inputs: dim, outputs: inner, bias: false),
      value: try Linear(path / "to_v", inputs: dim, outputs: inner, bias: false),
      out: try Linear(path / "to_out", inputs: inner, outputs: dim, bias: false), heads: heads,
      qkNorm: qkNorm, flash: flash, dropout: dropout)
  }
}

extension FeedForward {
  /// With GELU, four times as wide inside.
  fileprivate convenience init(_ path: ParameterPath, dim: Int, dropout: Double) throws {
    self.init(
      in: try Linear(path / "ff" / 0 / 0, inputs: dim, outputs: 4 * dim),
      out: try Linear(path / "ff" / 2, inputs: 4 * dim, outputs: dim), activation: .gelu, dropout: dropout)
  }
}

extension BlockNorm {
  fileprivate init(_ path: ParameterPath, dim: Int) throws {
    self.init(norm: try LayerNorm(path / 0 / 0, width: dim), placement: .before)
  }
}

extension TransformerEncoder {
  /// Pre-norm layers.
  public convenience init(
    _ path: ParameterPath, dim: Int, depth: Int, heads: Int, flash: Bool = true, attnDropout: Double = 0,
    ffDropout: Double = 0
  ) throws {
    let layers = try (0..<depth).map { depth in
      let attention = path / "layers" / (2 * depth)
      let feedForward = path / "layers" / (2 * depth + 1)
      return Layer(
        attentionNorm: try BlockNorm(attention, dim: dim),
        attention: try Attention(attention / 1, dim: dim, heads: heads, flash: flash, dropout: attnDropout),
        feedForwardNorm: try BlockNorm(feedForward, dim: dim),
        feedForward: try FeedForward(feedForward / 1, dim: dim, dropout: ffDropout))
    }
    self.init(layers: layers, finalNorm: try LayerNorm(path / "final_norm", width: dim))
  }
}

extension TransformerDecoder {
  /// Pre-norm layers. Takes `decoderDim`, `decoderDepth`, `decoderHeads`, `crossAttend`, the position options, `qkNorm`,
  /// `attnFlash`, dropout and `compatibility` from a configuration.
  public convenience init(_ path: ParameterPath, _ configuration: GPT4MultiModal.Configuration) throws {
    let dim = configuration.decoderDim
    let heads = configuration.decoderHeads
    func attention(_ path: ParameterPath) throws -> Attention {
      try Attention(
        path, dim: dim, heads: heads, qkNorm: configuration.normalizesQueriesAndKeys,
        flash: configuration.attnFlash, dropout: configuration.attnDropout)
    }
    let rotary =
      configuration.rotaryXpos
      ? try RotaryXpos(
        path / "rotary_pos_emb", headWidth: GPT4MultiModal.Configuration.headDim,
        turnsValues: configuration.compatibility == .zetascale) : nil
    let alibi =
      configuration.alibiPosBias
      ? try Alibi(alibiHeads: configuration.alibiNumHeads, heads: heads, device: path.store.device) : nil
    let blocks = configuration.crossAttend ? 3 : 2
    let layers = try (0..<configuration.decoderDepth).map { depth in
      let first = path / "layers" / (blocks * depth)
      let second = path / "layers" / (blocks * depth + 1)
      let last = path / "layers" / (blocks * depth + blocks - 1)
      return Layer(
        selfNorm: try BlockNorm(first, dim: dim), selfAttention: try attention(first / 1),
        cross: configuration.crossAttend ? (try BlockNorm(second, dim: dim), try attention(second / 1)) : nil,
        feedForwardNorm: try BlockNorm(last, dim: dim),
        feedForward: try FeedForward(last / 1, dim: dim, dropout: configuration.ffDropout))
    }
    try self.init(
      layers: layers, finalNorm: LayerNorm(path / "final_norm", width: dim), rotary: rotary, alibi: alibi,
      longest: configuration.maxSeqLen + (configuration.crossAttend ? 0 : configuration.maxPatches))
  }
}

extension Transformer {
  /// zetascale's text decoder.
  public convenience init(_ path: ParameterPath, _ configuration: GPT4MultiModal.Configuration) throws {
    let dim = configuration.decoderDim
    // zetascale draws the token embedding twice.
    let layers = try TransformerDecoder(path / "attn_layers", configuration)
    let tokens = try Embedding(path / "token_emb" / "emb", count: configuration.numTokens, width: dim)
    let positions =
      configuration.hasAbsolutePositions
      ? try Embedding(path / "pos_emb" / "emb", count: configuration.maxSeqLen, width: dim, role: .position)
      : nil
    try path.store.redraw(tokens.weight, .kaimingNormal(fanIn: dim))
    self.init(
      embedding: TextEmbedding(
        tokens: tokens, positions: positions.map { .learned($0, offset: 0) },
        positionScale: 1 / Double(dim).squareRoot(), dropout: configuration.embDropout),
      layers: layers,
      head: TextHead(output: try Linear(path / "to_logits", inputs: dim, outputs: configuration.numTokens)),
      limits: TextLimits(
        vocabulary: configuration.numTokens, longestText: configuration.maxSeqLen,
        vocabularyName: "num_tokens", longestTextName: "max_seq_len"),
      attendsToContext: configuration.crossAttend)
  }
}

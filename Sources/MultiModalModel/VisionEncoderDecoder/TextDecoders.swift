import Foundation
import Torch

// The decoders of transformers, by its names, from the shared layers.

extension Transformer {
  /// - Parameter path: of `decoder`
  convenience init(_ path: ParameterPath, _ configuration: TextDecoderConfiguration) throws {
    let builder = DecoderBuilder(path: path, configuration: configuration)
    let (embedding, layers, head) =
      switch configuration.kind {
      case .trocr: try builder.trocr()
      case .gpt2: try builder.gpt2()
      case .bert, .roberta: try builder.bert()
      }
    self.init(
      embedding: embedding, layers: layers, head: head,
      limits: TextLimits(
        vocabulary: configuration.vocabulary, longestText: configuration.longestText,
        vocabularyName: "vocab_size", longestTextName: configuration.positionsName),
      attendsToContext: true)
  }
}

private struct DecoderBuilder {
  typealias Parts = (embedding: TextEmbedding, layers: TransformerDecoder, head: TextHead)

  let path: ParameterPath
  let configuration: TextDecoderConfiguration

  private var width: Int { configuration.width }

  // MARK: TrOCR (Li et al., 2021), after BART: post-norm, no norm at the end

  func trocr() throws -> Parts {
    let own = path / "model" / "decoder"
    let tokens = try table(own / "embed_tokens", configuration.vocabulary, .embedding)
    let positions: TextEmbedding.Positions =
      configuration.positions == .learned
      ? .learned(
        try table(own / "embed_positions", configuration.positionRows, .position),
        offset: configuration.firstPosition)
      : .fixed(
        try sinusoids(rows: configuration.positionRows, padding: configuration.firstPosition - 1),
        offset: configuration.firstPosition)
    let norm = configuration.normalizesEmbedding ? try self.norm(own / "layernorm_embedding") : nil
    let layers = try (0..<configuration.depth).map { index in
      let layer = own / "layers" / index
      return TransformerDecoder.Layer(
        selfNorm: try block(layer / "self_attn_layer_norm", .after),
        selfAttention: try attention(
          layer / "self_attn", names: ("q_proj", "k_proj", "v_proj"), out: layer / "self_attn" / "out_proj",
          contextWidth: width),
        cross: (
          try block(layer / "encoder_attn_layer_norm", .after),
          try attention(
            layer / "encoder_attn", names: ("q_proj", "k_proj", "v_proj"),
            out: layer / "encoder_attn" / "out_proj", contextWidth: configuration.contextWidth)
        ),
        feedForwardNorm: try block(layer / "final_layer_norm", .after),
        feedForward: try feedForward(in: layer / "fc1", out: layer / "fc2"))
    }
    return (
      embedding(tokens, positions, norm: norm),
      try TransformerDecoder(layers: layers, finalNorm: nil, longest: configuration.longestText),
      TextHead(output: try output(path / "output_projection", tied: tokens, bias: nil))
    )
  }

  /// `sin(r ωᵢ)`, then `cos(r ωᵢ)`, `ωᵢ = 10000^(-i / (width/2 - 1))`, for row r; the row of padding is zero.
  private func sinusoids(rows: Int, padding: Int) throws -> Tensor {
    let half = width / 2
    let step = log(10000) / Double(max(half - 1, 1))
    let frequencies = (0..<half).map { Float(exp(-Double($0) * step)) }
    let values = (0..<rows).flatMap { row -> [Float] in
      guard row != padding else { return Array(repeating: 0, count: width) }
      let angles = frequencies.map { Float(row) * $0 }
      return angles.map { sinf($0) } + angles.map { cosf($0) } + Array(repeating: 0, count: width % 2)
    }
    return try Tensor(values, shape: [rows, width]).to(device: path.store.device)
  }

  // MARK: GPT-2 (Radford et al., 2019): pre-norm

  func gpt2() throws -> Parts {
    let own = path / "transformer"
    let tokens = try table(own / "wte", configuration.vocabulary, .embedding)
    let positions = try table(own / "wpe", configuration.positionRows, .position)
    let layers = try (0..<configuration.depth).map { index in
      let layer = own / "h" / index
      return TransformerDecoder.Layer(
        selfNorm: try block(layer / "ln_1", .before),
        selfAttention: try attention(
          layer / "attn", names: ("q", "k", "v"), out: layer / "attn" / "c_proj", contextWidth: width,
          scale: scale(index)),
        cross: (
          try block(layer / "ln_cross_attn", .before),
          try attention(
            layer / "crossattention", names: ("q", "k", "v"), out: layer / "crossattention" / "c_proj",
            contextWidth: configuration.contextWidth, scale: scale(index))
        ),
        feedForwardNorm: try block(layer / "ln_2", .before),
        feedForward: try feedForward(in: layer / "mlp" / "c_fc", out: layer / "mlp" / "c_proj"))
    }
    return (
      embedding(tokens, .learned(positions, offset: 0)),
      try TransformerDecoder(
        layers: layers, finalNorm: norm(own / "ln_f"), longest: configuration.longestText),
      TextHead(output: try output(path / "lm_head", tied: tokens, bias: nil))
    )
  }

  /// As transformers computes it but for version 4 with its fused attention, which ignores both settings.
  private func scale(_ layer: Int) -> Double {
    let own = configuration.scalesAttention ? 1 / Double(width / configuration.heads).squareRoot() : 1
    return configuration.scalesByLayer ? own / Double(layer + 1) : own
  }

  // MARK: BERT (Devlin et al., 2019) and RoBERTa (Liu et al., 2019): post-norm

  func bert() throws -> Parts {
    let own = path / configuration.kind.rawValue
    let embeddings = own / "embeddings"
    let tokens = try table(embeddings / "word_embeddings", configuration.vocabulary, .embedding)
    let positions = try table(embeddings / "position_embeddings", configuration.positionRows, .position)
    let types = try table(embeddings / "token_type_embeddings", configuration.tokenTypes, .embedding)
    let norm = try self.norm(embeddings / "LayerNorm")
    let layers = try (0..<configuration.depth).map { index in
      let layer = own / "encoder" / "layer" / index
      func attention(_ name: String) throws -> (norm: BlockNorm, attention: Attention) {
        let part = layer / name
        return (
          try block(part / "output" / "LayerNorm", .after),
          try self.attention(
            part / "self", names: ("query", "key", "value"), out: part / "output" / "dense",
            contextWidth: name == "attention" ? width : configuration.contextWidth)
        )
      }
      let (selfNorm, selfAttention) = try attention("attention")
      return TransformerDecoder.Layer(
        selfNorm: selfNorm, selfAttention: selfAttention, cross: try attention("crossattention"),
        feedForwardNorm: try block(layer / "output" / "LayerNorm", .after),
        feedForward: try feedForward(
          in: layer / "intermediate" / "dense", out: layer / "output" / "dense"))
    }
    return (
      embedding(
        tokens, .learned(positions, offset: configuration.firstPosition), types: types.weight, norm: norm),
      try TransformerDecoder(layers: layers, finalNorm: nil, longest: configuration.longestText),
      try maskedHead(tokens)
    )
  }

  /// RoBERTa's head has the exact GELU whatever its layers have.
  private func maskedHead(_ tokens: Embedding) throws -> TextHead {
    let isBERT = configuration.kind == .bert
    let own = isBERT ? path / "cls" / "predictions" : path / "lm_head"
    let dense = isBERT ? own / "transform" / "dense" : own / "dense"
    let norm = isBERT ? own / "transform" / "LayerNorm" : own / "layer_norm"
    let transform = TextHead.Transform(
      dense: try Linear(dense, inputs: width, outputs: width),
      activation: isBERT ? configuration.activation : .gelu, norm: try self.norm(norm))
    let bias = try own.parameter("bias", shape: [configuration.vocabulary], .constant(0), role: .vector)
    return TextHead(transform: transform, output: try output(own / "decoder", tied: tokens, bias: bias))
  }

  // MARK: Parts

  private func table(_ path: ParameterPath, _ count: Int, _ role: Parameter.Role) throws -> Embedding {
    try Embedding(path, count: count, width: width, initializer: .normal(std: 0.02), role: role)
  }

  private func norm(_ path: ParameterPath) throws -> LayerNorm {
    try LayerNorm(path, width: width, eps: configuration.eps)
  }

  private func block(_ path: ParameterPath, _ placement: NormPlacement) throws -> BlockNorm {
    BlockNorm(norm: try norm(path), placement: placement)
  }

  private func attention(
    _ path: ParameterPath, names: (query: String, key: String, value: String), out: ParameterPath,
    contextWidth: Int, scale: Double? = nil
  ) throws -> Attention {
    Attention(
      query: try Linear(path / names.query, inputs: width, outputs: width),
      key: try Linear(path / names.key, inputs: contextWidth, outputs: width),
      value: try Linear(path / names.value, inputs: contextWidth, outputs: width),
      out: try Linear(out, inputs: width, outputs: width), heads: configuration.heads,
      scale: scale, dropout: configuration.attentionDropout, residualDropout: configuration.dropout)
  }

  private func feedForward(in first: ParameterPath, out second: ParameterPath) throws -> FeedForward {
    FeedForward(
      in: try Linear(first, inputs: width, outputs: configuration.innerWidth),
      out: try Linear(second, inputs: configuration.innerWidth, outputs: width),
      activation: configuration.activation, dropout: configuration.activationDropout,
      residualDropout: configuration.dropout)
  }

  private func embedding(
    _ tokens: Embedding, _ positions: TextEmbedding.Positions, types: Parameter? = nil,
    norm: LayerNorm? = nil
  ) -> TextEmbedding {
    TextEmbedding(
      tokens: tokens, positions: positions, types: types, norm: norm,
      tokenScale: configuration.scalesEmbedding ? Double(width).squareRoot() : 1,
      unplaced: configuration.unplacedToken,
      dropout: configuration.embeddingDropout)
  }

  /// The last layer, whose weight is the embedding's table where both are tied.
  private func output(_ path: ParameterPath, tied tokens: Embedding, bias: Parameter?) throws -> Linear {
    guard !configuration.hasTiedHead else { return Linear(weight: tokens.weight, bias: bias) }
    let own = try Linear(path, inputs: width, outputs: configuration.vocabulary, bias: false)
    return bias == nil ? own : Linear(weight: own.weight, bias: bias)
  }
}

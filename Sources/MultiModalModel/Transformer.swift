import Torch

/// The text decoder: tokens in, logits over the next token out.
public final class Transformer {
  private let tokens: Embedding
  private let positions: Embedding?
  let layers: TransformerDecoder
  private let toLogits: Linear
  private let configuration: Configuration

  /// What a call returns besides logits, when asked.
  public struct Output {
    /// [batch, length, numTokens]
    public let logits: Tensor
    /// The last hidden states, [batch, length, dim].
    public let embeddings: Tensor
    /// Attention weights, [batch, heads, queries, keys]: for each layer that of self-attention and, with
    /// `crossAttend`, that of cross-attention.
    public let attentionMaps: [Attention.Map]
  }

  public init(_ path: ParameterPath, _ configuration: Configuration) throws {
    let dim = configuration.decoderDim
    // Parts are built in the reference's order, so that a seed gives the reference's weights; it draws the token
    // embedding twice.
    layers = try TransformerDecoder(path / "attn_layers", configuration)
    tokens = try Embedding(path / "token_emb" / "emb", count: configuration.numTokens, width: dim)
    positions =
      configuration.hasAbsolutePositions
      ? try Embedding(path / "pos_emb" / "emb", count: configuration.maxSeqLen, width: dim) : nil
    try path.store.redraw(tokens.weight, .kaimingNormal(fanIn: dim))
    toLogits = try Linear(path / "to_logits", inputs: dim, outputs: configuration.numTokens)
    self.configuration = configuration
  }

  /// Packs the weights for a precision, and computes what depends on positions alone.
  func prepareForInference(_ precision: Precision) throws {
    // The largest first, while little else is in memory.
    try tokens.prepareForInference(precision)
    try positions?.prepareForInference(precision)
    try toLogits.prepareForInference(precision)
    try layers.prepareForInference(
      precision,
      positions: configuration.maxSeqLen + (configuration.crossAttend ? 0 : configuration.maxPatches))
  }

  /// - Parameters:
  ///   - text: int64 [batch, length]
  ///   - context: the encoder's output, [batch, keys, decoderDim]: attended to with `crossAttend`, else put before
  ///     the text. With a cache that has it, nil.
  ///   - mask: bool [batch, length], true for a real token; positions count real tokens alone, so padding does
  ///     not change the logits of the others
  ///   - cache: what came before `text`; extended by this call
  /// - Returns: logits [batch, length, numTokens]
  /// - Throws: `ModelError` for a text that the model cannot take.
  public func callAsFunction(
    _ text: Tensor, context: Tensor? = nil, mask: Tensor? = nil, cache: DecoderCache? = nil,
    training: Bool = false
  ) throws -> Tensor {
    try toLogits(
      hiddenStates(text, context: context, mask: mask, cache: cache, training: training, wantsMaps: false)
        .states)
  }

  /// As the call, for the last position alone: what a step of generation needs.
  /// - Parameter text: tokens that are known to be in the vocabulary
  /// - Returns: logits [batch, numTokens]
  func lastLogits(_ text: Tensor, context: Tensor?, mask: Tensor?, cache: DecoderCache?) throws -> Tensor {
    let states = try hiddenStates(
      text, context: context, mask: mask, cache: cache, training: false, wantsMaps: false,
      knowsTokens: true
    )
    .states
    return try toLogits(states.select(1, states.shape[1] - 1))
  }

  /// Logits, last hidden states and attention weights together.
  public func output(
    _ text: Tensor, context: Tensor? = nil, mask: Tensor? = nil, wantsAttentionMaps: Bool = false
  )
    throws -> Output
  {
    let (states, maps) = try hiddenStates(
      text, context: context, mask: mask, cache: nil, training: false, wantsMaps: wantsAttentionMaps)
    return Output(logits: try toLogits(states), embeddings: states, attentionMaps: maps)
  }

  private func hiddenStates(
    _ text: Tensor, context: Tensor?, mask: Tensor?, cache: DecoderCache?, training: Bool, wantsMaps: Bool,
    knowsTokens: Bool = false
  ) throws -> (states: Tensor, maps: [Attention.Map]) {
    let past = cache?.length ?? 0
    // Without cross-attention the context goes before the text, in the first step alone.
    let prefix = configuration.crossAttend || past > 0 ? nil : context
    if let prefix { cache?.prefixLength = prefix.shape[1] }
    let prefixLength = prefix?.shape[1] ?? cache?.prefixLength ?? 0
    let pastText = past > 0 ? past - prefixLength : 0
    try check(text, mask: mask, past: pastText)
    if !knowsTokens { try checkTokens(text) }

    if let context, context.shape[0] != text.shape[0] {
      throw ModelError(
        "img has a batch of \(context.shape[0]), but text has \(text.shape[0]): they must be equal")
    }
    // Positions need a tensor of their own only where padding makes them differ from row to row.
    let textPositions =
      mask == nil && cache?.positions == nil ? nil : try self.textPositions(text, mask: mask, cache: cache)
    var x = try tokens(text.to(dtype: .int64))
    if let positions {
      let added =
        try textPositions.map { try positions($0) }
        ?? positions.weight.value.narrow(0, start: pastText, length: text.shape[1])
      x = try x + added * (1 / Double(configuration.decoderDim).squareRoot())
    }
    var allPositions = try textPositions.map { try $0 + prefixLength }
    var padding = mask
    if let prefix {
      x = try Tensor.cat([prefix, x], dim: 1)
      allPositions = try allPositions.map {
        let before = try Tensor.arange(0, prefixLength, device: x.device).unsqueeze(0)
        return try Tensor.cat([before.expand([$0.shape[0], prefixLength]), $0], dim: 1)
      }
      padding = try mask.map {
        try Tensor.cat(
          [Tensor.ones([text.shape[0], prefixLength], dtype: .bool, device: x.device), $0], dim: 1)
      }
    }
    if training && configuration.embDropout > 0 { x = try x.dropout(configuration.embDropout) }
    let (states, maps) = try layers.forward(
      x, context: configuration.crossAttend ? context : nil, positions: allPositions, padding: padding,
      cache: cache,
      training: training, wantsMaps: wantsMaps)
    return (prefix == nil ? states : try states.narrow(1, start: prefixLength, length: text.shape[1]), maps)
  }

  /// Each token's place among the real tokens of its row, from 0; int64 [batch or 1, length].
  private func textPositions(_ text: Tensor, mask: Tensor?, cache: DecoderCache?) throws -> Tensor {
    let own =
      try mask.map { try ($0.to(dtype: .int64).cumsum(1) - 1).to(dtype: .int64) }
      ?? Tensor.arange(0, text.shape[1], device: text.device).unsqueeze(0)
    guard let cache, cache.length > 0 else { return try own.clamp(min: 0).to(dtype: .int64) }
    let prefixLength = cache.prefixLength ?? 0
    guard let padding = cache.padding else {
      return try (own + (cache.length - prefixLength)).clamp(min: 0).to(dtype: .int64)
    }
    let held = try padding.to(dtype: .int64).sum([1], keepDim: true) - prefixLength
    return try (own + held).clamp(min: 0).to(dtype: .int64)
  }

  /// - Throws: `ModelError` for a token that is not in the vocabulary.
  private func checkTokens(_ text: Tensor) throws {
    for extreme in [try text.amin().item(Int.self), try text.amax().item(Int.self)] {
      try configuration.checkToken(extreme)
    }
  }

  private func check(_ text: Tensor, mask: Tensor?, past: Int) throws {
    let shape = text.shape
    guard shape.count == 2, shape[0] > 0, shape[1] > 0 else {
      throw ModelError("text has shape \(shape), but must be [batch, length] with at least one token")
    }
    let dtype = try text.dtype
    guard dtype == .int64 || dtype == .int32 else {
      throw ModelError("text holds \(dtype), but must hold token ids as int64 or int32")
    }
    guard past + shape[1] <= configuration.maxSeqLen else {
      throw ModelError(
        "text has \(past + shape[1]) tokens, but max_seq_len is \(configuration.maxSeqLen): shorten it")
    }
    if let mask {
      guard mask.shape == shape, try mask.dtype == .bool else {
        throw ModelError(
          "mask has shape \(mask.shape) and holds \(try mask.dtype), but must hold bool in text's shape \(shape)"
        )
      }
    }
  }
}

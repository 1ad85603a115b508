import Torch

/// A stack of pre-norm layers in which a position attends to those before it and, with `crossAttend`, to a
/// context: `x ← x + SelfAttention(LayerNorm(x))`, `x ← x + CrossAttention(LayerNorm(x), context)`,
/// `x ← x + FeedForward(LayerNorm(x))`, and a last LayerNorm.
public final class TransformerDecoder {
  private let layers: [Layer]
  private let finalNorm: LayerNorm
  private let rotary: RotaryXpos?
  private let alibi: Alibi?
  private let hasExactCache: Bool

  private struct Layer {
    let selfNorm: LayerNorm
    let selfAttention: Attention
    let cross: (norm: LayerNorm, attention: Attention)?
    let feedForwardNorm: LayerNorm
    let feedForward: FeedForward
  }

  /// Takes `decoderDim`, `decoderDepth`, `decoderHeads`, `crossAttend`, the position options, `qkNorm`,
  /// `attnFlash`, dropout and `compatibility` from a configuration.
  public init(_ path: ParameterPath, _ configuration: Configuration) throws {
    hasExactCache = configuration.hasExactCache
    let dim = configuration.decoderDim
    let heads = configuration.decoderHeads
    func attention(_ path: ParameterPath) throws -> Attention {
      try Attention(
        path, dim: dim, heads: heads, qkNorm: configuration.normalizesQueriesAndKeys,
        flash: configuration.attnFlash,
        dropout: configuration.attnDropout)
    }
    rotary =
      configuration.rotaryXpos
      ? try RotaryXpos(path / "rotary_pos_emb", compatibility: configuration.compatibility) : nil
    alibi =
      configuration.alibiPosBias
      ? try Alibi(alibiHeads: configuration.alibiNumHeads, heads: heads, device: path.store.device) : nil
    let blocks = configuration.crossAttend ? 3 : 2
    layers = try (0..<configuration.decoderDepth).map { depth in
      let first = path / "layers" / (blocks * depth)
      let second = path / "layers" / (blocks * depth + 1)
      let last = path / "layers" / (blocks * depth + blocks - 1)
      return Layer(
        selfNorm: try LayerNorm(first / 0 / 0, width: dim), selfAttention: try attention(first / 1),
        cross: configuration.crossAttend
          ? (try LayerNorm(second / 0 / 0, width: dim), try attention(second / 1)) : nil,
        feedForwardNorm: try LayerNorm(last / 0 / 0, width: dim),
        feedForward: try FeedForward(last / 1, dim: dim, dropout: configuration.ffDropout))
    }
    finalNorm = try LayerNorm(path / "final_norm", width: dim)
  }

  /// - Parameters:
  ///   - x: [batch, length, dim]; with a cache, what comes after the positions it holds
  ///   - context: [batch, keys, dim], with `crossAttend`; computed into the cache at the first step
  ///   - positions: int64 [batch or 1, length]; counted on from the cache's length when nil
  ///   - padding: bool [batch, length], true for a real token
  /// - Returns: the shape of `x`, and each attention's weights in order when wanted
  func forward(
    _ input: Tensor, context: Tensor?, positions: Tensor?, padding: Tensor?, cache: DecoderCache?,
    training: Bool = false, wantsMaps: Bool = false
  ) throws -> (output: Tensor, maps: [Attention.Map]) {
    let length = input.shape[1]
    let past = cache?.length ?? 0
    guard cache == nil || hasExactCache else {
      throw ModelError(
        "in zetascale's behaviour with rotary_xpos every position depends on the whole text's length, so a cache "
          + "cannot be exact: decode the whole text without one")
    }
    if let cache, past + length > cache.capacity {
      throw ModelError("the cache holds \(cache.capacity) positions, but \(past + length) are needed")
    }
    let step = try positions ?? .arange(past, past + length, device: input.device).unsqueeze(0)
    let all: (positions: Tensor, padding: Tensor?) =
      try cache?.extended(positions: step, padding: padding) ?? (step, padding)
    let mask = try AttentionMask.causal(
      queries: length, keys: past + length, padding: all.padding,
      bias: alibi?.bias(queries: step, keys: all.positions), dtype: input.dtype, device: input.device)
    let tables = try rotary?.tables(
      positions: step, lengths: all.positions.amax([1], keepDim: true) + 1, dtype: input.dtype)

    var x = input
    var maps: [Attention.Map] = []
    for (index, layer) in layers.enumerated() {
      let normed = try layer.selfNorm(x)
      let own = try layer.selfAttention.keysAndValues(normed, rotary: tables)
      let (attended, map) = try layer.selfAttention.attend(
        layer.selfAttention.queries(normed, rotary: tables), try cache?.append(own, layer: index) ?? own,
        mask: mask,
        training: training, wantsMap: wantsMaps)
      if let map { maps.append(map) }
      x = try x + attended
      if let (norm, attention) = layer.cross {
        let (attended, map) = try attention.attend(
          attention.queries(norm(x), rotary: nil),
          self.context(context, of: attention, layer: index, cache: cache),
          mask: .none, training: training, wantsMap: wantsMaps)
        if let map { maps.append(map) }
        x = try x + attended
      }
      x = try x + layer.feedForward(layer.feedForwardNorm(x), training: training)
    }
    cache?.advance(by: length, positions: all.positions, padding: all.padding)
    return (try finalNorm(x), maps)
  }

  /// - Parameters:
  ///   - x: [batch, length, dim]
  ///   - context: [batch, keys, dim], with `crossAttend`
  /// - Returns: the shape of `x`
  public func callAsFunction(_ x: Tensor, context: Tensor? = nil, cache: DecoderCache? = nil) throws -> Tensor
  {
    try forward(x, context: context, positions: nil, padding: nil, cache: cache).output
  }

  private func context(_ context: Tensor?, of attention: Attention, layer: Int, cache: DecoderCache?) throws
    -> KeysAndValues
  {
    if let cache, layer < cache.crossAttention.count { return cache.crossAttention[layer] }
    guard let context else {
      throw ModelError("cross_attend is true, so the decoder needs a context: give the encoder's output")
    }
    let computed = try attention.keysAndValues(context, rotary: nil)
    cache?.crossAttention.append(computed)
    return computed
  }
}

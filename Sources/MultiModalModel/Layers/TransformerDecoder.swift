import Torch

/// A stack of pre-norm layers in which a position attends to those before it and, with `crossAttend`, to a
/// context: `x ← x + SelfAttention(LayerNorm(x))`, `x ← x + CrossAttention(LayerNorm(x), context)`,
/// `x ← x + FeedForward(LayerNorm(x))`, and a last LayerNorm.
public final class TransformerDecoder {
  private let layers: [Layer]
  private let finalNorm: LayerNorm
  /// Keys of every layer's cross-attention, then their values: all layers see the same context.
  private let crossKeysAndValues: JoinedLinear?
  private var rotary: RotaryXpos?
  private var alibi: Alibi?
  private let heads: Int
  private let usesFusedKernel: Bool
  /// Whether attention knows the causal mask and ALiBi's slopes by itself.
  private var hasPreparedAttention = false
  private let hasExactCache: Bool
  /// As in `GPT4MultiModal`.
  var checkpointsActivations = false

  private struct Layer {
    let selfNorm: LayerNorm
    let selfAttention: Attention
    let cross: (norm: LayerNorm, attention: Attention)?
    let feedForwardNorm: LayerNorm
    let feedForward: FeedForward

    /// What a step does in every layer alike.
    struct Step {
      let mask: AttentionMask
      let rotary: RotaryXpos.Tables?
      let training: Bool
      var wantsMaps = false
    }

    /// - Parameters:
    ///   - context: keys and values of cross-attention
    ///   - held: of self-attention with a cache: where the step's keys and values go, and all there are then
    func callAsFunction(
      _ x: Tensor, _ step: Step, context: KeysAndValues?, held: (place: KeysAndValues, all: KeysAndValues)?
    ) throws -> (output: Tensor, maps: [Attention.Map]) {
      let (queries, own) = try selfAttention.queriesKeysAndValues(
        x, norm: selfNorm, rotary: step.rotary, into: held?.place)
      var (x, map) = try selfAttention.attend(
        queries, held?.all ?? own, mask: step.mask, residual: x, training: step.training,
        wantsMap: step.wantsMaps)
      var maps = [map]
      if let cross, let context {
        (x, map) = try cross.attention.attend(
          cross.attention.queries(x, norm: cross.norm), context, mask: .none, residual: x,
          training: step.training,
          wantsMap: step.wantsMaps)
        maps.append(map)
      }
      x = try feedForward(x, norm: feedForwardNorm, training: step.training)
      return (x, maps.compactMap { $0 })
    }
  }

  /// Takes `decoderDim`, `decoderDepth`, `decoderHeads`, `crossAttend`, the position options, `qkNorm`,
  /// `attnFlash`, dropout and `compatibility` from a configuration.
  public init(_ path: ParameterPath, _ configuration: Configuration) throws {
    hasExactCache = configuration.hasExactCache
    let dim = configuration.decoderDim
    let heads = configuration.decoderHeads
    self.heads = heads
    usesFusedKernel = configuration.attnFlash
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
    let cross = layers.compactMap(\.cross?.attention)
    crossKeysAndValues = cross.isEmpty ? nil : JoinedLinear(cross.map(\.toKey) + cross.map(\.toValue))
  }

  /// Packs the weights for a precision, and computes what depends on positions alone.
  /// - Parameter positions: how many to compute it for
  func prepareForInference(_ precision: Precision, positions: Int) throws {
    try finalNorm.prepareForInference(precision)
    for layer in layers {
      for norm in [layer.selfNorm, layer.cross?.norm, layer.feedForwardNorm] {
        try norm?.prepareForInference(precision)
      }
      try layer.selfAttention.prepareForInference(precision)
      try layer.cross?.attention.prepareQueriesForInference(precision)
      try layer.feedForward.prepareForInference(precision)
    }
    try crossKeysAndValues?.prepareForInference(precision)
    try rotary?.prepareForInference(positions: positions)
    hasPreparedAttention = usesFusedKernel && finalNorm.weight.value.device == .cpu
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
    let (batch, length) = (input.shape[0], input.shape[1])
    let past = cache?.length ?? 0
    guard cache == nil || hasExactCache else {
      throw ModelError(
        "in zetascale's behaviour with rotary_xpos every position depends on the whole text's length, so a cache "
          + "cannot be exact: decode the whole text without one")
    }
    if let cache, past + length > cache.capacity {
      throw ModelError("the cache holds \(cache.capacity) positions, but \(past + length) are needed")
    }
    let device = input.device
    let dtype = try AttentionHeads.dtype(for: input)
    let all: (positions: Tensor?, padding: Tensor?) =
      try cache?.extended(positions: positions, padding: padding, count: length, device: device)
      ?? (positions, padding)
    let (mask, tables) = try positionDependence(
      positions, of: all, past: past, length: length, dtype: dtype, device: device,
      keepsToTensors: training || wantsMaps || input.requiresGrad || context?.requiresGrad == true)
    let contexts = try self.contexts(context, cache: cache)

    let step = Layer.Step(mask: mask, rotary: tables, training: training, wantsMaps: wantsMaps)
    var x = input
    var maps: [Attention.Map] = []
    for (index, layer) in layers.enumerated() {
      let context = contexts.isEmpty ? nil : contexts[index]
      if training && checkpointsActivations {
        x = try checkpoint([x] + (context.map { [$0.keys, $0.values] } ?? [])) { inputs in
          let context = inputs.count > 1 ? KeysAndValues(keys: inputs[1], values: inputs[2]) : nil
          return try layer(inputs[0], step, context: context, held: nil).output
        }
        continue
      }
      let held = try cache.map {
        (
          place: try $0.place(
            for: length, layer: index, batch: batch, heads: heads, dtype: dtype, device: device),
          all: try $0.held(with: length, layer: index)
        )
      }
      let (output, layerMaps) = try layer(x, step, context: context, held: held)
      x = output
      maps += layerMaps
    }
    cache?.advance(by: length, positions: all.positions, padding: all.padding)
    return (try finalNorm(x), maps)
  }

  /// What self-attention adds to its logits and turns its heads by.
  /// - Parameter keepsToTensors: says everything as tensors, which every way of computing attention takes
  private func positionDependence(
    _ step: Tensor?, of all: (positions: Tensor?, padding: Tensor?), past: Int, length: Int, dtype: DType,
    device: Device, keepsToTensors: Bool
  ) throws -> (mask: AttentionMask, tables: RotaryXpos.Tables?) {
    let keys = past + length
    guard let positions = all.positions else {
      let tables = try rotary?.tables(from: past, length: length, dtype: dtype)
      if hasPreparedAttention && !keepsToTensors {
        return (AttentionMask(additive: nil, isCausal: length > 1, slopes: alibi?.slopes), tables)
      }
      let counted = try Tensor.arange(0, keys, device: device).unsqueeze(0)
      let mask = try AttentionMask.causal(
        queries: length, keys: keys, padding: nil,
        bias: alibi?.bias(queries: counted.narrow(1, start: past, length: length), keys: counted),
        dtype: dtype, device: device)
      return (mask, tables)
    }
    let own = try step ?? positions.narrow(1, start: past, length: length)
    let mask = try AttentionMask.causal(
      queries: length, keys: keys, padding: all.padding, bias: alibi?.bias(queries: own, keys: positions),
      dtype: dtype, device: device)
    let tables = try rotary?.tables(
      positions: own, lengths: positions.amax([1], keepDim: true) + 1, dtype: dtype)
    return (mask, tables)
  }

  /// - Parameters:
  ///   - x: [batch, length, dim]
  ///   - context: [batch, keys, dim], with `crossAttend`
  /// - Returns: the shape of `x`
  public func callAsFunction(_ x: Tensor, context: Tensor? = nil, cache: DecoderCache? = nil) throws -> Tensor
  {
    try forward(x, context: context, positions: nil, padding: nil, cache: cache).output
  }

  /// Keys and values of the context for each layer; none without cross-attention.
  private func contexts(_ context: Tensor?, cache: DecoderCache?) throws -> [KeysAndValues] {
    guard let crossKeysAndValues else { return [] }
    if let cache, !cache.crossAttention.isEmpty { return cache.crossAttention }
    guard let context else {
      throw ModelError("cross_attend is true, so the decoder needs a context: give the encoder's output")
    }
    let computed = try Attention.keysAndValues(
      context, crossKeysAndValues, of: layers.compactMap(\.cross?.attention))
    cache?.crossAttention = computed
    return computed
  }
}

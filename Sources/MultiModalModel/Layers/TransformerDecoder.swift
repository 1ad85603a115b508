import Torch

/// A stack of layers in which a position attends to those before it and, where layers have cross-attention, to a context:
/// `x ← x + SelfAttention(x)`, `x ← x + CrossAttention(x, context)`, `x ← x + FeedForward(x)`, each with a LayerNorm before or
/// after it, and a last LayerNorm where there is one.
public final class TransformerDecoder {
  private let layers: [Layer]
  private let finalNorm: LayerNorm?
  /// Keys of every layer's cross-attention, then their values: all layers see the same context.
  private let crossKeysAndValues: JoinedLinear?
  private var rotary: RotaryXpos?
  private let alibi: Alibi?
  private let heads: AttentionHeads
  private let usesFusedKernel: Bool
  /// Whether attention knows the causal mask and ALiBi's slopes by itself.
  private var hasPreparedAttention = false
  /// Positions of the longest text, with those of a picture that goes before it.
  private let longest: Int
  /// As in `ImageToTextModel`.
  var checkpointsActivations = false

  /// Whether a cached step gives exactly what computing the whole text gives. Where xPos turns values, it scales each
  /// position's by the length of the whole text, in every layer, so nothing computed for a shorter text can be kept.
  var hasExactCache: Bool { rotary?.turnsValues != true }

  struct Layer {
    let selfNorm: BlockNorm
    let selfAttention: Attention
    let cross: (norm: BlockNorm, attention: Attention)?
    let feedForwardNorm: BlockNorm
    let feedForward: FeedForward

    /// What a step does in every layer alike.
    struct Step {
      let mask: AttentionMask
      let rotary: RotaryXpos.Tables?
      let training: Bool
      var wantsMaps = false
    }

    /// - Parameter context: keys and values of cross-attention
    func callAsFunction(_ x: Tensor, _ step: Step, context: KeysAndValues?) throws -> (
      output: Tensor, maps: [Attention.Map]
    ) {
      let (queries, own) = try selfAttention.queriesKeysAndValues(
        x, norm: selfNorm.before, rotary: step.rotary)
      var (x, map) = try selfAttention.attend(
        queries, own, mask: step.mask, residual: x, training: step.training, wantsMap: step.wantsMaps)
      x = try selfNorm.after(x)
      var maps = [map]
      if let cross, let context {
        (x, map) = try cross.attention.attend(
          cross.attention.queries(x, norm: cross.norm.before), context, mask: .none, residual: x,
          training: step.training, wantsMap: step.wantsMaps)
        x = try cross.norm.after(x)
        maps.append(map)
      }
      x = try feedForwardNorm.after(feedForward(x, norm: feedForwardNorm.before, training: step.training))
      return (x, maps.compactMap { $0 })
    }
  }

  /// - Parameters:
  ///   - layers: at least one; all with heads of the same number and width
  ///   - longest: positions of the longest text, with those of a picture that goes before it
  init(
    layers: [Layer], finalNorm: LayerNorm?, rotary: RotaryXpos? = nil, alibi: Alibi? = nil, longest: Int
  ) throws {
    guard let attention = layers.first?.selfAttention else {
      throw ModelError("a decoder needs at least one layer")
    }
    heads = attention.heads
    usesFusedKernel = attention.usesFusedKernel
    self.layers = layers
    self.finalNorm = finalNorm
    self.rotary = rotary
    self.alibi = alibi
    self.longest = longest
    let cross = layers.compactMap(\.cross?.attention)
    crossKeysAndValues = cross.isEmpty ? nil : JoinedLinear(cross.map(\.toKey) + cross.map(\.toValue))
  }

  /// What a token is multiplied with.
  var tokenWeights: [Parameter] {
    layers.flatMap {
      $0.selfAttention.ownWeights + ($0.cross?.attention.queryWeights ?? []) + $0.feedForward.weights
    }
  }
  /// What a position of the context is multiplied with.
  var contextWeights: [Parameter] {
    layers.compactMap(\.cross?.attention).flatMap { [$0.toKey.weight, $0.toValue.weight] }
  }
  var attentionWidth: Int { layers.count * heads.heads * heads.width }

  /// Packs the weights for a precision, and computes what depends on positions alone.
  func prepareForInference(_ precision: Precision) throws {
    try finalNorm?.prepareForInference(precision)
    for layer in layers {
      for norm in [layer.selfNorm, layer.cross?.norm, layer.feedForwardNorm] {
        try norm?.norm.prepareForInference(precision)
      }
      try layer.selfAttention.prepareForInference(precision)
      try layer.cross?.attention.prepareQueriesForInference(precision)
      try layer.feedForward.prepareForInference(precision)
    }
    try crossKeysAndValues?.prepareForInference(precision)
    try rotary?.prepareForInference(positions: longest)
    hasPreparedAttention =
      usesFusedKernel && heads.hasKernel && layers[0].selfNorm.norm.weight.value.device == .cpu
  }

  /// - Parameters:
  ///   - x: [batch, length, dim]
  ///   - context: [batch, keys, dim], with cross-attention
  ///   - positions: int64 [batch or 1, length]; counted when nil
  ///   - padding: bool [batch, length], true for a real token
  /// - Returns: the shape of `x`, and each attention's weights in order when wanted
  func forward(
    _ input: Tensor, context: Tensor?, positions: Tensor?, padding: Tensor?, training: Bool = false,
    wantsMaps: Bool = false
  ) throws -> (output: Tensor, maps: [Attention.Map]) {
    let length = try input.sequenceShape("x")[1]
    let (mask, tables) = try positionDependence(
      positions, padding: padding, length: length, dtype: AttentionHeads.dtype(for: input),
      device: input.device,
      keepsToTensors: training || wantsMaps || input.requiresGrad || context?.requiresGrad == true)
    let contexts = try contexts(context)
    let step = Layer.Step(mask: mask, rotary: tables, training: training, wantsMaps: wantsMaps)
    var x = input
    var maps: [Attention.Map] = []
    for (index, layer) in layers.enumerated() {
      let context = contexts.isEmpty ? nil : contexts[index]
      if training && checkpointsActivations {
        x = try checkpoint([x] + (context.map { [$0.keys, $0.values] } ?? [])) { inputs in
          let context = inputs.count > 1 ? KeysAndValues(keys: inputs[1], values: inputs[2]) : nil
          return try layer(inputs[0], step, context: context).output
        }
        continue
      }
      let (output, layerMaps) = try layer(x, step, context: context)
      x = output
      maps += layerMaps
    }
    return (try finalNorm?(x) ?? x, maps)
  }

  /// The next tokens of texts whose earlier ones lie in a cache.
  /// - Parameters:
  ///   - input: [tokens, dim], the rows' tokens after each other
  ///   - rows: each with its slot and its picture's slot
  ///   - wanted: int64, the tokens whose states are asked for
  ///   - takeMap: is given where the tokens of a single row look in the context, [1, heads, tokens, keys] for each layer
  /// - Returns: [wanted, dim]
  func step(
    _ input: Tensor, _ rows: [StepRow], wanted: [Int], cache: DecoderCache,
    takeMap: ((Attention.Map) throws -> Void)? = nil
  ) throws -> Tensor {
    let (texts, pictures) = (cache.texts, cache.contexts)
    let dtype = try AttentionHeads.dtype(for: input)
    try texts.reserve(
      length: rows.map { texts.lengths[$0.slot] + $0.count }.max() ?? 0, most: longest, layers: layers.count,
      shape: (heads.heads, heads.width), dtype: dtype, device: input.device)
    var first = 0
    var own: [SlotRows.Row] = []
    var context: [SlotRows.Row] = []
    var positions: [Int] = []
    for row in rows {
      let held = texts.lengths[row.slot]
      own.append(.init(slot: row.slot, first: first, count: row.count, held: held))
      if let slot = row.context {
        context.append(.init(slot: slot, first: first, count: row.count, held: pictures.lengths[slot]))
      }
      positions += held..<held + row.count
      first += row.count
    }
    let ownRows = try SlotRows(own)
    let contextRows = try context.isEmpty ? nil : SlotRows(context)
    let tables = try rotary?.tables(at: positions, dtype: dtype)
    var x = input
    for (index, layer) in layers.enumerated() {
      x = try layer.selfAttention.step(
        x, norm: layer.selfNorm.before, slots: texts.layers[index], rows: ownRows, grows: true,
        rotary: tables,
        alibi: alibi)
      x = try layer.selfNorm.after(x)
      if let cross = layer.cross, let contextRows {
        try takeMap?(
          cross.attention.stepMap(
            x, norm: cross.norm.before, slots: pictures.layers[index], row: contextRows.rows[0]))
        x = try cross.attention.step(
          x, norm: cross.norm.before, slots: pictures.layers[index], rows: contextRows, grows: false)
        x = try cross.norm.after(x)
      }
      x = try layer.feedForwardNorm.after(
        layer.feedForward(x, norm: layer.feedForwardNorm.before, training: false))
    }
    for row in rows { texts.advance(row.slot, by: row.count) }
    let states = wanted.count < first ? try x.indexSelect(0, Tensor(wanted).to(device: x.device)) : x
    return try finalNorm?(states) ?? states
  }

  /// What a step adds to one text.
  struct StepRow {
    let slot: Int
    /// With cross-attention the slot of the picture's keys and values.
    let context: Int?
    let count: Int
  }

  /// Computes keys and values of a context for every layer into a slot of a cache.
  /// - Parameter context: [1, keys, dim]
  /// - Returns: the slot, with one user; nil without cross-attention
  func hold(_ context: Tensor, in cache: DecoderCache) throws -> Int? {
    guard let crossKeysAndValues else { return nil }
    let projected = try crossKeysAndValues(context)
    let length = context.shape[1]
    let slots = cache.contexts
    let slot = slots.take()
    try slots.reserve(
      length: length, most: length, layers: layers.count, shape: (heads.heads, heads.width),
      dtype: AttentionHeads.dtype(for: projected), device: context.device)
    let buffers = slots.layers.map(\.keys) + slots.layers.map(\.values)
    try heads.split(
      projected, normalized: layers.count,
      into: buffers.map { try $0.narrow(0, start: slot, length: 1).narrow(2, start: 0, length: length) })
    slots.advance(slot, by: length)
    return slot
  }

  /// What self-attention adds to its logits and turns its heads by.
  /// - Parameter keepsToTensors: says everything as tensors, which every way of computing attention takes
  private func positionDependence(
    _ positions: Tensor?, padding: Tensor?, length: Int, dtype: DType, device: Device, keepsToTensors: Bool
  ) throws -> (mask: AttentionMask, tables: RotaryXpos.Tables?) {
    guard let positions else {
      let tables = try rotary?.tables(from: 0, length: length, dtype: dtype)
      if hasPreparedAttention && !keepsToTensors {
        return (AttentionMask(additive: nil, isCausal: length > 1, slopes: alibi?.slopes), tables)
      }
      let counted = try Tensor.arange(length, device: device).unsqueeze(0)
      let mask = try AttentionMask.causal(
        queries: length, keys: length, padding: nil, bias: alibi?.bias(queries: counted, keys: counted),
        dtype: dtype, device: device)
      return (mask, tables)
    }
    let mask = try AttentionMask.causal(
      queries: length, keys: length, padding: padding,
      bias: alibi?.bias(queries: positions, keys: positions), dtype: dtype, device: device)
    let tables = try rotary?.tables(
      positions: positions, lengths: positions.amax([1], keepDim: true) + 1, dtype: dtype)
    return (mask, tables)
  }

  /// - Parameters:
  ///   - x: [batch, length, dim]
  ///   - context: [batch, keys, dim], with cross-attention
  /// - Returns: the shape of `x`
  public func callAsFunction(_ x: Tensor, context: Tensor? = nil) throws -> Tensor {
    try forward(x, context: context, positions: nil, padding: nil).output
  }

  /// Keys and values of the context for each layer; none without cross-attention.
  private func contexts(_ context: Tensor?) throws -> [KeysAndValues] {
    guard let crossKeysAndValues else { return [] }
    guard let context else {
      throw ModelError("the decoder attends to a picture, so it needs a context: give the encoder's output")
    }
    return try Attention.keysAndValues(context, crossKeysAndValues, of: layers.compactMap(\.cross?.attention))
  }
}

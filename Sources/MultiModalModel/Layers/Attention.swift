import Torch

private let attentionOperator = Operator("gpt4mm::attention")
private let slotAttention = Operator("gpt4mm::slot_attention")

/// Multi-head attention: `softmax(q kᵀ · scale + mask) v`, projected by four linear layers, with or without biases.
public final class Attention {
  /// Attention weights after the softmax, [batch, heads, queries, keys], when they were asked for.
  public typealias Map = Tensor

  let toQuery: Linear
  let toKey: Linear
  let toValue: Linear
  private let toOut: Linear
  /// Queries, keys and values of self-attention.
  private let toAll: JoinedLinear
  let heads: AttentionHeads
  let usesFusedKernel: Bool
  private let dropout: Double
  private let residualDropout: Double
  private let scale: Double
  /// Whether a prepared layer may round queries, keys, values and weights as it multiplies them.
  private var roundsActivations = false

  /// - Parameters:
  ///   - query: [dim] to [heads · width]; keys and values may come from another width
  ///   - out: [heads · width] to [dim]
  ///   - qkNorm: L2-normalise queries and keys and multiply their products by 10 instead of 1/√width
  ///   - scale: what their products are multiplied by instead
  ///   - flash: use a fused kernel
  ///   - dropout: of the attention weights, while training
  ///   - residualDropout: of what `out` gives, while training
  public init(
    query: Linear, key: Linear, value: Linear, out: Linear, heads: Int, qkNorm: Bool = false,
    scale: Double? = nil, flash: Bool = true, dropout: Double = 0, residualDropout: Double = 0
  ) {
    (toQuery, toKey, toValue, toOut) = (query, key, value, out)
    toAll = JoinedLinear([query, key, value])
    let width = query.outputs / heads
    self.heads = AttentionHeads(heads: heads, width: width, normalizes: qkNorm)
    usesFusedKernel = flash
    self.dropout = dropout
    self.residualDropout = residualDropout
    self.scale = scale ?? (qkNorm ? 10 : 1 / Double(width).squareRoot())
  }

  /// Attention of every position to every position of `context`, or of `x` itself.
  /// - Parameters:
  ///   - x: [batch, queries, dim]
  ///   - context: [batch, keys, dim]; nil for self-attention
  ///   - isCausal: a position sees none that come after it
  /// - Returns: [batch, queries, dim]
  public func callAsFunction(_ x: Tensor, context: Tensor? = nil, isCausal: Bool = false) throws -> Tensor {
    let query: Tensor
    let own: KeysAndValues
    if let context {
      query = try queries(x)
      own = try Self.keysAndValues(context, JoinedLinear([toKey, toValue]), of: [self])[0]
    } else {
      (query, own) = try queriesKeysAndValues(x)
    }
    return try attend(
      query, own,
      mask: isCausal
        ? .causal(
          queries: query.shape[2], keys: own.length, padding: nil, bias: nil, dtype: query.dtype,
          device: x.device) : .none
    ).output
  }

  /// What self-attention needs of `norm(x)`, [batch, heads, length, width] each.
  func queriesKeysAndValues(
    _ x: Tensor, norm: LayerNorm? = nil, rotary: RotaryXpos.Tables? = nil
  ) throws -> (queries: Tensor, own: KeysAndValues) {
    let parts = try heads.split(
      toAll(x, norm: norm), parts: 3, normalized: 2,
      tables: rotary.map { [$0.query, $0.key, $0.value] } ?? [])
    return (parts[0], KeysAndValues(keys: parts[1], values: parts[2]))
  }

  /// The next tokens of several texts, each attending to its own slot, plus `x`.
  /// - Parameters:
  ///   - x: [tokens, dim], the rows' tokens after each other
  ///   - norm: what `x` goes through first
  ///   - slots: [slots, heads, capacity, width] each; in self-attention the rows' own keys and values are added to them
  ///   - grows: self-attention, in which a token sees its text up to itself; else all that the slot holds is seen
  ///   - rotary: of each token
  /// - Returns: [tokens, dim]
  func step(
    _ x: Tensor, norm: LayerNorm?, slots: KeysAndValues, rows: SlotRows, grows: Bool,
    rotary: RotaryXpos.Tables? = nil, alibi: Alibi? = nil
  ) throws -> Tensor {
    let projected = try grows ? toAll(x, norm: norm) : toQuery(x, norm: norm)
    let tables = grows ? [rotary?.query, rotary?.key, rotary?.value] : [nil]
    if usesFusedKernel, heads.hasKernel, x.device == .cpu, try slots.keys.dtype == .float32 {
      let merged = try slotAttention(
        .tensor(projected), .int(heads.normalizes ? (grows ? 2 : 1) : 0),
        .optionalTensors(tables.map { $0?.cos }), .optionalTensors(tables.map { $0?.sin }),
        .tensor(slots.keys), .tensor(slots.values), .tensor(rows.table),
        alibi.map { .tensor($0.slopes) } ?? .none,
        .double(scale))
      return try toOut(merged, residual: x)
    }
    let parts = try heads.split(
      projected.unsqueeze(0), parts: tables.count, normalized: grows ? 2 : 1, tables: tables)
    let merged = try rows.rows.map { row in
      func own(_ part: Tensor) throws -> Tensor { try part.narrow(2, start: row.first, length: row.count) }
      func held(_ buffer: Tensor, adding part: Int) throws -> Tensor {
        let slot = try buffer.narrow(0, start: row.slot, length: 1)
        if grows { try slot.narrow(2, start: row.held, length: row.count).copy_(own(parts[part])) }
        return try slot.narrow(2, start: 0, length: row.held + (grows ? row.count : 0))
      }
      let context = KeysAndValues(
        keys: try held(slots.keys, adding: 1), values: try held(slots.values, adding: 2))
      let mask =
        try grows ? self.mask(of: row, alibi: alibi, dtype: context.keys.dtype, device: x.device) : .none
      return try attended(own(parts[0]), context, mask: mask).output
    }
    return try toOut(Tensor.cat(merged, dim: 1).squeeze(0), residual: x)
  }

  /// Where the tokens of one row look in cross-attention among what its slot holds.
  /// - Parameters:
  ///   - x: [tokens, dim]
  ///   - norm: what `x` goes through first
  ///   - slots: [slots, heads, capacity, width] each
  /// - Returns: [1, heads, tokens, keys]
  func stepMap(_ x: Tensor, norm: LayerNorm?, slots: KeysAndValues, row: SlotRows.Row) throws -> Map {
    let keys = try slots.keys.narrow(0, start: row.slot, length: 1).narrow(2, start: 0, length: row.held)
    return try weights(queries(x.unsqueeze(0), norm: norm), keys, mask: .none)
  }

  /// A row's tokens see what its slot holds and each other up to themselves.
  private func mask(of row: SlotRows.Row, alibi: Alibi?, dtype: DType, device: Device) throws -> AttentionMask
  {
    let keys = row.held + row.count
    let positions = try Tensor.arange(keys, device: device).unsqueeze(0)
    return try .causal(
      queries: row.count, keys: keys, padding: nil,
      bias: alibi?.bias(queries: positions.narrow(1, start: row.held, length: row.count), keys: positions),
      dtype: dtype, device: device)
  }

  /// What cross-attention needs of `norm(x)`, [batch, heads, length, width].
  func queries(_ x: Tensor, norm: LayerNorm? = nil) throws -> Tensor {
    try heads.split(toQuery(x, norm: norm), parts: 1, normalized: 1)[0]
  }

  /// Keys and values of one context for several attentions at once.
  /// - Parameter joined: the layers' `toKey` one after the other, then their `toValue`
  static func keysAndValues(_ context: Tensor, _ joined: JoinedLinear, of attentions: [Attention]) throws
    -> [KeysAndValues]
  {
    guard let heads = attentions.first?.heads else { return [] }
    let count = attentions.count
    let parts = try heads.split(joined(context), parts: 2 * count, normalized: count)
    return (0..<count).map { KeysAndValues(keys: parts[$0], values: parts[count + $0]) }
  }

  /// - Parameter residual: added to the output
  func attend(
    _ query: Tensor, _ context: KeysAndValues, mask: AttentionMask, residual: Tensor? = nil,
    training: Bool = false, wantsMap: Bool = false
  ) throws -> (output: Tensor, map: Map?) {
    let dropout = training ? dropout : 0
    let residualDropout = training ? residualDropout : 0
    if usesFusedKernel && !wantsMap && dropout == 0, heads.hasKernel, query.device == .cpu,
      try AttentionHeads.dtype(for: query) == .float32
    {
      let merged = try attentionOperator(
        .tensor(query.to(dtype: .float32)), .tensor(context.keys.to(dtype: .float32)),
        .tensor(context.values.to(dtype: .float32)),
        mask.additive.map { .tensor(try $0.to(dtype: .float32)) } ?? .none,
        mask.slopes.map { .tensor($0) } ?? .none, .bool(mask.isCausal), .double(scale),
        .bool(roundsActivations))
      return (try toOut.adding(merged, to: residual, dropout: residualDropout), nil)
    }
    let (merged, map) = try attended(query, context, mask: mask, dropout: dropout, wantsMap: wantsMap)
    return (try toOut.adding(merged, to: residual, dropout: residualDropout), map)
  }

  /// By LibTorch's operators.
  /// - Returns: [batch, queries, heads · width]
  private func attended(
    _ query: Tensor, _ context: KeysAndValues, mask: AttentionMask, dropout: Double = 0,
    wantsMap: Bool = false
  ) throws -> (output: Tensor, map: Map?) {
    let attended: Tensor
    var map: Map?
    if usesFusedKernel && !wantsMap {
      func fused(_ parts: [Tensor]) throws -> Tensor {
        try .scaledDotProductAttention(
          query: parts[0], key: parts[1], value: parts[2], mask: mask.additive?.to(dtype: parts[0].dtype),
          dropout: dropout, isCausal: mask.isCausal, scale: scale)
      }
      let parts = [query, context.keys, context.values]
      // What autocasting asks for would take longer on a CPU.
      attended =
        try query.device == .cpu
        ? withAutocast(nil, on: .cpu) {
          let dtype = try AttentionHeads.dtype(for: query)
          return try fused(parts.map { try $0.to(dtype: dtype) })
        } : fused(parts)
    } else {
      let weights = try weights(query, context.keys, mask: mask)
      map = weights
      attended = try (dropout > 0 ? weights.dropout(dropout) : weights).matmul(context.values)
    }
    let shape = attended.shape
    return (try attended.transpose(1, 2).reshape([shape[0], shape[2], shape[1] * shape[3]]), map)
  }

  private func weights(_ query: Tensor, _ keys: Tensor, mask: AttentionMask) throws -> Map {
    var logits = try query.matmul(keys.transpose(2, 3)) * scale
    if mask.isCausal {
      let later = try Tensor.ones([query.shape[2], keys.shape[2]], dtype: .bool, device: query.device)
        .triu(diagonal: 1)
      logits = try logits.maskedFill(later, -.infinity)
    } else if let additive = mask.additive {
      logits = try logits + additive
    }
    return try logits.softmax()
  }

  /// Weights that are multiplied with every position of `x` in self-attention, and in cross-attention.
  var ownWeights: [Parameter] { [toQuery, toKey, toValue, toOut].map(\.weight) }
  var queryWeights: [Parameter] { [toQuery, toOut].map(\.weight) }

  /// Prepares self-attention.
  func prepareForInference(_ precision: Precision) throws {
    roundsActivations = precision.roundsActivations
    try toAll.prepareForInference(precision)
    try toOut.prepareForInference(precision)
  }

  /// Prepares cross-attention, but for the keys and values, which all layers compute as one.
  func prepareQueriesForInference(_ precision: Precision) throws {
    roundsActivations = precision.roundsActivations
    try toQuery.prepareForInference(precision)
    try toOut.prepareForInference(precision)
  }
}

extension Linear {
  /// `residual + dropout(self(x))`
  func adding(_ x: Tensor, to residual: Tensor?, dropout: Double) throws -> Tensor {
    guard dropout > 0 else { return try self(x, residual: residual) }
    let y = try self(x).dropout(dropout)
    return try residual.map { try $0 + y } ?? y
  }
}

/// What a query attends to, [batch, heads, length, width] each.
struct KeysAndValues {
  let keys: Tensor
  let values: Tensor

  var length: Int { keys.shape[2] }
}

import Torch

private let attentionOperator = Operator("gpt4mm::attention")

/// Multi-head attention: `softmax(q kᵀ · scale + mask) v`, heads of 64 elements each whatever the model's width.
///
/// Weights, all without bias: `to_q`, `to_k`, `to_v` [heads · 64, dim] and `to_out` [dim, heads · 64].
public final class Attention {
  /// Attention weights after the softmax, [batch, heads, queries, keys], when they were asked for.
  public typealias Map = Tensor

  let toQuery: Linear
  let toKey: Linear
  let toValue: Linear
  private let toOut: Linear
  /// Queries, keys and values of self-attention.
  private let toAll: JoinedLinear
  private let heads: AttentionHeads
  private let usesFusedKernel: Bool
  private let dropout: Double
  private let scale: Double

  /// - Parameters:
  ///   - dim: width of the input and output
  ///   - qkNorm: L2-normalise queries and keys and multiply their products by 10 instead of 1/√64
  ///   - flash: use LibTorch's fused kernel
  public init(
    _ path: ParameterPath, dim: Int, heads: Int, qkNorm: Bool = false, flash: Bool = true, dropout: Double = 0
  ) throws {
    let inner = heads * Configuration.headDim
    toQuery = try Linear(path / "to_q", inputs: dim, outputs: inner, bias: false)
    toKey = try Linear(path / "to_k", inputs: dim, outputs: inner, bias: false)
    toValue = try Linear(path / "to_v", inputs: dim, outputs: inner, bias: false)
    toOut = try Linear(path / "to_out", inputs: inner, outputs: dim, bias: false)
    toAll = JoinedLinear([toQuery, toKey, toValue])
    self.heads = AttentionHeads(heads: heads, normalizes: qkNorm)
    usesFusedKernel = flash
    self.dropout = dropout
    scale = qkNorm ? 10 : 1 / Double(Configuration.headDim).squareRoot()
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

  /// What self-attention needs of `norm(x)`, [batch, heads, length, 64] each.
  /// - Parameter target: where keys and values are written when there is a place already
  func queriesKeysAndValues(
    _ x: Tensor, norm: LayerNorm? = nil, rotary: RotaryXpos.Tables? = nil, into target: KeysAndValues? = nil
  ) throws -> (queries: Tensor, own: KeysAndValues) {
    let parts = try heads.split(
      toAll(x, norm: norm), parts: 3, normalized: 2,
      tables: rotary.map { [$0.query, $0.key, $0.value] } ?? [],
      into: target.map { [nil, $0.keys, $0.values] } ?? [])
    return (parts[0], KeysAndValues(keys: parts[1], values: parts[2]))
  }

  /// What cross-attention needs of `norm(x)`, [batch, heads, length, 64].
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
    if usesFusedKernel && !wantsMap && dropout == 0, query.device == .cpu, try query.dtype == .float32,
      !query.requiresGrad && !context.keys.requiresGrad
    {
      let merged = try attentionOperator(
        .tensor(query), .tensor(context.keys), .tensor(context.values),
        mask.additive.map { .tensor($0) } ?? .none,
        mask.slopes.map { .tensor($0) } ?? .none, .bool(mask.isCausal), .double(scale))
      return (try toOut(merged, residual: residual), nil)
    }
    let attended: Tensor
    var map: Map?
    if usesFusedKernel && !wantsMap {
      attended = try Tensor.scaledDotProductAttention(
        query: query, key: context.keys, value: context.values, mask: mask.additive, dropout: dropout,
        isCausal: mask.isCausal, scale: scale)
    } else {
      var logits = try query.matmul(context.keys.transpose(2, 3)) * scale
      if mask.isCausal {
        let later = try Tensor.ones([query.shape[2], context.length], dtype: .bool, device: query.device)
          .triu(diagonal: 1)
        logits = try logits.maskedFill(later, -.infinity)
      } else if let additive = mask.additive {
        logits = try logits + additive
      }
      let weights = try logits.softmax()
      map = weights
      attended = try (dropout > 0 ? weights.dropout(dropout) : weights).matmul(context.values)
    }
    let shape = attended.shape
    let merged = try attended.transpose(1, 2).reshape([shape[0], shape[2], shape[1] * shape[3]])
    return (try toOut(merged, residual: residual), map)
  }

  /// Prepares self-attention.
  func prepareForInference(_ precision: Precision) throws {
    try toAll.prepareForInference(precision)
    try toOut.prepareForInference(precision)
  }

  /// Prepares cross-attention, but for the keys and values, which all layers compute as one.
  func prepareQueriesForInference(_ precision: Precision) throws {
    try toQuery.prepareForInference(precision)
    try toOut.prepareForInference(precision)
  }
}

/// What a query attends to, [batch, heads, length, 64] each.
struct KeysAndValues {
  let keys: Tensor
  let values: Tensor

  var length: Int { keys.shape[2] }

  func narrow(_ start: Int, _ length: Int) throws -> KeysAndValues {
    KeysAndValues(
      keys: try keys.narrow(2, start: start, length: length),
      values: try values.narrow(2, start: start, length: length))
  }
}

import Torch

/// Multi-head attention: `softmax(q kᵀ · scale + mask) v`, heads of 64 elements each whatever the model's width.
///
/// Weights, all without bias: `to_q`, `to_k`, `to_v` [heads · 64, dim] and `to_out` [dim, heads · 64].
public final class Attention {
  /// Attention weights after the softmax, [batch, heads, queries, keys], when they were asked for.
  public typealias Map = Tensor

  private let toQuery: Linear
  private let toKey: Linear
  private let toValue: Linear
  private let toOut: Linear
  private let heads: Int
  private let usesCosineSimilarity: Bool
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
    self.heads = heads
    usesCosineSimilarity = qkNorm
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
    try attend(
      queries(x, rotary: nil), keysAndValues(context ?? x, rotary: nil),
      mask: isCausal
        ? .causal(
          queries: x.shape[1], keys: (context ?? x).shape[1], padding: nil, bias: nil, dtype: x.dtype,
          device: x.device) : .none, training: false
    ).output
  }

  func queries(_ x: Tensor, rotary: RotaryXpos.Tables?) throws -> Tensor {
    let query = try normalized(split(toQuery(x)))
    return try rotary?.queries(query) ?? query
  }

  /// Keys and values of `x`, each [batch, heads, length, 64], as a cache keeps them.
  func keysAndValues(_ x: Tensor, rotary: RotaryXpos.Tables?) throws -> KeysAndValues {
    let key = try normalized(split(toKey(x)))
    let value = try split(toValue(x))
    guard let rotary else { return KeysAndValues(keys: key, values: value) }
    return KeysAndValues(keys: try rotary.keys(key), values: try rotary.values(value))
  }

  func attend(
    _ query: Tensor, _ context: KeysAndValues, mask: AttentionMask, training: Bool, wantsMap: Bool = false
  ) throws -> (output: Tensor, map: Map?) {
    let dropout = training ? dropout : 0
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
    let merged = try attended.transpose(1, 2).reshape([shape[0], shape[2], heads * Configuration.headDim])
    return (try toOut(merged), map)
  }

  /// [batch, length, heads · 64] to [batch, heads, length, 64]
  private func split(_ x: Tensor) throws -> Tensor {
    let shape = x.shape
    return try x.reshape([shape[0], shape[1], heads, Configuration.headDim]).transpose(1, 2)
  }

  private func normalized(_ x: Tensor) throws -> Tensor {
    guard usesCosineSimilarity else { return x }
    return try x / x.norm([-1], keepDim: true).clamp(min: 1e-12)
  }
}

/// What a query attends to, [batch, heads, length, 64] each.
struct KeysAndValues {
  let keys: Tensor
  let values: Tensor

  var length: Int { keys.shape[2] }
}

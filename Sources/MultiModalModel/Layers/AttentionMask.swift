import Torch

/// What is added to attention's logits: where a query may not look, and how far away a key is.
struct AttentionMask {
  /// To be added, [batch or 1, heads or 1, queries, keys]; nil when nothing is.
  let additive: Tensor?
  /// The plain causal mask of as many queries as keys, for kernels that know it.
  let isCausal: Bool
  /// ALiBi's, one per head, for the kernel that computes the bias itself.
  var slopes: Tensor?

  static let none = AttentionMask(additive: nil, isCausal: false)

  /// - Parameters:
  ///   - queries: how many, the last of the keys
  ///   - padding: bool [batch, keys], true for a real token
  ///   - bias: [batch or 1, heads, queries, keys]
  static func causal(queries: Int, keys: Int, padding: Tensor?, bias: Tensor?, dtype: DType, device: Device)
    throws
    -> AttentionMask
  {
    guard padding != nil || bias != nil || (queries != keys && queries > 1) else {
      return AttentionMask(additive: nil, isCausal: queries > 1)
    }
    var allowed: Tensor?
    if queries > 1 {
      allowed = try Tensor.ones([queries, keys], dtype: .bool, device: device).tril(diagonal: keys - queries)
    }
    if let padding {
      let real = try padding.unsqueeze(1).unsqueeze(1)
      allowed = try allowed.map { try $0.logicalAnd(real) } ?? real
    }
    // Finite, so that a row in which everything is masked (padding itself) gives no NaN.
    let lowest = dtype == .float16 ? -30_000.0 : -1e38
    let base = try bias ?? Tensor.zeros([1, 1, 1, 1], device: device)
    let additive = try allowed.map { try base.maskedFill($0.logicalNot(), lowest) } ?? base
    return AttentionMask(additive: try additive.to(dtype: dtype), isCausal: false)
  }
}

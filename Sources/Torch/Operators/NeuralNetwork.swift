private enum Op {
  static let linear = Operator("gpt4mm::linear")
  static let layerNorm = Operator("aten::layer_norm")
  static let embedding = Operator("aten::embedding")
  static let gelu = Operator("aten::gelu")
  static let upsampleBicubic = Operator("aten::upsample_bicubic2d")
  static let relu = Operator("aten::relu")
  static let softmax = Operator("aten::softmax", overload: "int")
  static let logSoftmax = Operator("aten::log_softmax", overload: "int")
  static let dropout = Operator("aten::dropout")
  static let crossEntropy = Operator("aten::cross_entropy_loss")
  static let attention = Operator("aten::scaled_dot_product_attention")
}

extension Tensor {
  /// `self · weightᵀ + bias`; weight [out, in], bias [out].
  public func linear(_ weight: Tensor, bias: Tensor? = nil) throws -> Tensor {
    try Op.linear(.tensor(self), .tensor(weight), .optional(bias))
  }

  /// Normalises the last dimension to mean 0 and variance 1, then scales and shifts.
  public func layerNorm(weight: Tensor, bias: Tensor, eps: Double = 1e-5) throws -> Tensor {
    try Op.layerNorm(.tensor(self), .ints(weight.shape), .tensor(weight), .tensor(bias), .double(eps))
  }

  /// The rows of `weight` [n, dim] that these indices (int64) name.
  public func embedding(_ weight: Tensor) throws -> Tensor {
    try Op.embedding(.tensor(weight), .tensor(self))
  }

  /// How `gelu` is computed, by PyTorch's names.
  public enum GELUApproximation: String, Sendable {
    /// `x/2 (1 + erf(x / √2))`
    case none
    /// `x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))`
    case tanh
  }

  /// `x/2 (1 + erf(x / √2))`, or its approximation by tanh.
  public func gelu(approximate: GELUApproximation = .none) throws -> Tensor {
    try Op.gelu(.tensor(self), .string(approximate.rawValue))
  }

  /// Another height and width of [batch, channels, height, width], between whose numbers cubic curves are laid (a = -0.75),
  /// corners not aligned: PyTorch's `interpolate` in mode `bicubic`.
  public func upsampledBicubic(height: Int, width: Int) throws -> Tensor {
    try Op.upsampleBicubic(.tensor(self), .ints([height, width]), .bool(false), .none, .none)
  }

  /// `max(x, 0)`
  public func relu() throws -> Tensor { try Op.relu(.tensor(self)) }

  public func softmax(_ dim: Int = -1) throws -> Tensor { try Op.softmax(.tensor(self), .int(dim)) }
  public func logSoftmax(_ dim: Int = -1) throws -> Tensor { try Op.logSoftmax(.tensor(self), .int(dim)) }

  /// Zeroes each element with probability `p` and scales the others by `1 / (1 - p)`.
  public func dropout(_ p: Double) throws -> Tensor { try Op.dropout(.tensor(self), .double(p), .bool(true)) }

  /// The mean negative log-likelihood of `targets` (int64 [n]) under these logits [n, classes].
  /// Targets equal to `ignoreIndex` do not count.
  public func crossEntropy(_ targets: Tensor, ignoreIndex: Int = -100, labelSmoothing: Double = 0) throws
    -> Tensor
  {
    try Op.crossEntropy(
      .tensor(self), .tensor(targets), .none, .int(1), .int(ignoreIndex), .double(labelSmoothing))
  }

  /// `softmax(query · keyᵀ · scale + mask) · value`, over [batch, heads, length, width].
  /// - Parameter mask: bool (true: attend) or to be added, broadcastable to [batch, heads, query, key].
  public static func scaledDotProductAttention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor? = nil, dropout: Double = 0,
    isCausal: Bool = false,
    scale: Double? = nil
  ) throws -> Tensor {
    try Op.attention(
      .tensor(query), .tensor(key), .tensor(value), .optional(mask), .double(dropout), .bool(isCausal),
      .optional(scale))
  }
}

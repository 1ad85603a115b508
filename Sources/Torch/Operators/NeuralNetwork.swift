private enum Op {
  static let linear = Operator("gpt4mm::linear")
  static let layerNorm = Operator("aten::layer_norm")
  static let embedding = Operator("aten::embedding")
  static let gelu = Operator("gpt4mm::gelu")
  static let upsampleBicubic = Operator("aten::upsample_bicubic2d")
  static let relu = Operator("aten::relu")
  static let leakyReLU = Operator("aten::leaky_relu")
  static let silu = Operator("aten::silu")
  static let softplus = Operator("aten::softplus")
  static let conv2d = Operator("aten::conv2d")
  static let maxPool2d = Operator("aten::max_pool2d")
  static let avgPool2d = Operator("aten::avg_pool2d")
  static let adaptiveAvgPool2d = Operator("aten::adaptive_avg_pool2d")
  static let groupNorm = Operator("aten::group_norm")
  static let pad = Operator("aten::constant_pad_nd")
  static let cosineSimilarity = Operator("aten::cosine_similarity")
  static let mseLoss = Operator("aten::mse_loss")
  static let l1Loss = Operator("aten::l1_loss")
  static let binaryCrossEntropy = Operator("aten::binary_cross_entropy_with_logits")
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

  /// `max(x, 0) + slope min(x, 0)`
  public func leakyRelu(_ slope: Double = 0.01) throws -> Tensor {
    try Op.leakyReLU(.tensor(self), .double(slope))
  }
  /// `x sigmoid(x)`
  public func silu() throws -> Tensor { try Op.silu(.tensor(self)) }
  /// `log(1 + eˣ)`
  public func softplus() throws -> Tensor { try Op.softplus(.tensor(self)) }

  /// `exp(x)` divided by its sum over `dim`.
  public func softmax(_ dim: Int = -1) throws -> Tensor { try Op.softmax(.tensor(self), .int(dim)) }
  /// The logarithm of `softmax`.
  public func logSoftmax(_ dim: Int = -1) throws -> Tensor { try Op.logSoftmax(.tensor(self), .int(dim)) }

  /// Zeroes each element with probability `p` and scales the others by `1 / (1 - p)`.
  public func dropout(_ p: Double) throws -> Tensor { try Op.dropout(.tensor(self), .double(p), .bool(true)) }

  /// Convolves [batch, channels, height, width] with `weight` [out, channels / groups, rows, columns] and adds `bias` [out].
  public func conv2d(
    _ weight: Tensor, bias: Tensor? = nil, stride: Int = 1, padding: Int = 0, dilation: Int = 1,
    groups: Int = 1
  ) throws -> Tensor {
    try Op.conv2d(
      .tensor(self), .tensor(weight), .optional(bias), .ints([stride, stride]), .ints([padding, padding]),
      .ints([dilation, dilation]), .int(groups))
  }

  /// The largest of each `size` x `size` field of [batch, channels, height, width].
  /// - Parameter stride: from one field to the next; nil for `size`
  public func maxPool2d(_ size: Int, stride: Int? = nil, padding: Int = 0) throws -> Tensor {
    let stride = stride ?? size
    return try Op.maxPool2d(
      .tensor(self), .ints([size, size]), .ints([stride, stride]), .ints([padding, padding]))
  }

  /// The mean of each `size` x `size` field of [batch, channels, height, width].
  /// - Parameter stride: from one field to the next; nil for `size`
  public func avgPool2d(_ size: Int, stride: Int? = nil, padding: Int = 0) throws -> Tensor {
    let stride = stride ?? size
    return try Op.avgPool2d(
      .tensor(self), .ints([size, size]), .ints([stride, stride]), .ints([padding, padding]))
  }

  /// Means of as many fields as `height` and `width` say, whatever the input's.
  public func adaptiveAvgPool2d(height: Int, width: Int) throws -> Tensor {
    try Op.adaptiveAvgPool2d(.tensor(self), .ints([height, width]))
  }

  /// Normalises each of `groups` groups of channels of [batch, channels, ...], then scales and shifts channels.
  public func groupNorm(_ groups: Int, weight: Tensor? = nil, bias: Tensor? = nil, eps: Double = 1e-5) throws
    -> Tensor
  {
    try Op.groupNorm(.tensor(self), .int(groups), .optional(weight), .optional(bias), .double(eps))
  }

  /// `value` around: so many entries before and behind the last dimension, then the one before it, and so on.
  public func pad(_ widths: [Int], value: Double = 0) throws -> Tensor {
    try Op.pad(.tensor(self), .ints(widths), .double(value))
  }

  /// Divided by the p-norm of `dim`: PyTorch's `normalize`.
  public func normalize(_ dim: Int = 1, p: Double = 2, eps: Double = 1e-12) throws -> Tensor {
    try self / norm([dim], p: p, keepDim: true).clamp(min: eps)
  }

  /// The cosine of the angle between the vectors in `dim` of both.
  public func cosineSimilarity(_ other: Tensor, dim: Int = 1, eps: Double = 1e-8) throws -> Tensor {
    try Op.cosineSimilarity(.tensor(self), .tensor(other), .int(dim), .double(eps))
  }

  /// The mean squared difference.
  public func mseLoss(_ target: Tensor) throws -> Tensor { try Op.mseLoss(.tensor(self), .tensor(target)) }
  /// The mean absolute difference.
  public func l1Loss(_ target: Tensor) throws -> Tensor { try Op.l1Loss(.tensor(self), .tensor(target)) }
  /// The mean negative log-likelihood of targets between 0 and 1 under the sigmoids of these logits.
  public func binaryCrossEntropyWithLogits(_ target: Tensor) throws -> Tensor {
    try Op.binaryCrossEntropy(.tensor(self), .tensor(target))
  }

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

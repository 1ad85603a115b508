private let preparedNorm = Operator("gpt4mm::layer_norm")

/// What a linear layer does to each of its outputs.
public enum Activation: Int, Sendable {
  // Numbered as in the kernels.
  /// None.
  case none
  /// `x/2 (1 + erf(x / √2))` (Hendrycks & Gimpel, 2016).
  case gelu
  /// `x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))`, as in GPT-2.
  case geluTanh
  /// `max(x, 0)`
  case relu

  func callAsFunction(_ x: Tensor) throws -> Tensor {
    switch self {
    case .none: x
    case .gelu: try x.gelu()
    case .geluTanh: try x.gelu(approximate: .tanh)
    case .relu: try x.relu()
    }
  }
}

/// `y = x Wᵀ + b`, weight [outputs, inputs], bias [outputs]; drawn uniformly within 1/√inputs as in PyTorch.
public final class Linear {
  /// [outputs, inputs]
  public let weight: Parameter
  /// [outputs]; nil for none.
  public let bias: Parameter?
  private var packed: PackedLinear?

  /// A layer with parameters of its own, `weight` and `bias`.
  public convenience init(_ path: ParameterPath, inputs: Int, outputs: Int, bias: Bool = true) throws {
    let weight = try path.parameter("weight", shape: [outputs, inputs], .linearWeight(fanIn: inputs))
    weight.isLinearWeight = true
    self.init(
      weight: weight,
      bias: bias
        ? try path.parameter("bias", shape: [outputs], .linearBias(fanIn: inputs), role: .vector) : nil)
  }

  /// - Parameter weight: which another layer may own, such as an embedding's table
  public init(weight: Parameter, bias: Parameter?) {
    self.weight = weight
    self.bias = bias
  }

  /// The width of what comes in.
  public var inputs: Int { weight.shape[1] }
  /// The width of what comes out.
  public var outputs: Int { weight.shape[0] }

  /// `activation(norm(x) Wᵀ + b) + residual`
  /// - Parameters:
  ///   - x: [..., inputs]; float32 is taken by a layer of 16 bits too
  ///   - norm: what x goes through first; prepared with the layer, both are computed in one
  ///   - residual: [..., outputs]
  /// - Returns: [..., outputs]
  public func callAsFunction(
    _ x: Tensor, norm: LayerNorm? = nil, activation: Activation = .none, residual: Tensor? = nil
  ) throws -> Tensor {
    if let packed { return try packed(x, norm: norm, activation: activation, residual: residual) }
    let normed = try norm?(x) ?? x
    let dtype = try weight.value.dtype
    let input = try dtype.size < 4 ? normed.to(dtype: dtype) : normed
    var y = try input.linear(weight.value, bias: bias?.value)
    if let adapter = weight.adapter { y = try y + adapter(input) }
    y = try activation(y)
    return try residual.map { try $0 + y } ?? y
  }

  /// Packs the weight for a precision and lets go of it where no other layer owns it.
  public func prepareForInference(_ precision: Precision) throws {
    packed = try .packing([self], precision)
  }
}

extension PackedLinear {
  /// Packs the layers' weights and lets go of them.
  static func packing(_ layers: [Linear], _ precision: Precision) throws -> PackedLinear {
    guard layers.allSatisfy({ $0.weight.adapter == nil }) else {
      throw TorchError("a layer has an adapter: merge adapters before the model is prepared for inference")
    }
    guard layers.allSatisfy({ !$0.weight.isReleased }) else {
      throw TorchError("a layer is prepared for inference already: load it again for another precision")
    }
    let packed = try PackedLinear(layers, precision)
    for parameter in layers.flatMap({ [$0.weight, $0.bias].compactMap { $0 } })
    where parameter.role != .embedding {
      parameter.release()
    }
    return packed
  }
}

/// Linear layers of the same input, computed in one matrix product where none has an adapter.
package final class JoinedLinear {
  private let layers: [Linear]
  private var packed: PackedLinear?

  package init(_ layers: [Linear]) { self.layers = layers }

  /// - Parameter x: [..., inputs]
  /// - Returns: the layers' outputs after each other, [..., sum of outputs]
  package func callAsFunction(_ x: Tensor, norm: LayerNorm? = nil) throws -> Tensor {
    if let packed { return try packed(x, norm: norm) }
    let normed = try norm?(x) ?? x
    let biases = layers.compactMap(\.bias?.value)
    guard layers.allSatisfy({ $0.weight.adapter == nil }), biases.isEmpty || biases.count == layers.count
    else {
      return try Tensor.cat(layers.map { try $0(normed) }, dim: -1)
    }
    return try normed.linear(
      Tensor.cat(layers.map(\.weight.value)), bias: biases.isEmpty ? nil : Tensor.cat(biases))
  }

  package func prepareForInference(_ precision: Precision) throws {
    packed = try .packing(layers, precision)
  }
}

/// `y = (x - mean) / √(variance + eps) · weight + bias` over the last dimension; weight 1 and bias 0 at first.
public final class LayerNorm {
  /// [width]
  public let weight: Parameter
  /// [width]
  public let bias: Parameter
  /// What is added to the variance.
  public let eps: Double
  private var isPrepared = false

  /// Over the last dimension, of `width` entries.
  public init(_ path: ParameterPath, width: Int, eps: Double = 1e-5) throws {
    weight = try path.parameter("weight", shape: [width], .constant(1), role: .vector)
    bias = try path.parameter("bias", shape: [width], .constant(0), role: .vector)
    self.eps = eps
  }

  /// [..., width] normalised.
  public func callAsFunction(_ x: Tensor) throws -> Tensor {
    guard isPrepared, try x.dtype == .float32 else {
      return try x.layerNorm(weight: weight.value, bias: bias.value, eps: eps)
    }
    return try preparedNorm(.tensor(x), .tensor(weight.value), .tensor(bias.value), .double(eps))
  }

  /// Puts weight and bias in the precision's dtype.
  public func prepareForInference(_ precision: Precision) throws {
    let device = weight.value.device
    for parameter in [weight, bias] {
      try parameter.replace(with: parameter.value.detach().to(dtype: precision.dtype(on: device)))
    }
    isPrepared = device == .cpu
  }
}

/// A table of vectors, weight [count, width].
public final class Embedding {
  /// [count, width]
  public let weight: Parameter
  private var precision: Precision?

  /// - Parameter role: whether the vectors are of tokens or of positions
  public init(
    _ path: ParameterPath, count: Int, width: Int, initializer: Initializer = .normal(std: 1),
    role: Parameter.Role = .embedding
  ) throws {
    weight = try path.parameter("weight", shape: [count, width], initializer, role: role)
  }

  /// - Parameter indices: int64 [...], each below `count`
  /// - Returns: [..., width]
  public func callAsFunction(_ indices: Tensor) throws -> Tensor {
    let rows = try indices.embedding(weight.value)
    return try precision.map { try rows.to(dtype: $0.dtype(on: rows.device)) } ?? rows
  }

  /// Keeps the table in the precision's dtype for storage.
  public func prepareForInference(_ precision: Precision) throws {
    try weight.replace(with: weight.value.detach().to(dtype: precision.storageDType))
    self.precision = precision
  }
}

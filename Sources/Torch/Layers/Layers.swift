/// `y = x Wᵀ + b`, weight [outputs, inputs], bias [outputs]; drawn uniformly within 1/√inputs as in PyTorch.
public final class Linear {
  public let weight: Parameter
  public let bias: Parameter?

  public init(_ path: ParameterPath, inputs: Int, outputs: Int, bias: Bool = true) throws {
    weight = try path.parameter("weight", shape: [outputs, inputs], .linearWeight(fanIn: inputs))
    self.bias = bias ? try path.parameter("bias", shape: [outputs], .linearBias(fanIn: inputs)) : nil
  }

  /// - Parameter x: [..., inputs]
  /// - Returns: [..., outputs]
  public func callAsFunction(_ x: Tensor) throws -> Tensor { try x.linear(weight.value, bias: bias?.value) }
}

/// `y = (x - mean) / √(variance + eps) · weight + bias` over the last dimension; weight 1 and bias 0 at first.
public final class LayerNorm {
  public let weight: Parameter
  public let bias: Parameter
  public let eps: Double

  public init(_ path: ParameterPath, width: Int, eps: Double = 1e-5) throws {
    weight = try path.parameter("weight", shape: [width], .constant(1))
    bias = try path.parameter("bias", shape: [width], .constant(0))
    self.eps = eps
  }

  public func callAsFunction(_ x: Tensor) throws -> Tensor {
    try x.layerNorm(weight: weight.value, bias: bias.value, eps: eps)
  }
}

/// A table of vectors, weight [count, width].
public final class Embedding {
  public let weight: Parameter

  public init(_ path: ParameterPath, count: Int, width: Int, initializer: Initializer = .normal(std: 1))
    throws
  {
    weight = try path.parameter("weight", shape: [count, width], initializer)
  }

  /// - Parameter indices: int64 [...], each below `count`
  /// - Returns: [..., width]
  public func callAsFunction(_ indices: Tensor) throws -> Tensor { try indices.embedding(weight.value) }
}

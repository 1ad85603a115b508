/// Adam with decoupled weight decay (Loshchilov & Hutter, 2019), fused over all parameters.
///
///     m ← β₁ m + (1 - β₁) g
///     v ← β₂ v + (1 - β₂) g²
///     θ ← θ - lr · (m̂ / (√v̂ + ε) + λ θ)
public final class AdamW {
  /// What is optimised.
  public let groups: [ParameterGroup]
  /// The decay of the first moment.
  public let beta1: Double
  /// The decay of the second moment.
  public let beta2: Double
  /// What is added to a divisor.
  public let eps: Double
  /// First and second moments and step counts, by parameter name; this is what a checkpoint keeps.
  public private(set) var state: [String: State] = [:]

  /// What is kept of one parameter.
  public struct State {
    /// The moving average of the gradient.
    public let firstMoment: Tensor
    /// The moving average of its square.
    public let secondMoment: Tensor
    /// float32, a scalar.
    public let step: Tensor

    /// Parts as they were saved.
    public init(firstMoment: Tensor, secondMoment: Tensor, step: Tensor) {
      self.firstMoment = firstMoment
      self.secondMoment = secondMoment
      self.step = step
    }
  }

  private static let fused = Operator("aten::_fused_adamw_")
  private static let foreachAdd = Operator("aten::_foreach_add_", overload: "Scalar")

  /// - Throws: `TorchError` for parameters of a model that was prepared for inference.
  public init(groups: [ParameterGroup], beta1: Double = 0.9, beta2: Double = 0.999, eps: Double = 1e-8) throws
  {
    self.groups = groups
    self.beta1 = beta1
    self.beta2 = beta2
    self.eps = eps
    for parameter in groups.flatMap(\.parameters) {
      try parameter.checkUnprepared()
      let value = parameter.value
      let dtype = try value.dtype
      state[parameter.name] = State(
        firstMoment: try .zeros(value.shape, dtype: dtype, device: value.device),
        secondMoment: try .zeros(value.shape, dtype: dtype, device: value.device),
        step: try .zeros([], device: value.device))
    }
  }

  /// Moves every parameter that has a gradient.
  /// - Parameter gradientScale: what gradients are multiplied by first; they are left scaled
  public func step(learningRate: Double, gradientScale: Double = 1) throws {
    try withoutGradients {
      // The operator divides by it.
      let divisor = gradientScale == 1 ? nil : try Tensor([Float(1 / gradientScale)])
      for group in groups {
        var values: [Tensor] = []
        var gradients: [Tensor] = []
        var states: [State] = []
        for parameter in group.parameters {
          guard let gradient = try parameter.value.grad, let state = state[parameter.name] else { continue }
          values.append(parameter.value)
          gradients.append(gradient)
          states.append(state)
        }
        guard !values.isEmpty else { continue }
        try Self.foreachAdd.call([.tensors(states.map(\.step)), .double(1)], capacity: 0)
        try Self.fused.call(
          [
            .tensors(values), .tensors(gradients), .tensors(states.map(\.firstMoment)),
            .tensors(states.map(\.secondMoment)), .tensors([]), .tensors(states.map(\.step)),
            .double(learningRate), .double(beta1), .double(beta2), .double(group.weightDecay), .double(eps),
            .bool(false), .bool(false), .optional(divisor?.to(device: values[0].device)),
          ], capacity: 0)
      }
    }
  }

  /// Clears the gradients.
  public func zeroGrad() throws { try groups.zeroGrad() }

  /// Puts saved moments in place.
  /// - Throws: `TorchError` when a parameter is missing or has another shape; then nothing was changed.
  public func restore(_ saved: [String: State]) throws {
    try restore_(
      state.flatMap { name, current in
        let other = saved[name]
        return [
          (name, "first moment", current.firstMoment, other?.firstMoment),
          (name, "second moment", current.secondMoment, other?.secondMoment),
          (name, "step", current.step, other?.step),
        ]
      })
  }
}

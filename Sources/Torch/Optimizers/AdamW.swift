/// Adam with decoupled weight decay (Loshchilov & Hutter, 2019), fused over all parameters.
///
///     m ← β₁ m + (1 - β₁) g
///     v ← β₂ v + (1 - β₂) g²
///     θ ← θ - lr · (m̂ / (√v̂ + ε) + λ θ)
public final class AdamW {
  /// Parameters that share a weight decay.
  public struct Group {
    public let parameters: [Parameter]
    public let weightDecay: Double

    public init(parameters: [Parameter], weightDecay: Double) {
      self.parameters = parameters
      self.weightDecay = weightDecay
    }
  }

  public let groups: [Group]
  public let beta1: Double
  public let beta2: Double
  public let eps: Double
  /// First and second moments and step counts, by parameter name; this is what a checkpoint keeps.
  public private(set) var state: [String: State] = [:]

  public struct State {
    public let firstMoment: Tensor
    public let secondMoment: Tensor
    /// float32, a scalar.
    public let step: Tensor

    public init(firstMoment: Tensor, secondMoment: Tensor, step: Tensor) {
      self.firstMoment = firstMoment
      self.secondMoment = secondMoment
      self.step = step
    }
  }

  private static let fused = Operator("aten::_fused_adamw_")
  private static let foreachAdd = Operator("aten::_foreach_add_", overload: "Scalar")

  /// - Throws: `TorchError` for parameters of a model that was prepared for inference.
  public init(groups: [Group], beta1: Double = 0.9, beta2: Double = 0.999, eps: Double = 1e-8) throws {
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

  public func zeroGrad() throws {
    for parameter in groups.flatMap(\.parameters) { try parameter.value.setGrad(nil) }
  }

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

/// Copies what was saved of parameters in the place of what there is.
/// - Throws: `TorchError` when one is missing or has another shape; then nothing was changed.
func restore_(_ parts: [(parameter: String, part: String, current: Tensor, saved: Tensor?)]) throws {
  for (parameter, part, current, saved) in parts {
    guard let saved else { throw TorchError("what was saved lacks the \(part) of \(parameter)") }
    guard saved.shape == current.shape else {
      throw TorchError(
        "the saved \(part) of \(parameter) has shape \(saved.shape), but \(current.shape) is needed: it belongs to another "
          + "model")
    }
  }
  for (_, _, current, saved) in parts { if let saved { try current.copy_(saved) } }
}

/// Scales the gradients of `parameters` so that their joint norm is at most `maxNorm`.
/// - Returns: the norm before.
public func clipGradNorm(_ parameters: [Parameter], maxNorm: Double) throws -> Double {
  try withoutGradients {
    let norm = try gradNorm(parameters)
    let scale = clipScale(norm: norm, maxNorm: maxNorm)
    if scale < 1 {
      for parameter in parameters { _ = try parameter.value.grad?.mul_(scale) }
    }
    return norm
  }
}

/// The norm of all gradients together.
public func gradNorm(_ parameters: [Parameter]) throws -> Double {
  try withoutGradients {
    let gradients = try parameters.compactMap { try $0.value.grad }
    return gradients.isEmpty ? 0 : Double(try Tensor.totalNorm(gradients).item(Float.self))
  }
}

/// What gradients of this norm are multiplied by so that it is at most `maxNorm`; 1 where it is not finite.
public func clipScale(norm: Double, maxNorm: Double) -> Double {
  norm > maxNorm && norm.isFinite ? maxNorm / (norm + 1e-6) : 1
}

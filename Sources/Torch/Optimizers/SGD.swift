/// Stochastic gradient descent, fused over all parameters: PyTorch's `torch.optim.SGD`.
///
///     g ← g + λ θ
///     b ← μ b + g
///     θ ← θ - lr · b            (g + μ b with Nesterov's momentum; g without any)
public final class SGD {
  /// What is optimised.
  public let groups: [ParameterGroup]
  /// How much of the last steps' direction is kept, μ.
  public let momentum: Double
  /// Whether the gradient is taken to be that after the momentum's part of the step.
  public let nesterov: Bool
  /// The directions b by parameter name, empty without momentum; this is what a checkpoint keeps.
  public private(set) var momenta: [String: Tensor] = [:]

  private static let fused = Operator("aten::_fused_sgd_")

  /// - Throws: `TorchError` for Nesterov's momentum without any, or for parameters of a model that was prepared for inference.
  public init(groups: [ParameterGroup], momentum: Double = 0, nesterov: Bool = false) throws {
    guard momentum >= 0, momentum > 0 || !nesterov else {
      throw TorchError("the momentum must be 0 or more, and more with nesterov, got \(momentum)")
    }
    self.groups = groups
    self.momentum = momentum
    self.nesterov = nesterov
    for parameter in groups.flatMap(\.parameters) {
      try parameter.checkUnprepared()
      if momentum > 0 { momenta[parameter.name] = try .zeros(like: parameter.value) }
    }
  }

  /// Moves every parameter that has a gradient.
  public func step(learningRate: Double) throws {
    try withoutGradients {
      for group in groups {
        let parameters = try group.parameters.filter { try $0.value.grad != nil }
        guard !parameters.isEmpty else { continue }
        try Self.fused.call(
          [
            .tensors(parameters.map(\.value)), .tensors(parameters.compactMap { try $0.value.grad }),
            .tensors(parameters.compactMap { momenta[$0.name] }), .double(group.weightDecay),
            .double(momentum), .double(learningRate), .double(0), .bool(nesterov), .bool(false), .bool(false),
          ], capacity: 0)
      }
    }
  }

  /// Clears the gradients.
  public func zeroGrad() throws { try groups.zeroGrad() }

  /// Puts saved directions in place.
  /// - Throws: `TorchError` when a parameter is missing or has another shape; then nothing was changed.
  public func restore(_ saved: [String: Tensor]) throws {
    try restore_(momenta.map { ($0.key, "momentum", $0.value, saved[$0.key]) })
  }
}

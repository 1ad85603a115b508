/// Parameters that share a weight decay.
public struct ParameterGroup {
  /// What is optimised.
  public let parameters: [Parameter]
  /// How much of a parameter is taken from it, or from its gradient, in each step, times the learning rate.
  public let weightDecay: Double

  /// Any parameters, in one group or in several.
  public init(parameters: [Parameter], weightDecay: Double) {
    self.parameters = parameters
    self.weightDecay = weightDecay
  }
}

extension [ParameterGroup] {
  func zeroGrad() throws {
    for parameter in flatMap(\.parameters) { try parameter.value.setGrad(nil) }
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

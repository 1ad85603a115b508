/// An exponential moving average of parameters: `e ← d e + (1 - d) θ` after each step (Polyak & Juditsky, 1992).
public final class MovingAverage {
  /// What is averaged.
  public let parameters: [Parameter]
  /// How much of the average each step keeps.
  public let decay: Double
  /// By parameter name; this is what a checkpoint keeps.
  public let values: [String: Tensor]

  private static let lerp = Operator("aten::_foreach_lerp_", overload: "Scalar")

  /// - Parameter decay: in [0, 1), such as 0.999
  /// - Throws: `TorchError` for another decay, or parameters of a model that was prepared for inference.
  public init(_ parameters: [Parameter], decay: Double) throws {
    guard (0..<1).contains(decay) else { throw TorchError("the decay must be in [0, 1), got \(decay)") }
    for parameter in parameters { try parameter.checkUnprepared() }
    self.parameters = parameters
    self.decay = decay
    values = try Dictionary(
      uniqueKeysWithValues: parameters.map { ($0.name, try $0.value.detach().clone()) })
  }

  /// Puts saved averages in place.
  /// - Throws: `TorchError` when a parameter is missing or has another shape; then nothing was changed.
  public func restore(_ saved: [String: Tensor]) throws {
    try restore_(values.map { ($0.key, "moving average", $0.value, saved[$0.key]) })
  }

  /// Takes the parameters' values in.
  public func update() throws {
    try withoutGradients {
      _ = try Self.lerp.call(
        [
          .tensors(parameters.compactMap { values[$0.name] }), .tensors(parameters.map(\.value)),
          .double(1 - decay),
        ], capacity: 0)
    }
  }

  /// Puts the average in the parameters' place, and their values in its; a second time puts both back.
  public func exchange() throws {
    try withoutGradients {
      for parameter in parameters {
        guard let average = values[parameter.name] else { continue }
        let value = try parameter.value.clone()
        try parameter.value.copy_(average)
        try average.copy_(value)
      }
    }
  }
}

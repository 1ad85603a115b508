import Torch

/// What a training step computes in; weights, gradients and the optimizer stay in float32.
public enum TrainingPrecision: String, Codable, Sendable, CaseIterable {
  /// Everything in float32.
  case float32
  /// Matrix products in bfloat16, on a GPU those of attention too; norms, softmax and the loss in float32.
  case bfloat16

  /// The same, or float32 on a CPU that does not multiply bfloat16.
  public func computed(on device: Device) -> TrainingPrecision {
    device == .cpu && !LibTorch.multipliesBFloat16 ? .float32 : self
  }
}

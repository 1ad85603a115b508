import MultiModalModel
import Torch

/// One step of training: the gradients of one or several batches, clipping, and the optimizer.
public struct TrainingStep {
  /// What a training step computes in; weights, gradients and the optimizer stay in float32.
  public enum Precision: String, Codable, Sendable, CaseIterable {
    case float32
    /// Matrix products and attention in bfloat16, norms, softmax and the loss in float32.
    case bfloat16
  }

  public let model: GPT4MultiModal
  public let optimizer: AdamW
  public let precision: Precision
  /// The largest norm of all gradients together; nil leaves them as they are.
  public let clipNorm: Double?
  private let device: Device

  public init(
    _ model: GPT4MultiModal, _ optimizer: AdamW, precision: Precision = .float32, clipNorm: Double?,
    device: Device
  ) {
    self.model = model
    self.optimizer = optimizer
    self.precision = precision
    self.clipNorm = clipNorm
    self.device = device
  }

  /// - Parameters:
  ///   - batches: whose mean loss, each token alike, the step lowers
  ///   - learningRate: of the optimizer
  /// - Returns: the loss and, with `clipNorm`, the norm of the gradients before clipping; when one is not finite, nothing
  ///   was changed
  public func callAsFunction(_ batches: [Batch], learningRate: Double) throws -> (
    loss: Double, gradientNorm: Double?
  ) {
    model.isTraining = true
    defer { model.isTraining = false }
    try optimizer.zeroGrad()
    let counts = batches.map(\.targetCount)
    let total = Double(counts.reduce(0, +))
    guard !batches.isEmpty else { throw TrainingError("a training step needs at least one batch") }
    var sum = 0.0
    for (batch, count) in zip(batches, counts) where count > 0 || batches.count == 1 {
      let share = Double(count) / total
      let loss = try self.loss(batch)
      try (batches.count == 1 ? loss : loss * share).backward()
      sum += Double(try loss.item(Float.self)) * share
    }
    let norm = try clipNorm.map { try clipGradNorm(model.parameters.trainable, maxNorm: $0) }
    if sum.isFinite && norm ?? 0 < .infinity { try optimizer.step(learningRate: learningRate) }
    return (sum, norm)
  }

  /// The mean cross-entropy of a batch's targets.
  public func loss(_ batch: Batch) throws -> Tensor {
    try withAutocast(precision == .bfloat16 ? .bfloat16 : nil, on: device) {
      try Self.loss(model, batch, device: device)
    }
  }

  static func loss(_ model: GPT4MultiModal, _ batch: Batch, device: Device) throws -> Tensor {
    // Padding comes after all that counts, so causal attention never sees it, unless positions depend on the length.
    let mask = model.configuration.hasExactCache ? nil : batch.mask
    return try model.loss(
      img: batch.images.to(device: device), text: batch.text.to(device: device),
      mask: mask?.to(device: device), targets: batch.targets.to(device: device))
  }
}

import MultiModalModel
import Torch

/// One step of training: the gradients of one or several batches, clipping, and the optimizer.
public struct TrainingStep {
  /// What learns.
  public let model: any ImageToTextModel
  /// What moves the parameters.
  public let optimizer: AdamW
  /// What it computes in: what was asked for, or float32 on a CPU that does not multiply bfloat16.
  public let precision: TrainingPrecision
  /// The largest norm of all gradients together; nil leaves them as they are.
  public let clipNorm: Double?
  /// The share of a target's probability that goes to all tokens alike (Szegedy et al., 2016).
  public let labelSmoothing: Double
  private let learned: [Parameter]
  private let processes: DataParallel?
  private let device: Device
  private let memory = KeptTensorMemory()

  /// A step of one process.
  public init(
    _ model: any ImageToTextModel, _ optimizer: AdamW, precision: TrainingPrecision = .float32,
    clipNorm: Double?,
    labelSmoothing: Double = 0, device: Device
  ) {
    self.init(
      model, optimizer, precision: precision, clipNorm: clipNorm, labelSmoothing: labelSmoothing,
      processes: nil, device: device)
  }

  init(
    _ model: any ImageToTextModel, _ optimizer: AdamW, precision: TrainingPrecision = .float32,
    clipNorm: Double?,
    labelSmoothing: Double = 0, processes: DataParallel?, device: Device
  ) {
    self.model = model
    self.optimizer = optimizer
    self.precision = precision.computed(on: device)
    self.clipNorm = clipNorm
    self.labelSmoothing = labelSmoothing
    self.processes = processes
    self.device = device
    learned = model.parameters.trainable.filter(\.value.requiresGrad)
  }

  /// - Parameters:
  ///   - batches: whose mean loss, each token alike, the step lowers
  ///   - learningRate: of the optimizer
  /// - Returns: the loss and, with `clipNorm`, the norm of the gradients before clipping; when one is not finite, as without
  ///   any target, nothing was changed
  public func callAsFunction(_ batches: [Batch], learningRate: Double) throws -> (
    loss: Double, gradientNorm: Double?
  ) {
    guard !batches.isEmpty else { throw TrainingError("a training step needs at least one batch") }
    return try self(
      batches, targetCount: batches.reduce(0) { $0 + $1.targetCount }, learningRate: learningRate)
  }

  /// - Parameters:
  ///   - batches: of this process, none where it has nothing to learn from
  ///   - targetCount: of all processes' batches
  func callAsFunction(_ batches: [Batch], targetCount: Int, learningRate: Double) throws -> (
    loss: Double, gradientNorm: Double?
  ) {
    guard targetCount > 0 else { return (.nan, nil) }
    model.isTraining = true
    defer { model.isTraining = false }
    for parameter in learned { try parameter.value.setGrad(nil) }
    var sum = 0.0
    let batches = batches.filter { $0.targetCount > 0 }
    for (index, batch) in batches.enumerated() {
      processes?.sendsGradients = index == batches.count - 1
      let share = Double(batch.targetCount) / Double(targetCount)
      let loss = try self.loss(batch, labelSmoothing: labelSmoothing)
      try (share == 1 ? loss : loss * share).backward()
      sum += Double(try loss.item(Float.self)) * share
    }
    if let processes {
      try processes.finishGradients()
      sum = try processes.sum([sum])[0]
    }
    let norm = try clipNorm.map { _ in try gradNorm(learned) }
    if sum.isFinite && norm ?? 0 < .infinity {
      // The optimizer clips as it reads the gradients, which saves a pass over them.
      let scale = clipNorm.map { clipScale(norm: norm ?? 0, maxNorm: $0) } ?? 1
      try optimizer.step(learningRate: learningRate, gradientScale: scale)
      try processes?.shareParameters()
    }
    return (sum, norm)
  }

  /// The mean cross-entropy of a batch's targets.
  public func loss(_ batch: Batch) throws -> Tensor { try loss(batch, labelSmoothing: 0) }

  private func loss(_ batch: Batch, labelSmoothing: Double) throws -> Tensor {
    try withAutocast(precision == .bfloat16 ? .bfloat16 : nil, on: device) {
      try Self.loss(model, batch, labelSmoothing: labelSmoothing, device: device)
    }
  }

  static func loss(_ model: any ImageToTextModel, _ batch: Batch, labelSmoothing: Double = 0, device: Device)
    throws
    -> Tensor
  {
    // Padding comes after all that counts, so causal attention never sees it, unless positions depend on the length.
    let mask = model.decoder.hasExactCache ? nil : batch.mask
    return try model.loss(
      img: batch.images.to(device: device), text: batch.text.to(device: device),
      mask: mask?.to(device: device), targets: batch.targets.to(device: device),
      labelSmoothing: labelSmoothing)
  }
}

import Foundation

/// A linear rise to `peak` over `warmupSteps`, then a fall to `minimum` at `steps`.
public struct LearningRateSchedule: Sendable {
  /// How the learning rate falls.
  public enum Shape: String, Codable, Sendable, CaseIterable {
    /// Half a cosine (Loshchilov & Hutter, 2017).
    case cosine
    /// A straight line.
    case linear
    /// No fall.
    case constant
  }

  let shape: Shape
  let peak: Double
  let minimum: Double
  let warmupSteps: Int
  let steps: Int

  /// - Parameter step: counted from 0
  func callAsFunction(_ step: Int) -> Double {
    if step < warmupSteps { return peak * Double(step + 1) / Double(warmupSteps) }
    let progress = min(1, Double(step - warmupSteps) / Double(max(1, steps - warmupSteps)))
    return switch shape {
    case .cosine: minimum + (peak - minimum) * (1 + cos(.pi * progress)) / 2
    case .linear: peak + (minimum - peak) * progress
    case .constant: peak
    }
  }
}

extension LearningRateSchedule {
  /// - Throws: `TrainingError` for settings that make no step.
  init(_ settings: TrainingConfiguration.Training, batchesPerEpoch: Int) throws {
    self.init(
      shape: settings.schedule, peak: settings.learningRate, minimum: settings.minLearningRate,
      warmupSteps: settings.warmupSteps,
      steps: settings.epochs * batchesPerEpoch / settings.gradientAccumulationSteps)
    guard steps > 0 else {
      throw TrainingError(
        "\(settings.epochs) epochs of \(batchesPerEpoch) batches make no step of gradient_accumulation_steps "
          + "\(settings.gradientAccumulationSteps): lower it or train for more epochs")
    }
  }
}

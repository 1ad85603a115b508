import Foundation

/// A linear rise to `peak` over `warmupSteps`, then half a cosine down to `minimum` at `steps`
/// (Loshchilov & Hutter, 2017).
struct LearningRateSchedule: Sendable {
  let peak: Double
  let minimum: Double
  let warmupSteps: Int
  let steps: Int

  /// - Parameter step: counted from 0
  func callAsFunction(_ step: Int) -> Double {
    if step < warmupSteps { return peak * Double(step + 1) / Double(warmupSteps) }
    let progress = min(1, Double(step - warmupSteps) / Double(max(1, steps - warmupSteps)))
    return minimum + (peak - minimum) * (1 + cos(.pi * progress)) / 2
  }
}

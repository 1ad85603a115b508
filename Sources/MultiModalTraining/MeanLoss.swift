import Torch

/// The mean cross-entropy per token over batches: one counts as many times as it has targets.
struct MeanLoss {
  private(set) var sum = 0.0
  private(set) var tokens = 0.0

  init() {}

  init(sum: Double, tokens: Double) { (self.sum, self.tokens) = (sum, tokens) }

  /// - Parameter mean: of the batch's targets
  init(of batch: Batch, _ mean: (Batch) throws -> Tensor) throws {
    tokens = Double(batch.targetCount)
    sum = try withoutGradients { Double(try mean(batch).item(Float.self)) } * tokens
  }

  var value: Double { sum / tokens }

  static func += (whole: inout Self, part: Self) {
    whole.sum += part.sum
    whole.tokens += part.tokens
  }
}

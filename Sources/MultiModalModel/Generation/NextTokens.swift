import Torch

private let logSumExp = Operator("gpt4mm::log_sum_exp")

/// What the model says about the next token of each row of a batch, computed once for all rows.
final class NextTokens {
  /// float32 [rows, vocabulary]
  let logits: Tensor
  /// The logarithm of each row's sum of exponentials, [rows].
  let logSums: [Float]
  private let likeliest: (ids: [Int], logits: [Float])

  init(_ logits: Tensor) throws {
    self.logits = try logits.to(dtype: .float32)
    let sums, maxima, places: Tensor
    if self.logits.device == .cpu {
      let all = try logSumExp.call([.tensor(self.logits)], capacity: 3)
      (sums, maxima, places) = (all[0], all[1], all[2])
    } else {
      sums = try self.logits.logSumExp([1])
      (maxima, places) = try self.logits.max(1)
    }
    logSums = try sums.array(of: Float.self)
    likeliest = (try places.array(of: Int.self), try maxima.array(of: Float.self))
  }

  /// - Throws: `ModelError` for rows with logits that are not finite
  func check(_ rows: Range<Int>) throws {
    guard logSums[rows].allSatisfy(\.isFinite) else {
      throw ModelError(
        "the model's logits are not finite: its weights are damaged, or too large for their dtype")
    }
  }

  /// A row's likeliest token, the first of equal ones, and its logit.
  func likeliest(_ row: Int) -> (id: Int, logit: Float) {
    (likeliest.ids[row], likeliest.logits[row])
  }

  /// A row's likeliest tokens, the likeliest first.
  func likeliest(_ row: Int, _ count: Int) throws -> [TokenLogProbability] {
    guard count > 0 else { return [] }
    let (values, indices) = try logits.select(0, row).topK(count)
    return try zip(indices.array(of: Int.self), values.array(of: Float.self)).map {
      TokenLogProbability(id: $0, logProbability: Double($1 - logSums[row]))
    }
  }

  /// A row's logits, [vocabulary].
  func values(_ row: Int) throws -> [Float] { try logits.select(0, row).array(of: Float.self) }
}

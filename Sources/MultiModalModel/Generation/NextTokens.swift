import Torch

private let logSumExp = Operator("gpt4mm::log_sum_exp")

/// What the model says about the next token of each row of a batch. Everything is computed once for all rows, when the first
/// one asks.
final class NextTokens {
  /// float32 [rows, vocabulary]
  let logits: Tensor
  /// The logarithm of each row's sum of exponentials, [rows].
  let logSums: [Float]
  private lazy var likeliest = Result { () throws -> (ids: [Int], logits: [Float]) in
    let (values, indices) = try logits.max(1)
    return (try indices.array(of: Int.self), try values.array(of: Float.self))
  }

  init(_ logits: Tensor) throws {
    self.logits = try logits.to(dtype: .float32)
    let sums = try self.logits.device == .cpu ? logSumExp(.tensor(self.logits)) : self.logits.logSumExp([1])
    logSums = try sums.array(of: Float.self)
  }

  /// - Throws: `ModelError` for rows with logits that are not finite
  func check(_ rows: Range<Int>) throws {
    guard logSums[rows].allSatisfy(\.isFinite) else {
      throw ModelError(
        "the model's logits are not finite: its weights are damaged, or too large for their dtype")
    }
  }

  /// A row's likeliest token, the first of equal ones, and its logit.
  func likeliest(_ row: Int) throws -> (id: Int, logit: Float) {
    let all = try likeliest.get()
    return (all.ids[row], all.logits[row])
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

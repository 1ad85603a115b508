import Torch

private let logSumExp = Operator("gpt4mm::log_sum_exp")

/// A batch of texts that grow token by token: the one place that feeds the decoder, cached or not.
final class DecodingSession {
  private let model: GPT4MultiModal
  private var context: Tensor  // [rows, patches, dim]
  private(set) var texts: [[Int]]
  /// The picture that each row's context is of.
  private var pictures: [Int]
  /// How many rows each row becomes once what they share has been computed.
  private var copies: Int
  private let overflow: GenerationOptions.Overflow
  private var cache: DecoderCache?
  /// How many of each row's last tokens the cache does not hold yet.
  private var pending = 0

  /// - Parameters:
  ///   - context: what `encode` gave, one row per text
  ///   - texts: with at least one token each, of any lengths
  ///   - copies: how many texts go on from each of these
  init(
    _ model: GPT4MultiModal, context: Tensor, texts: [[Int]], copies: Int = 1,
    overflow: GenerationOptions.Overflow
  ) {
    self.model = model
    self.context = context
    self.texts = texts
    self.copies = copies
    self.overflow = overflow
    pictures = Array(texts.indices)
  }

  /// Logits over each row's next token, [rows, vocabulary] in float32, and the logarithm of each row's sum of their
  /// exponentials, [rows].
  func logits() throws -> (logits: Tensor, logSums: Tensor) {
    let (logits, logSums) = try nextLogits()
    guard copies > 1 else { return (logits, logSums) }
    let count = copies
    copies = 1
    try reorder(texts.indices.flatMap { Array(repeating: $0, count: count) })
    return (try logits.repeatInterleave(count, dim: 0), try logSums.repeatInterleave(count, dim: 0))
  }

  private func nextLogits() throws -> (logits: Tensor, logSums: Tensor) {
    try withoutGradients {
      if texts.contains(where: { $0.count > model.configuration.maxSeqLen }) { try makeRoom() }
      let logits: Tensor
      if let cache, pending > 0 {
        logits = try model.decoder.lastLogits(step(), context: nil, mask: nil, cache: cache)
      } else {
        if model.configuration.hasExactCache { cache = DecoderCache(capacity: capacity) }
        let (text, mask) = try whole()
        logits = try model.decoder.lastLogits(text, context: context, mask: mask, cache: cache)
      }
      pending = 0
      let wide = try logits.to(dtype: .float32)
      let logSums = try wide.device == .cpu ? logSumExp(.tensor(wide)) : wide.logSumExp([1])
      guard try logSums.array(of: Float.self).allSatisfy(\.isFinite) else {
        throw ModelError(
          "the model's logits are not finite: its weights are damaged, or too large for their dtype")
      }
      return (wide, logSums)
    }
  }

  /// Adds one token to each row.
  func append(_ tokens: [Int]) {
    for (row, token) in tokens.enumerated() { texts[row].append(token) }
    pending += 1
  }

  /// Keeps these rows, in this order, some more than once.
  func reorder(_ rows: [Int]) throws {
    guard rows != Array(texts.indices) else { return }
    let indices = try Tensor(rows).to(device: context.device)
    texts = rows.map { texts[$0] }
    let newPictures = rows.map { pictures[$0] }
    let keepsContexts = newPictures == pictures
    pictures = newPictures
    if let cache { try cache.reorder(indices, keepsContexts: keepsContexts) }
    if !keepsContexts { context = try context.indexSelect(0, indices) }
  }

  private var capacity: Int {
    model.configuration.maxSeqLen + (model.configuration.crossAttend ? 0 : context.shape[1])
  }

  private func step() throws -> Tensor {
    try Tensor(texts.flatMap { $0.suffix(pending) }, shape: [texts.count, pending]).to(device: context.device)
  }

  /// All texts, padded on the left.
  private func whole() throws -> (text: Tensor, mask: Tensor?) {
    let length = texts.map(\.count).max() ?? 0
    let padded = texts.flatMap { Array(repeating: 0, count: length - $0.count) + $0 }
    let text = try Tensor(padded, shape: [texts.count, length]).to(device: context.device)
    guard texts.contains(where: { $0.count < length }) else { return (text, nil) }
    let real = texts.flatMap { text in (0..<length).map { $0 >= length - text.count } }
    return (text, try Tensor(real, shape: [texts.count, length]).to(device: context.device))
  }

  /// Drops the older half of texts that no longer fit, but for their first token.
  private func makeRoom() throws {
    guard overflow == .slidingWindow else {
      throw ModelError(
        "the text has reached max_seq_len \(model.configuration.maxSeqLen): ask for fewer tokens")
    }
    texts = texts.map { text in
      text.count > model.configuration.maxSeqLen
        ? text.prefix(1) + text.suffix(model.configuration.maxSeqLen / 2) : text
    }
    cache = nil
  }
}

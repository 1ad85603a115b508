#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

// Rules that change the logits of one row before a token is chosen. Each is a function of transformers'
// src/transformers/generation/logits_process.py, named beside it, or of OpenAI's API reference.
extension GenerationOptions {
  /// Whether `process` may change anything.
  var changesLogits: Bool {
    !logitBias.isEmpty || repetitionPenalty != 1 || presencePenalty != 0 || frequencyPenalty != 0
      || noRepeatNGramSize > 0 || (max(minNewTokens, minLength) > 0 && !stopTokens.isEmpty)
      || !suppressTokens.isEmpty || !beginSuppressTokens.isEmpty || forcedBOSToken != nil
      || forcedEOSToken != nil
  }

  /// What makes the choice of tokens depend on those before it; applied with and without sampling.
  /// - Parameters:
  ///   - logits: one row, [vocabulary]; in beam search log-probabilities
  ///   - tokens: the row's text so far
  ///   - promptLength: how many of them were given
  ///   - limit: new tokens after which the text ends
  func process(
    _ logits: inout [Float], tokens: some BidirectionalCollection<Int>, promptLength: Int, limit: Int
  ) {
    for (token, bias) in logitBias { logits[token] += Float(bias) }
    if repetitionPenalty != 1 { penalizeRepetition(&logits, Set(tokens)) }
    if presencePenalty != 0 || frequencyPenalty != 0 {
      penalizePresence(&logits, tokens.dropFirst(promptLength))
    }
    if noRepeatNGramSize > 0 { forbidRepeatedNGrams(&logits, Array(tokens)) }
    let new = tokens.count - promptLength
    if new < minNewTokens || tokens.count < minLength { forbid(stopTokens, &logits) }
    if let forcedBOSToken, tokens.count == 1 { force(forcedBOSToken, &logits) }
    if let forcedEOSToken, new == limit - 1 { force(forcedEOSToken, &logits) }
    forbid(suppressTokens, &logits)
    if new == (promptLength == 1 && forcedBOSToken != nil ? 1 : 0) { forbid(beginSuppressTokens, &logits) }
  }

  private func forbid(_ tokens: [Int], _ logits: inout [Float]) {
    for token in tokens { logits[token] = -.infinity }
  }

  /// `ForcedBOSTokenLogitsProcessor`, `ForcedEOSTokenLogitsProcessor`
  private func force(_ token: Int, _ logits: inout [Float]) {
    for index in logits.indices { logits[index] = -.infinity }
    logits[token] = 0
  }

  /// What shapes the distribution that a token is drawn from.
  func warp(_ logits: inout [Float]) {
    if temperature != 1 { for index in logits.indices { logits[index] /= Float(temperature) } }
    if let topK { keepTopK(&logits, topK) }
    if topP < 1 { keepTopP(&logits) }
    if minP > 0 { keepMinP(&logits) }
  }

  /// `RepetitionPenaltyLogitsProcessor`
  private func penalizeRepetition(_ logits: inout [Float], _ tokens: Set<Int>) {
    let penalty = Float(repetitionPenalty)
    for token in tokens {
      logits[token] = logits[token] < 0 ? logits[token] * penalty : logits[token] / penalty
    }
  }

  /// `logit - count · frequency_penalty - (count > 0) · presence_penalty`, over generated tokens.
  private func penalizePresence(_ logits: inout [Float], _ generated: some Sequence<Int>) {
    var counts: [Int: Int] = [:]
    for token in generated { counts[token, default: 0] += 1 }
    for (token, count) in counts {
      logits[token] -= Float(Double(count) * frequencyPenalty + presencePenalty)
    }
  }

  /// `NoRepeatNGramLogitsProcessor`
  private func forbidRepeatedNGrams(_ logits: inout [Float], _ tokens: [Int]) {
    let size = noRepeatNGramSize
    guard tokens.count >= size else { return }
    let ending = tokens.suffix(size - 1)
    for start in 0...(tokens.count - size) where tokens[start..<start + size - 1].elementsEqual(ending) {
      logits[tokens[start + size - 1]] = -.infinity
    }
  }

  /// `TopKLogitsWarper`: tokens as likely as the k-th stay too.
  private func keepTopK(_ logits: inout [Float], _ k: Int) {
    guard k < logits.count else { return }
    let least = logits.sorted(by: >)[k - 1]
    for index in logits.indices where logits[index] < least { logits[index] = -.infinity }
  }

  /// `TopPLogitsWarper`: the least likely tokens that together have at most 1 - top_p are removed.
  private func keepTopP(_ logits: inout [Float]) {
    let probabilities = softmax(logits)
    let ascending = logits.indices.sorted { (logits[$0], $0) < (logits[$1], $1) }
    var sum: Float = 0
    for index in ascending.dropLast() {
      sum += probabilities[index]
      if sum <= Float(1 - topP) { logits[index] = -.infinity }
    }
  }

  /// `MinPLogitsWarper`
  private func keepMinP(_ logits: inout [Float]) {
    let probabilities = softmax(logits)
    let least = Float(minP) * (probabilities.max() ?? 0)
    for index in logits.indices where probabilities[index] < least { logits[index] = -.infinity }
  }
}

/// `exp(x - max) / Σ exp(x - max)`
func softmax(_ logits: [Float]) -> [Float] {
  let largest = logits.max() ?? 0
  let powers = logits.map { expf($0 - largest) }
  let sum = powers.reduce(0, +)
  return powers.map { $0 / sum }
}

import Testing

@testable import MultiModalModel

@Suite struct LogitsRulesTests {
  private func processed(
    _ logits: [Float], _ tokens: [Int], prompt: Int = 0, _ change: (inout GenerationOptions) -> Void
  )
    -> [Float]
  {
    var options = GenerationOptions()
    change(&options)
    var logits = logits
    options.process(&logits, tokens: tokens, promptLength: prompt, limit: .max)
    return logits
  }

  private func warped(_ logits: [Float], _ change: (inout GenerationOptions) -> Void) -> [Float] {
    var options = GenerationOptions()
    options.temperature = 1
    change(&options)
    var logits = logits
    options.warp(&logits)
    return logits
  }

  private let none = -Float.infinity

  @Test func repetitionPenaltyDividesPositiveAndMultipliesNegativeLogits() {
    #expect(processed([2, -2, 1], [0, 1, 0]) { $0.repetitionPenalty = 2 } == [1, -4, 1])
  }

  @Test func presenceCountsOnceAndFrequencyEachTimeOverGeneratedTokens() {
    #expect(
      processed([1, 1, 1], [2, 0, 0, 1], prompt: 1) {
        $0.presencePenalty = 0.5
        $0.frequencyPenalty = 0.25
      } == [0, 0.25, 1])
  }

  @Test func noNGramOccursTwice() {
    #expect(processed([0, 0, 0, 0], [1, 2, 3, 1, 2]) { $0.noRepeatNGramSize = 3 } == [0, 0, 0, none])
    #expect(processed([0, 0, 0, 0], [1, 2, 1]) { $0.noRepeatNGramSize = 2 } == [0, 0, none, 0])
    #expect(processed([0, 0, 0, 0], [1, 2]) { $0.noRepeatNGramSize = 1 } == [0, none, none, 0])
    #expect(processed([0, 0, 0, 0], [1]) { $0.noRepeatNGramSize = 3 } == [0, 0, 0, 0])
  }

  @Test func stopTokensWaitForTheMinimum() {
    let change = { (options: inout GenerationOptions) in
      options.stopTokens = [1]
      options.minNewTokens = 2
    }
    #expect(processed([0, 0], [0, 0], prompt: 1, change) == [0, none])
    #expect(processed([0, 0], [0, 0, 0], prompt: 1, change) == [0, 0])
  }

  @Test func biasIsAdded() {
    #expect(processed([1, 1], []) { $0.logitBias = [1: -3] } == [1, -2])
  }

  @Test func temperatureDivides() {
    #expect(warped([1, 2]) { $0.temperature = 0.5 } == [2, 4])
  }

  @Test func topKKeepsTiesWithTheKth() {
    #expect(warped([3, 1, 2, 2]) { $0.topK = 2 } == [3, none, 2, 2])
    #expect(warped([3, 1]) { $0.topK = 5 } == [3, 1])
  }

  @Test func topPKeepsTheLikeliestThatReachIt() {
    // Probabilities 0.1, 0.2, 0.7.
    let logs: [Float] = [-2.302585, -1.609438, -0.356675]
    #expect(warped(logs) { $0.topP = 0.65 } == [none, none, logs[2]])
    #expect(warped(logs) { $0.topP = 0.85 } == [none, logs[1], logs[2]])
    #expect(warped(logs) { $0.topP = 0.01 } == [none, none, logs[2]])
  }

  @Test func minPKeepsAShareOfTheLikeliest() {
    let logs: [Float] = [-2.302585, -1.609438, -0.356675]
    #expect(warped(logs) { $0.minP = 0.2 } == [none, logs[1], logs[2]])
    #expect(warped(logs) { $0.minP = 1 } == [none, none, logs[2]])
  }

  @Test func softmaxSumsToOne() {
    #expect(abs(softmax([1, 2, 3]).reduce(0, +) - 1) < 1e-6)
    #expect(softmax([1000, 0]) == [1, 0])
  }
}

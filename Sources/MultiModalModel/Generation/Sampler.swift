import Torch

/// Takes or draws the next token of one text. What it gives depends on the text, its options and its seed alone.
struct Sampler {
  let options: GenerationOptions
  /// How many tokens of the text were given.
  let promptLength: Int
  /// New tokens after which the text ends.
  let limit: Int
  private let generator: Generator

  /// - Parameter draw: which of the texts for the same picture and options
  init(_ options: GenerationOptions, promptLength: Int, limit: Int, draw: Int) throws {
    self.options = options
    self.promptLength = promptLength
    self.limit = limit
    // Draws differ as far as different seeds do; the first is that of the seed itself.
    generator = try Generator(
      seed: draw == 0 ? options.seed : SplitMix64(seed: options.seed, place: draw).state)
  }

  /// - Parameter text: all tokens so far
  /// - Returns: the token, the model's log-probability of it before any rule, and the likeliest as far as they are asked for
  func next(_ row: Int, of next: NextTokens, text: [Int]) throws -> (
    id: Int, logProbability: Double, likeliest: [TokenLogProbability]
  ) {
    guard options.changesLogits || options.temperature > 0 || options.topLogProbs > 0 else {
      let (id, logit) = next.likeliest(row)
      return (id, Double(logit - next.logSums[row]), [])
    }
    let logits = try next.values(row)
    var scores = logits
    options.process(&scores, tokens: text, promptLength: promptLength, limit: limit)
    let id: Int
    // Rules may leave no token, such as one that is forced and suppressed; then the first is taken, as greedily.
    if options.temperature > 0, scores.contains(where: { $0 > -.infinity }) {
      options.warp(&scores)
      id = try Tensor(softmax(scores)).multinomial(1, generator: generator).item(Int.self)
    } else {
      id = scores.indices.max { (scores[$0], -$0) < (scores[$1], -$1) } ?? 0
    }
    return (id, Double(logits[id] - next.logSums[row]), try next.likeliest(row, options.topLogProbs))
  }
}

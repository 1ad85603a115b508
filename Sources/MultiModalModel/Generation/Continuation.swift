/// How the texts of one picture go on: what they are asked for, as far as it outlives a step.
protocol Continuation {
  /// Takes what the model says about the next token of each running text.
  /// - Parameters:
  ///   - rows: of `next`, one per running text; at first there is one text, the prompt
  ///   - texts: all tokens of each
  mutating func advance(_ next: NextTokens, rows: Range<Int>, texts: [[Int]]) throws -> Advance
}

/// What a continuation decides.
struct Advance {
  /// The texts that run now: which of the running ones each continues, and with which token. Without any, all is done.
  var rows: [(parent: Int, token: Int)] = []
  /// The tokens of texts that are known to go on with them.
  var tokens: [DecodingBatch.Token] = []
  /// When all is done, what was asked for.
  var finished: Result<[DecodingBatch.Text], any Error>?
}

/// Texts that each take or draw one token at a time.
struct Sampling: Continuation {
  private struct Draw {
    let sampler: Sampler
    var text = GeneratedText()
    var condition: (any StopCondition)?
    var isRunning = true
  }

  private let limit: Int
  private var draws: [Draw]

  /// - Parameters:
  ///   - limit: new tokens after which a text ends
  ///   - condition: ends a text after a token, as a stop token does
  init(_ options: GenerationOptions, promptLength: Int, limit: Int, condition: (any StopCondition)?) throws {
    self.limit = limit
    draws = try (0..<options.numReturnSequences).map {
      Draw(
        sampler: try Sampler(options, promptLength: promptLength, limit: limit, draw: $0),
        condition: condition)
    }
  }

  mutating func advance(_ next: NextTokens, rows: Range<Int>, texts: [[Int]]) throws -> Advance {
    var advance = Advance()
    for (place, index) in draws.indices.filter({ draws[$0].isRunning }).enumerated() {
      let parent = min(place, rows.count - 1)
      let (id, logProbability, likeliest) = try draws[index].sampler.next(
        rows.lowerBound + parent, of: next, text: texts[parent])
      draws[index].text.tokens.append(id)
      draws[index].text.logProbabilities.append(logProbability)
      let isStopToken = draws[index].sampler.options.stopTokens.contains(id)
      let ends = try draws[index].condition?.append(id) ?? false
      let finish: GeneratedText.FinishReason? =
        isStopToken || ends ? .stop : draws[index].text.tokens.count == limit ? .length : nil
      if let finish {
        draws[index].text.finish = finish
        draws[index].isRunning = false
      } else {
        advance.rows.append((parent, id))
      }
      advance.tokens.append(
        .init(
          token: GeneratedToken(
            row: index, id: id, logProbability: logProbability, likeliest: likeliest, finish: finish),
          condition: draws[index].condition))
    }
    if advance.rows.isEmpty {
      advance.finished = .success(draws.map { .init(text: $0.text, condition: $0.condition) })
    }
    return advance
  }
}

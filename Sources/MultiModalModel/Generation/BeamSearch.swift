#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Beam search as transformers 5's `_beam_search` does it: the texts with the highest sum of log-probabilities /
/// length ^ lengthPenalty, where length counts new tokens, the stop token among them.
struct BeamSearch {
  /// A finished text.
  private struct Hypothesis {
    let tokens: [Int]
    let logProbabilities: [Double]
    let finish: GeneratedText.FinishReason
    let score: Double
  }

  /// The finished texts of one picture, at most as many as beams.
  private struct Finished {
    var hypotheses: [Hypothesis] = []
    var isDone = false

    mutating func add(_ hypothesis: Hypothesis, beams: Int) {
      guard hypotheses.count < beams || hypothesis.score > worst else { return }
      hypotheses.append(hypothesis)
      if hypotheses.count > beams,
        let index = hypotheses.indices.min(by: { hypotheses[$0].score < hypotheses[$1].score })
      {
        hypotheses.remove(at: index)
      }
    }

    var worst: Double { hypotheses.map(\.score).min() ?? -.infinity }
  }

  let options: GenerationOptions
  /// New tokens after which every text ends.
  let limit: Int

  /// - Parameters:
  ///   - prompts: one per picture
  ///   - logits: of all running texts, row by row; there are `numBeams` for each prompt
  ///   - advance: keeps these rows in this order, and adds these tokens to them
  ///   - shouldStop: ends a picture's text after these new tokens, as a stop token does
  /// - Returns: for each prompt its best texts, best first
  func callAsFunction(
    prompts: [[Int]], logits: () throws -> [[Float]],
    advance: (_ rows: [Int], _ tokens: [Int]) throws -> Void,
    shouldStop: (_ picture: Int, _ tokens: [Int]) throws -> Bool = { _, _ in false }
  ) throws -> [[GeneratedText]] {
    let beams = options.numBeams
    var texts = prompts.flatMap { Array(repeating: $0, count: beams) }
    var traces = Array(repeating: [Double](), count: texts.count)
    // All beams of a picture begin equal, so only the first may go on from the start.
    var sums = texts.indices.map { $0 % beams == 0 ? Float(0) : -1e9 }
    var finished = Array(repeating: Finished(), count: prompts.count)

    for step in 1...limit {
      try Task.checkCancellation()
      let rows = try logits()
      var nextRows: [Int] = []
      var nextTokens: [Int] = []
      var nextSums: [Float] = []
      var nextTraces: [[Double]] = []
      for (picture, prompt) in prompts.enumerated() {
        let own = picture * beams..<(picture + 1) * beams
        guard !finished[picture].isDone else {
          nextRows += own
          nextTokens += Array(repeating: 0, count: beams)
          nextSums += Array(repeating: 0, count: beams)
          nextTraces += traces[own]
          continue
        }
        let candidates = best(rows, own, texts: texts, sums: sums, promptLength: prompt.count)
        var kept = 0
        for (rank, candidate) in candidates.enumerated() {
          let trace = traces[candidate.row] + [candidate.logProbability]
          let tokens = texts[candidate.row].dropFirst(prompt.count) + [candidate.token]
          let stops = try options.stopTokens.contains(candidate.token) || shouldStop(picture, Array(tokens))
          if stops || step == limit {
            guard rank < beams else { continue }
            finished[picture].add(
              hypothesis(Array(tokens), trace, stops ? .stop : .length, sum: candidate.sum), beams: beams)
          } else {
            nextRows.append(candidate.row)
            nextTokens.append(candidate.token)
            nextSums.append(candidate.sum)
            nextTraces.append(trace)
            kept += 1
            if kept == beams { break }
          }
        }
        let bestRunning = kept > 0 ? nextSums[nextSums.count - kept] : -.infinity
        // Where too many candidates end, rows that cannot win fill the batch.
        for _ in kept..<beams {
          nextRows.append(own.lowerBound)
          nextTokens.append(0)
          nextSums.append(-.infinity)
          nextTraces.append([])
        }
        finished[picture].isDone =
          kept == 0 || isDone(finished[picture], best: bestRunning, length: step)
      }
      texts = zip(nextRows, nextTokens).map { texts[$0] + [$1] }
      sums = nextSums
      traces = nextTraces
      if finished.allSatisfy(\.isDone) || step == limit { break }
      try advance(nextRows, nextTokens)
    }

    return prompts.indices.map { picture in
      finished[picture].hypotheses.sorted { $0.score > $1.score }.prefix(options.numReturnSequences)
        .map {
          GeneratedText(
            tokens: $0.tokens, logProbabilities: $0.logProbabilities, finish: $0.finish, score: $0.score)
        }
    }
  }

  private func hypothesis(
    _ tokens: [Int], _ trace: [Double], _ finish: GeneratedText.FinishReason, sum: Float
  )
    -> Hypothesis
  {
    Hypothesis(
      tokens: tokens, logProbabilities: trace, finish: finish, score: score(sum, length: tokens.count))
  }

  private func score(_ sum: Float, length: Int) -> Double {
    Double(sum) / pow(Double(length), options.lengthPenalty)
  }

  /// The likeliest continuations of one picture's texts: enough that stop tokens leave as many as beams.
  private func best(_ rows: [[Float]], _ own: Range<Int>, texts: [[Int]], sums: [Float], promptLength: Int)
    -> [(
      row: Int, token: Int, sum: Float, logProbability: Double
    )]
  {
    let count = max(2, 1 + options.stopTokens.count) * options.numBeams
    var candidates: [(row: Int, token: Int, sum: Float, logProbability: Double)] = []
    for row in own where sums[row] > -.infinity {
      let logProbabilities = logSoftmax(rows[row])
      var scores = logProbabilities
      options.process(&scores, tokens: texts[row], promptLength: promptLength)
      let likeliest = scores.indices.sorted { (scores[$0], -$0) > (scores[$1], -$1) }.prefix(count)
      candidates += likeliest.map { (row, $0, scores[$0] + sums[row], Double(logProbabilities[$0])) }
    }
    return Array(
      candidates.sorted { ($0.sum, -$0.row, -$0.token) > ($1.sum, -$1.row, -$1.token) }.prefix(count))
  }

  private func isDone(_ finished: Finished, best: Float, length: Int) -> Bool {
    guard finished.hypotheses.count >= options.numBeams else { return false }
    switch options.earlyStopping {
    case .always: return true
    case .heuristic: return finished.worst >= score(best, length: length)
    case .never:
      return finished.worst >= score(best, length: options.lengthPenalty > 0 ? limit : length)
    }
  }
}

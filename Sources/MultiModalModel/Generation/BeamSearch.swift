import Torch

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Beam search as transformers 5's `_beam_search` does it: the texts with the highest sum of log-probabilities /
/// length ^ lengthPenalty, where length counts new tokens, the stop token among them.
struct BeamSearch: Continuation {
  /// A running text.
  private struct Beam {
    /// Which of the batch's texts it is.
    var row: Int
    var sum: Float
    var logProbabilities: [Double] = []
    var condition: (any StopCondition)?
  }

  /// A finished text.
  private struct Hypothesis {
    let text: DecodingBatch.Text
    let score: Double
  }

  private struct Candidate {
    let beam: Int
    let token: Int
    let sum: Float
    let logProbability: Double
  }

  private let options: GenerationOptions
  private let promptLength: Int
  /// New tokens after which every text ends.
  private let limit: Int
  private var beams: [Beam]
  /// At most as many as beams.
  private var finished: [Hypothesis] = []
  private var length = 0

  /// - Parameter condition: ends a text after a token, as a stop token does
  init(_ options: GenerationOptions, promptLength: Int, limit: Int, condition: (any StopCondition)? = nil) {
    self.options = options
    self.promptLength = promptLength
    self.limit = limit
    // All begin equal, so only the first may go on from the start.
    beams = (0..<options.numBeams).map { Beam(row: 0, sum: $0 == 0 ? 0 : -1e9, condition: condition) }
  }

  mutating func advance(_ next: NextTokens, rows: Range<Int>, texts: [[Int]]) throws -> Advance {
    length += 1
    var advance = Advance()
    var running: [Beam] = []
    for (rank, candidate) in try best(next, rows: rows, texts: texts).enumerated() {
      var beam = beams[candidate.beam]
      beam.sum = candidate.sum
      beam.logProbabilities.append(candidate.logProbability)
      let ends = try beam.condition?.append(candidate.token) ?? false
      let stops = ends || options.stopTokens.contains(candidate.token)
      if stops || length == limit {
        if rank < options.numBeams {
          add(beam, texts[beam.row].dropFirst(promptLength) + [candidate.token], stops ? .stop : .length)
        }
        continue
      }
      advance.rows.append((beam.row, candidate.token))
      beam.row = running.count
      running.append(beam)
      if running.count == options.numBeams { break }
    }
    beams = running
    if isDone {
      advance.rows = []
      let best = finished.sorted { $0.score > $1.score }.prefix(options.numReturnSequences)
      advance.finished = .success(best.map(\.text))
    }
    return advance
  }

  private mutating func add(_ beam: Beam, _ tokens: [Int], _ finish: GeneratedText.FinishReason) {
    let score = score(beam.sum, length: tokens.count)
    guard finished.count < options.numBeams || score > worst else { return }
    let text = GeneratedText(
      tokens: tokens, logProbabilities: beam.logProbabilities, finish: finish, score: score)
    finished.append(Hypothesis(text: .init(text: text, condition: beam.condition), score: score))
    if finished.count > options.numBeams,
      let index = finished.indices.min(by: { finished[$0].score < finished[$1].score })
    {
      finished.remove(at: index)
    }
  }

  private var worst: Double { finished.map(\.score).min() ?? -.infinity }

  private func score(_ sum: Float, length: Int) -> Double {
    Double(sum) / pow(Double(length), options.lengthPenalty)
  }

  /// The likeliest continuations: enough that stop tokens leave as many as beams.
  private func best(_ next: NextTokens, rows: Range<Int>, texts: [[Int]]) throws -> [Candidate] {
    let vocabulary = next.logits.shape[1]
    let count = max(2, 1 + options.stopTokens.count) * options.numBeams
    let logits = try next.logits.narrow(0, start: rows.lowerBound, length: rows.count)
    let sums = try Tensor(Array(next.logSums[rows]), shape: [rows.count, 1]).to(device: logits.device)
    var scores = try logits - sums
    var logProbabilities: [Float]?
    if options.changesLogits {
      let flat = try scores.array(of: Float.self)
      logProbabilities = flat
      let changed = texts.indices.flatMap { row in
        var scores = Array(flat[row * vocabulary..<(row + 1) * vocabulary])
        options.process(&scores, tokens: texts[row], promptLength: promptLength, limit: limit)
        return scores
      }
      scores = try Tensor(changed, shape: [rows.count, vocabulary])
    }
    let most = min(count, vocabulary)
    let (values, indices) = try scores.topK(most)
    let likeliest = try (scores: values.array(of: Float.self), tokens: indices.array(of: Int.self))
    let candidates = beams.enumerated().flatMap { index, beam in
      (beam.row * most..<(beam.row + 1) * most).map { place in
        let token = likeliest.tokens[place]
        let logProbability = logProbabilities?[beam.row * vocabulary + token] ?? likeliest.scores[place]
        return Candidate(
          beam: index, token: token, sum: likeliest.scores[place] + beam.sum,
          logProbability: Double(logProbability))
      }
    }
    return Array(
      candidates.sorted { ($0.sum, -$0.beam, -$0.token) > ($1.sum, -$1.beam, -$1.token) }.prefix(count))
  }

  private var isDone: Bool {
    guard let best = beams.first?.sum, length < limit else { return true }
    guard finished.count >= options.numBeams else { return false }
    switch options.earlyStopping {
    case .always: return true
    case .heuristic: return worst >= score(best, length: length)
    case .never: return worst >= score(best, length: options.lengthPenalty > 0 ? limit : length)
    }
  }
}

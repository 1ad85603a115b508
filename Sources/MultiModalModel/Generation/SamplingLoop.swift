import Torch

/// One token more of one text.
public struct GeneratedToken: Sendable, Equatable {
  /// Which text: picture · numReturnSequences + draw.
  public let row: Int
  public let id: Int
  /// The model's log-probability of this token, before any rule of `GenerationOptions`.
  public let logProbability: Double
  /// Why the text ends with this token; nil while it goes on.
  public internal(set) var finish: GeneratedText.FinishReason?
}

/// A generated text.
public struct GeneratedText: Sendable, Equatable {
  public enum FinishReason: String, Sendable, Codable {
    /// A stop token, which is the last one, or the caller's stop.
    case stop
    /// `maxNewTokens`, or the model's longest text.
    case length
  }

  /// New tokens, without the prompt.
  public internal(set) var tokens: [Int] = []
  /// One per token.
  public internal(set) var logProbabilities: [Double] = []
  public internal(set) var finish = FinishReason.length
  /// Of a beam search: the sum of log-probabilities / length ^ lengthPenalty.
  public internal(set) var score: Double?
}

/// Takes or draws one token at a time for each text of a batch.
final class SamplingLoop {
  private let session: DecodingSession
  private let options: GenerationOptions
  private let generator: Generator
  private let promptLengths: [Int]
  private let limit: Int
  private var isFinished: [Bool]
  private var histories: [[Int]]
  private var steps = 0

  init(_ model: GPT4MultiModal, img: Tensor, prompts: [[Int]], options: GenerationOptions) throws {
    let limit = try model.newTokenLimit(prompts, options)
    let copies = options.numReturnSequences
    session = DecodingSession(
      model, context: try withoutGradients { try model.encode(img) }, texts: prompts, copies: copies,
      overflow: options.overflow)
    let texts = prompts.flatMap { Array(repeating: $0, count: copies) }
    self.options = options
    self.limit = limit
    generator = try Generator(seed: options.seed)
    promptLengths = texts.map(\.count)
    isFinished = Array(repeating: false, count: texts.count)
    histories = texts
  }

  /// The next token of each unfinished text; nil when all are finished.
  func next() throws -> [GeneratedToken]? {
    guard isFinished.contains(false) else { return nil }
    let (logits, logSums) = try session.logits()
    let choices = try choose(logits)
    let logProbabilities = try (choices.logits - logSums).array(of: Float.self)
    steps += 1
    var tokens: [GeneratedToken] = []
    var appended = Array(repeating: 0, count: histories.count)
    for row in histories.indices where !isFinished[row] {
      let id = choices.ids[row]
      histories[row].append(id)
      appended[row] = id
      let finish: GeneratedText.FinishReason? =
        options.stopTokens.contains(id) ? .stop : steps == limit ? .length : nil
      isFinished[row] = finish != nil
      tokens.append(
        GeneratedToken(row: row, id: id, logProbability: Double(logProbabilities[row]), finish: finish))
    }
    session.append(appended)
    return tokens
  }

  /// Ends a text from outside, such as at a stop string.
  func stop(row: Int) { isFinished[row] = true }

  /// - Parameter logits: [rows, vocabulary]
  /// - Returns: each row's token, 0 where the text is finished, and the logits of the tokens, [rows]
  private func choose(_ logits: Tensor) throws -> (ids: [Int], logits: Tensor) {
    guard options.changesLogits || options.temperature > 0 else {
      let (values, indices) = try logits.max(1)
      return (try indices.array(of: Int.self), values)
    }
    let vocabulary = logits.shape[1]
    let flat = try logits.array(of: Float.self)
    let ids = try histories.indices.map { row in
      isFinished[row] ? 0 : try choose(Array(flat[row * vocabulary..<(row + 1) * vocabulary]), row: row)
    }
    let indices = try Tensor(ids, shape: [ids.count, 1]).to(device: logits.device)
    return (ids, try logits.gather(1, indices).squeeze(1))
  }

  private func choose(_ logits: [Float], row: Int) throws -> Int {
    var scores = logits
    options.process(&scores, tokens: histories[row], promptLength: promptLengths[row])
    guard options.temperature > 0 else {
      return scores.indices.max { (scores[$0], -$0) < (scores[$1], -$1) } ?? 0
    }
    options.warp(&scores)
    return try Tensor(softmax(scores)).multinomial(1, generator: generator).item(Int.self)
  }
}

extension GPT4MultiModal {
  /// Checks what is asked for, and gives the number of tokens after which every text ends.
  func newTokenLimit(_ prompts: [[Int]], _ options: GenerationOptions) throws -> Int {
    try options.validate(vocabulary: configuration.numTokens)
    guard !prompts.isEmpty, prompts.allSatisfy({ !$0.isEmpty }) else {
      throw ModelError("every prompt needs at least one token, such as the one that begins a text")
    }
    for token in prompts.joined() { try configuration.checkToken(token) }
    let longest = prompts.map(\.count).max() ?? 0
    guard longest <= configuration.maxSeqLen else {
      throw ModelError(
        "a prompt has \(longest) tokens, but max_seq_len is \(configuration.maxSeqLen): shorten it")
    }
    // The last token is never fed back, so the text may be one longer than what the decoder sees.
    let room = configuration.maxSeqLen - longest + 1
    guard let wanted = options.maxNewTokens else { return room }
    guard wanted <= room || options.overflow == .slidingWindow else {
      throw ModelError(
        "max_new_tokens is \(wanted), but after a prompt of \(longest) tokens only \(room) fit into max_seq_len "
          + "\(configuration.maxSeqLen): ask for fewer, or choose the sliding window")
    }
    return wanted
  }
}

/// How texts are generated. Names and meanings are those of Hugging Face's `GenerationConfig`, written in snake case
/// in JSON; `presence_penalty` and `frequency_penalty` are OpenAI's.
///
/// Per token, the logits go through, in this order (that of transformers' `LogitsProcessorList`): logit bias,
/// repetition penalty, presence and frequency penalties, no-repeat n-grams, minimum length, forced and suppressed tokens; and,
/// when sampling, temperature, top-k, top-p, min-p.
public struct GenerationOptions: Sendable, Equatable {
  /// What happens when a text reaches `maxSeqLen`.
  public enum Overflow: String, Sendable, Codable {
    /// Generation that cannot fit is refused.
    case error
    /// The older half of the text, but for its first token, is dropped, and the rest computed anew.
    case slidingWindow = "sliding_window"
  }

  /// When beam search stops.
  public enum EarlyStopping: Sendable, Equatable {
    /// As soon as there are as many finished texts as beams.
    case always
    /// When no running text is likely to become better than the finished ones.
    case heuristic
    /// When no running text can become better than the finished ones.
    case never
  }

  /// The most tokens to add; when nil, what `maxLength` says.
  public var maxNewTokens: Int?
  /// The most tokens of a text with its prompt, if the model takes as many; as many as it takes when nil.
  public var maxLength: Int?
  /// Before so many new tokens, no stop token is chosen.
  public var minNewTokens = 0
  /// Before a text has so many tokens with its prompt, no stop token is chosen.
  public var minLength = 0
  /// 0 always takes the likeliest token; above, logits are divided by it and a token is drawn.
  public var temperature = 0.0
  /// Draws among so many likeliest tokens; all when nil.
  public var topK: Int?
  /// Draws among the likeliest tokens that together have this probability.
  public var topP = 1.0
  /// Draws among tokens at least this fraction as likely as the likeliest.
  public var minP = 0.0
  /// Above 1, makes tokens that occur already less likely (Keskar et al., 2019).
  public var repetitionPenalty = 1.0
  /// Subtracted from the logit of each new token that occurred already.
  public var presencePenalty = 0.0
  /// Subtracted from the logit of a new token for each time it occurred.
  public var frequencyPenalty = 0.0
  /// No sequence of so many tokens occurs twice; any may when 0.
  public var noRepeatNGramSize = 0
  /// Added to the logits of these tokens.
  public var logitBias: [Int: Double] = [:]
  /// Tokens that are never chosen.
  public var suppressTokens: [Int] = []
  /// Tokens that are not chosen first.
  public var beginSuppressTokens: [Int] = []
  /// The first token of a text whose prompt is a single one.
  public var forcedBOSToken: Int?
  /// The last token of a text that would end by its length.
  public var forcedEOSToken: Int?
  /// Tokens that end a text.
  public var stopTokens: [Int] = []
  /// Above 1, searches with so many running texts instead of taking or drawing one token at a time.
  public var numBeams = 1
  /// Beam search ranks by log-probability / length ^ this.
  public var lengthPenalty = 1.0
  /// When a beam search ends.
  public var earlyStopping = EarlyStopping.heuristic
  /// Texts per picture: draws, or the best of a beam search.
  public var numReturnSequences = 1
  /// With each token that is taken or drawn, so many of the likeliest are reported.
  public var topLogProbs = 0
  /// The same seed draws the same texts.
  public var seed: UInt64 = 0
  /// What happens to a text that is as long as the model can hold.
  public var overflow = Overflow.error

  /// One greedy text.
  public init() {}

  /// - Parameter vocabulary: how many token ids there are
  /// - Throws: `ModelError` that names the first option out of range.
  public func validate(vocabulary: Int) throws {
    func check(_ allowed: Bool, _ name: String, _ range: String, _ value: Any) throws {
      guard allowed else { throw ModelError("\(name) must be \(range), got \(value)") }
    }
    try check((maxNewTokens ?? 1) >= 1, "max_new_tokens", "at least 1", maxNewTokens ?? 1)
    try check((maxLength ?? 1) >= 1, "max_length", "at least 1", maxLength ?? 1)
    try check(minLength >= 0, "min_length", "at least 0", minLength)
    try check(minNewTokens >= 0, "min_new_tokens", "at least 0", minNewTokens)
    try check(
      minNewTokens <= maxNewTokens ?? .max, "min_new_tokens", "at most max_new_tokens (\(maxNewTokens ?? 0))",
      minNewTokens)
    try check(
      temperature == 0 || temperature >= 0.001 && temperature.isFinite, "temperature", "0, or at least 0.001",
      temperature)
    try check((topK ?? 1) >= 1, "top_k", "at least 1", topK ?? 1)
    try check(topP > 0 && topP <= 1, "top_p", "in (0, 1]", topP)
    try check((0...1).contains(minP), "min_p", "in [0, 1]", minP)
    try check(
      repetitionPenalty > 0 && repetitionPenalty.isFinite, "repetition_penalty", "above 0", repetitionPenalty)
    try check(presencePenalty.isFinite, "presence_penalty", "a finite number", presencePenalty)
    try check(frequencyPenalty.isFinite, "frequency_penalty", "a finite number", frequencyPenalty)
    try check(noRepeatNGramSize >= 0, "no_repeat_ngram_size", "at least 0", noRepeatNGramSize)
    try check((1...64).contains(numBeams), "num_beams", "from 1 to 64", numBeams)
    try check(lengthPenalty.isFinite, "length_penalty", "a finite number", lengthPenalty)
    try check(
      (1...256).contains(numReturnSequences), "num_return_sequences", "from 1 to 256", numReturnSequences)
    try check((0...min(100, vocabulary)).contains(topLogProbs), "top_logprobs", "from 0 to 100", topLogProbs)
    for bias in logitBias.values { try check(bias.isFinite, "a logit's bias", "a finite number", bias) }
    let forced = [forcedBOSToken, forcedEOSToken].compactMap { $0 }
    for token in stopTokens + suppressTokens + beginSuppressTokens + forced + Array(logitBias.keys) {
      try check((0..<vocabulary).contains(token), "a token id", "from 0 to \(vocabulary - 1)", token)
    }
    if numBeams > 1 {
      try check(
        temperature == 0, "temperature", "0 with num_beams above 1, because beams are not drawn", temperature)
      try check(
        numReturnSequences <= numBeams, "num_return_sequences", "at most num_beams (\(numBeams))",
        numReturnSequences)
    } else {
      try check(
        numReturnSequences == 1 || temperature > 0, "temperature",
        "above 0 for several texts per picture, which would all be equal", temperature)
    }
  }
}

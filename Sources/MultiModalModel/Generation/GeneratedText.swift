/// One token more of one text.
public struct GeneratedToken: Sendable, Equatable {
  /// Which of the texts that were asked for together.
  public internal(set) var row: Int
  /// The token.
  public let id: Int
  /// The model's log-probability of this token, before any rule of `GenerationOptions`.
  public let logProbability: Double
  /// As many as `GenerationOptions.topLogProbs` asks for, the likeliest first.
  public let likeliest: [TokenLogProbability]
  /// Why the text ends with this token; nil while it goes on.
  public internal(set) var finish: GeneratedText.FinishReason?
}

/// What the model gives a token before any rule of `GenerationOptions`.
public struct TokenLogProbability: Sendable, Equatable {
  /// The token.
  public let id: Int
  /// The natural logarithm of its probability.
  public let logProbability: Double
}

/// A generated text.
public struct GeneratedText: Sendable, Equatable {
  /// Why a text ends.
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
  /// Why it ended.
  public internal(set) var finish = FinishReason.length
  /// Of a beam search: the sum of log-probabilities / length ^ lengthPenalty.
  public internal(set) var score: Double?
}

/// Reads a text as it grows and says where it ends, such as at a string. A copy goes on from where the original was.
public protocol StopCondition: Sendable {
  /// - Parameter token: the next token of the text
  /// - Returns: whether the text ends with it
  mutating func append(_ token: Int) throws -> Bool
}

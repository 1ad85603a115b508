import Torch

/// Data or settings that cannot be trained with; says where, what was given and what to do.
public struct TrainingError: SentenceError {
  /// One sentence, for people.
  public let description: String

  /// One sentence, for people.
  public init(_ description: String) { self.description = description }
}

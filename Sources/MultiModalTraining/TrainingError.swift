import Torch

/// Data or settings that cannot be trained with; says where, what was given and what to do.
public struct TrainingError: SentenceError {
  public let description: String

  public init(_ description: String) { self.description = description }
}

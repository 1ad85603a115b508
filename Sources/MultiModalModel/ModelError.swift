import Torch

/// A model or its input that cannot be used; says what was given and what is allowed.
public struct ModelError: SentenceError {
  /// The sentence.
  public let description: String

  /// - Parameter description: one sentence: what was given, what is allowed, what to do
  public init(_ description: String) { self.description = description }
}

import Torch

/// A model or its input that cannot be used; says what was given and what is allowed.
public struct ModelError: SentenceError {
  public let description: String

  public init(_ description: String) { self.description = description }
}

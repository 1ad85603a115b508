/// Data or settings that cannot be trained with; says where, what was given and what to do.
public struct TrainingError: Error, Sendable, Equatable, CustomStringConvertible {
  public let description: String

  public init(_ description: String) { self.description = description }
}

/// A file that cannot be read or written; names the file, what is wrong and what to do.
public struct FileError: SentenceError {
  /// One sentence, for people.
  public let description: String

  /// One sentence, for people.
  public init(_ description: String) { self.description = description }
}

/// A file that cannot be read or written; names the file, what is wrong and what to do.
public struct FileError: SentenceError {
  public let description: String

  public init(_ description: String) { self.description = description }
}

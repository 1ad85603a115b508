import Foundation
import MultiModalModel

/// What files of tokenizers have.
extension JSONFields {
  /// - Parameter name: the file's, for errors
  init(_ data: Data, name: String) throws {
    try self.init(data, name: name, error: TokenizerError.init)
  }

  /// One Unicode character.
  func character(_ name: String) throws -> Unicode.Scalar? {
    try read(name, "one character") {
      $0.string.flatMap { $0.unicodeScalars.count == 1 ? $0.unicodeScalars.first : nil }
    }
  }

  func required(_ name: String) throws -> String { try required(name, string) }

  func unknownKind(_ kind: String) -> any Error { error("type", "a kind that is supported, got \"\(kind)\"") }
}

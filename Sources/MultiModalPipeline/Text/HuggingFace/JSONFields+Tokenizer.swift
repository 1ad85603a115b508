import Foundation
import MultiModalModel
import Torch

/// What files of tokenizers have.
extension JSONFields {
  /// - Parameter name: the file's, for errors
  init(_ data: Data, name: String) throws {
    let value: Value
    do {
      value = try data.withUnsafeBytes { try JSONScanner.parse($0) }
    } catch let failure as JSONScanner.Failure {
      throw TokenizerError("\(name) is not valid JSON: \(failure.reason)")
    }
    try self.init(value) { TokenizerError("\(name): \($0) \($1)") }
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

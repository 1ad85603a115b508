import Foundation

/// The keys that a service accepts, known by their SHA-256 alone.
public struct APIKeys: Sendable {
  private let digests: [Digest]

  /// - Parameter text: of a file: on each line the SHA-256 of a key in hexadecimal digits, then anything; lines that begin with #
  ///   and empty ones are passed over
  /// - Throws: `APIKeyError` for a line that is no such thing, and where there is none.
  public init(_ text: String) throws {
    digests = try text.split(whereSeparator: \.isNewline).enumerated().compactMap { number, line in
      guard let word = line.split(separator: " ").first, !word.hasPrefix("#") else { return nil }
      guard let digest = Digest(hexadecimal: word) else {
        throw APIKeyError(
          description:
            "line \(number + 1) is not the SHA-256 of a key: write what 'printf %s KEY | sha256sum' prints")
      }
      return digest
    }
    guard !digests.isEmpty else {
      throw APIKeyError(
        description: "there is no key: write what 'printf %s KEY | sha256sum' prints, on a line for each key")
    }
  }

  /// - Parameter authorization: the header's value
  func accept(_ authorization: String?) -> Bool {
    guard let authorization, authorization.prefix(7).lowercased() == "bearer " else { return false }
    let key = authorization.dropFirst(7).drop { $0 == " " }
    let digest = Digest(Data(key.utf8))
    // Every key is compared with, so that time says nothing about which one it is.
    return digests.reduce(false) { $1.isEqual(to: digest) || $0 }
  }
}

/// A list of keys that cannot be used.
public struct APIKeyError: Error, CustomStringConvertible, LocalizedError {
  /// One sentence that names the line.
  public let description: String
  /// The same.
  public var errorDescription: String? { description }
}

extension Digest {
  fileprivate init?(hexadecimal text: Substring) {
    let digits = text.utf8.compactMap { Character(Unicode.Scalar($0)).hexDigitValue }
    guard text.utf8.count == 64, digits.count == 64 else { return nil }
    bytes = stride(from: 0, to: 64, by: 2).map { UInt8(16 * digits[$0] + digits[$0 + 1]) }
  }
}

import Foundation
import Torch

/// A JSON object of a file, whose fields are read with errors that name file and field.
struct JSONDescription {
  typealias Value = JSONScanner.Value

  /// The file, and where in it.
  let place: String
  let fields: [(key: String, value: Value)]

  init(_ value: Value, _ place: String) throws {
    guard case .object(let fields) = value else {
      throw TokenizerError("\(place) must be an object in braces")
    }
    self.place = place
    self.fields = fields
  }

  /// - Parameter name: the file's, for errors
  init(_ data: Data, name: String) throws { try self.init(Self.parse(data, name: name), name) }

  static func parse(_ data: Data, name: String) throws -> Value {
    do {
      return try data.withUnsafeBytes { try JSONScanner.parse($0) }
    } catch let failure as JSONScanner.Failure {
      throw TokenizerError("\(name) is not valid JSON: \(failure.reason)")
    }
  }

  /// A field that is there and not null.
  subscript(key: String) -> Value? {
    guard let value = fields.first(where: { $0.key == key })?.value else { return nil }
    if case .null = value { return nil }
    return value
  }

  func wrong(_ key: String, _ needed: String) -> TokenizerError {
    TokenizerError("\(place): \"\(key)\" must be \(needed)")
  }

  func object(_ key: String) throws -> JSONDescription? {
    try self[key].map { try JSONDescription($0, "\(place): \(key)") }
  }

  func array(_ key: String) throws -> [Value]? {
    guard let value = self[key] else { return nil }
    guard case .array(let values) = value else { throw wrong(key, "a list in brackets") }
    return values
  }

  func objects(_ key: String) throws -> [JSONDescription] {
    try (array(key) ?? []).map { try JSONDescription($0, "\(place): \(key)") }
  }

  func string(_ key: String) throws -> String? {
    guard let value = self[key] else { return nil }
    guard case .string(let text) = value else { throw wrong(key, "a text") }
    return text
  }

  func required(_ key: String) throws -> String {
    guard let text = try string(key) else { throw wrong(key, "a text, and is missing") }
    return text
  }

  func boolean(_ key: String, default: Bool) throws -> Bool {
    guard let value = self[key] else { return `default` }
    guard case .boolean(let boolean) = value else { throw wrong(key, "true or false") }
    return boolean
  }

  func integer(_ key: String) throws -> Int? {
    guard let value = self[key] else { return nil }
    guard case .integer(let number) = value else { throw wrong(key, "a whole number") }
    return number
  }

  /// One Unicode character.
  func character(_ key: String) throws -> Unicode.Scalar? {
    guard let text = try string(key) else { return nil }
    guard let scalar = text.unicodeScalars.first, text.unicodeScalars.count == 1 else {
      throw wrong(key, "one character")
    }
    return scalar
  }

  /// One of an enumeration's words.
  func choice<Choice: RawRepresentable & CaseIterable>(_ key: String, default: Choice) throws -> Choice
  where Choice.RawValue == String {
    guard let text = try string(key) else { return `default` }
    guard let choice = Choice(rawValue: text) else {
      throw wrong(
        key, "one of " + Choice.allCases.map(\.rawValue).joined(separator: ", ") + ", got \"\(text)\"")
    }
    return choice
  }

  /// The kind of a part, which is refused when it is not known.
  func unknownKind(_ kind: String) -> TokenizerError {
    TokenizerError("\(place): the kind \"\(kind)\" is not supported")
  }
}

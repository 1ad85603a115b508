import Foundation
import MultiModalModel
import Torch

extension JSONValue {
  /// UTF-8, names in order.
  var data: Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // Numbers that are no JSON do not come here: log-probabilities are finite.
    return (try? encoder.encode(self)) ?? Data("null".utf8)
  }
}

extension ServingResponse {
  init(_ json: JSONValue, status: Int = 200, headers: [(name: String, value: String)] = []) {
    self.init(
      status: status, headers: [(name: "Content-Type", value: "application/json")] + headers,
      body: .bytes(json.data))
  }
}

/// The fields of a JSON object that a client sent. What is null counts as absent, and what is not asked for is passed over.
struct RequestFields {
  typealias Value = JSONScanner.Value

  private let values: [String: Value]
  /// What errors call the object, before a field's name; empty for the body itself.
  private let place: String

  /// Hostile bodies have many small values, and a value takes more memory than its text.
  private static let maxValues = 20_000
  private static let maxDepth = 64

  init(_ body: Data) throws {
    let value: Value
    do {
      value = try body.withUnsafeBytes {
        try JSONScanner.parse($0, maxDepth: Self.maxDepth, maxValues: Self.maxValues)
      }
    } catch let failure as JSONScanner.Failure {
      throw APIError.bad("The body is not valid JSON: \(failure.reason).", code: "invalid_json")
    }
    guard let fields = RequestFields(value) else {
      throw APIError.bad("The body must be a JSON object.", code: "invalid_json")
    }
    self = fields
  }

  /// nil for what is no object
  init?(_ value: Value, at place: String = "") {
    guard case .object(let fields) = value else { return nil }
    values = Dictionary(fields.map { ($0.key, $0.value) }) { $1 }
    self.place = place.isEmpty ? "" : "\(place)."
  }

  func error(_ name: String, _ needed: String) -> APIError { .field(place + name, needed) }

  /// A field that is there and not null.
  subscript(name: String) -> Value? {
    guard let value = values[name] else { return nil }
    if case .null = value { return nil }
    return value
  }

  func string(_ name: String) throws -> String? {
    guard let value = self[name] else { return nil }
    guard case .string(let text) = value else { throw error(name, "a text") }
    return text
  }

  func bool(_ name: String) throws -> Bool? {
    guard let value = self[name] else { return nil }
    guard case .boolean(let flag) = value else { throw error(name, "true or false") }
    return flag
  }

  func number(_ name: String, in range: ClosedRange<Double>) throws -> Double? {
    guard let value = self[name] else { return nil }
    guard let number = value.number, range.contains(number) else {
      throw error(name, "a number from \(range.lowerBound.short) to \(range.upperBound.short)")
    }
    return number
  }

  func integer(_ name: String, in range: ClosedRange<Int>) throws -> Int? {
    guard let value = self[name] else { return nil }
    guard let integer = value.integer, range.contains(integer) else {
      throw error(
        name,
        range.upperBound == .max
          ? "a whole number from \(range.lowerBound) on"
          : "a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return integer
  }

  func array(_ name: String) throws -> [Value]? {
    guard let value = self[name] else { return nil }
    guard case .array(let values) = value else { throw error(name, "a list") }
    return values
  }

  func object(_ name: String) throws -> RequestFields? {
    guard let value = self[name] else { return nil }
    guard let fields = RequestFields(value, at: place + name) else { throw error(name, "an object") }
    return fields
  }

  var names: Dictionary<String, Value>.Keys { values.keys }
}

extension JSONScanner.Value {
  var number: Double? {
    switch self {
    case .integer(let number): Double(number)
    case .number(let number): number
    default: nil
    }
  }

  var integer: Int? {
    switch self {
    case .integer(let number): number
    case .number(let number): Int(exactly: number)
    default: nil
    }
  }

  var string: String? { if case .string(let text) = self { text } else { nil } }
}

extension Double {
  fileprivate var short: String { Int(exactly: self).map(String.init) ?? "\(self)" }
}

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

extension JSONFields {
  /// Hostile bodies have many small values, and a value takes more memory than its text.
  private static let maxValues = 20_000
  private static let maxDepth = 64

  /// What a client sent.
  init(body: Data) throws {
    let value: Value
    do {
      value = try body.withUnsafeBytes {
        try JSONScanner.parse($0, maxDepth: Self.maxDepth, maxValues: Self.maxValues)
      }
    } catch let failure as JSONScanner.Failure {
      throw APIError.bad("The body is not valid JSON: \(failure.reason).", code: "invalid_json")
    }
    guard value.object != nil else {
      throw APIError.bad("The body must be a JSON object.", code: "invalid_json")
    }
    try self.init(value) { APIError.bad("'\($0)' \($1).", param: $0, code: "invalid_value") }
  }
}

import Foundation
import MultiModalModel
import Testing

@testable import MultiModalServing

/// Holds what a server takes and answers against what its `/openapi.json` says. Every test that asks does so, so that neither
/// changes alone.
struct Described {
  private let document: JSONValue
  /// Fields that clients send and that change nothing.
  private static let passedOver: Set = [
    "user", "metadata", "store", "tool_choice", "parallel_tool_calls", "service_tier", "top_k",
    "chat_template_kwargs",
  ]

  init(_ configuration: ServingConfiguration) { document = OpenAPI.document(configuration) }

  /// - Parameters:
  ///   - body: of the request, where it is JSON
  ///   - answer: nil for what is no JSON
  func check(
    _ method: String, _ path: String, body: Data = Data(), status: Int, type: String?, answer: JSONValue?
  ) {
    // The client has gone and hears nothing.
    guard status != 499, method != "OPTIONS" else { return }
    let operation = self.operation(method == "HEAD" ? "GET" : method, path)
    let response = operation["responses"]["\(status)"]
    guard response != .null else {
      #expect(operation == .null && [404, 405].contains(status), "\(method) \(path) answers \(status)")
      return
    }
    let type = type?.split(separator: ";").first.map(String.init) ?? ""
    let content = response["content"][type]
    #expect(content != .null, "\(method) \(path) answers \(status) with \(type)")
    if let answer { #expect(mismatch(answer, content["schema"]) == nil, "\(method) \(path), \(status)") }
    let taken = operation["requestBody"]["content"]["application/json"]["schema"]
    guard taken != .null, let body = try? JSONDecoder().decode(JSONValue.self, from: body) else { return }
    if answer?["error"]["code"].text == "invalid_value" {
      #expect(mismatch(body, taken) != nil, "\(method) \(path) refuses a value that is described")
    }
    guard status == 200 else { return }
    #expect(mismatch(body, taken) == nil, "\(method) \(path) takes what is not described")
    let others = body.names.subtracting(taken["properties"].names).subtracting(Self.passedOver)
    #expect(others.isEmpty, "\(method) \(path) takes fields that are not described")
  }

  private func operation(_ method: String, _ path: String) -> JSONValue {
    var path = path
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    let paths = document["paths"]
    for path in [path, "/v1\(path)"] {
      let named = path.hasPrefix("/v1/models/") ? "/v1/models/{id}" : path
      if paths[named] != .null { return paths[named][method.lowercased()] }
    }
    return .null
  }

  // MARK: JSON Schema, as far as the document uses it

  /// Where a value is not what a schema says; nil where it is.
  private func mismatch(_ value: JSONValue, _ schema: JSONValue, at place: String = "$") -> String? {
    guard case .object(let rules) = schema else { return "\(place): no schema" }
    for (rule, argument) in rules {
      if let wrong = mismatch(value, rule, argument, beside: schema, at: place) {
        return "\(wrong) (\(rule))"
      }
    }
    return nil
  }

  private func mismatch(
    _ value: JSONValue, _ rule: String, _ argument: JSONValue, beside siblings: JSONValue, at place: String
  ) -> String? {
    var isRight = true
    switch (rule, value, argument) {
    case ("description", _, _), ("contentMediaType", _, _), ("format", _, _): break
    case ("$ref", _, .string(let name)):
      let named = document["components"]["schemas"][String(name.split(separator: "/").last ?? "")]
      return mismatch(value, named, at: place)
    case ("anyOf", _, .array(let schemas)):
      isRight = schemas.contains { mismatch(value, $0, at: place) == nil }
    case ("type", _, .string(let type)): isRight = value.isOf(type)
    case ("type", _, .array(let types)): isRight = types.contains { $0.text.map(value.isOf) ?? false }
    case ("const", _, _): isRight = value == argument
    case ("enum", _, .array(let values)): isRight = values.contains(value)
    case ("required", .object(let fields), .array(let names)):
      isRight = names.allSatisfy { fields[$0.text ?? ""] != nil }
    case ("properties", .object(let fields), .object(let properties)):
      for (name, schema) in properties {
        guard let field = fields[name] else { continue }
        if let wrong = mismatch(field, schema, at: "\(place).\(name)") { return wrong }
      }
    case ("additionalProperties", .object(let fields), _):
      // Beside "properties" it would mean others; the document has it alone.
      return fields.lazy.compactMap { mismatch($1, argument, at: "\(place).\($0)") }.first
    case ("propertyNames", .object(let fields), _):
      return fields.keys.lazy.compactMap { mismatch(.string($0), argument, at: place) }.first
    case ("if", _, _): break  // Looked at beside "then".
    case ("then", _, _):
      return mismatch(value, siblings["if"], at: place) == nil ? mismatch(value, argument, at: place) : nil
    case ("contains", .array(let values), _):
      isRight = values.contains { mismatch($0, argument, at: place) == nil }
    case ("items", .array(let values), _):
      return values.enumerated().lazy.compactMap { mismatch($1, argument, at: "\(place)[\($0)]") }.first
    case ("minItems", .array(let values), .int(let least)): isRight = values.count >= least
    case ("maxItems", .array(let values), .int(let most)): isRight = values.count <= most
    case ("minLength", .string(let text), .int(let least)): isRight = text.count >= least
    case ("pattern", .string(let text), .string(let pattern)):
      isRight = text.range(of: pattern, options: [.regularExpression]) != nil
    case ("minimum", _, _): isRight = value.amount.map { $0 >= argument.amount ?? 0 } ?? true
    case ("maximum", _, _): isRight = value.amount.map { $0 <= argument.amount ?? 0 } ?? true
    case ("required", _, _), ("properties", _, _), ("propertyNames", _, _), ("items", _, _),
      ("contains", _, _),
      ("additionalProperties", _, _),
      ("minItems", _, _),
      ("maxItems", _, _), ("minLength", _, _), ("pattern", _, _):
      break  // About values of another type.
    default: return "\(place): a rule that is not known here"
    }
    return isRight ? nil : place
  }
}

extension JSONValue {
  fileprivate var amount: Double? {
    switch self {
    case .int(let number): Double(number)
    case .double(let number): number
    default: nil
    }
  }

  fileprivate func isOf(_ type: String) -> Bool {
    switch self {
    case .null: type == "null"
    case .bool: type == "boolean"
    case .int: ["integer", "number"].contains(type)
    case .double: type == "number"
    case .string: type == "string"
    case .array: type == "array"
    case .object: type == "object"
    }
  }
}

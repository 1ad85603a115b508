import Foundation
import Torch

/// The fields of a JSON object, read by name and type. What nobody asked for can be refused.
package struct JSONFields {
  package typealias Value = JSONScanner.Value

  /// In the order of the text, where names are told by their bytes.
  package let all: [(key: String, value: Value)]
  private let path: String
  private let takesNull: Bool
  private let refusal: (_ path: String, _ problem: String) -> any Error
  private let asked = Asked()

  private final class Asked { var names: Set<String> = [] }

  /// - Parameters:
  ///   - path: what messages call the object; empty for the outermost
  ///   - takesNull: whether null is as good as absent
  ///   - refusal: makes a library's own error of a field's path and a problem, such as `must be a text`
  package init(
    _ value: Value, path: String = "", takesNull: Bool = true,
    refusal: @escaping (_ path: String, _ problem: String) -> any Error
  ) throws {
    guard case .object(let fields) = value else {
      throw refusal(path.isEmpty ? "the whole" : path, "must be an object in braces, got \(value.brief)")
    }
    (all, self.path, self.takesNull, self.refusal) = (fields, path, takesNull, refusal)
  }

  /// The object that a file or a line of it holds.
  /// - Parameter error: makes a library's own error of a sentence that begins with the name
  package init(_ json: Data, name: String, error: @escaping (String) -> any Error) throws {
    let value: Value
    do {
      value = try json.withUnsafeBytes { try JSONScanner.parse($0) }
    } catch let failure as JSONScanner.Failure {
      throw error("\(name) is not valid JSON: \(failure.reason)")
    }
    try self.init(value) { error("\(name): \($0) \($1)") }
  }

  /// The object that a part of a larger configuration is decoded from.
  package init(
    from decoder: any Decoder, takesNull: Bool = true,
    refusal: @escaping (_ path: String, _ problem: String) -> any Error
  ) throws {
    try self.init(
      Value(JSONValue(from: decoder)), path: decoder.codingPath.map(\.stringValue).joined(separator: "."),
      takesNull: takesNull, refusal: refusal)
  }

  /// What messages call a field.
  package func path(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }

  /// A field's error, with what it must be.
  package func error(_ name: String, _ needed: String) -> any Error {
    refusal(path(name), "must be \(needed)")
  }

  /// A field that is there.
  package subscript(name: String) -> Value? {
    asked.names.insert(name)
    guard let value = all.first(where: { $0.key == name })?.value, !takesNull || !value.isNull else {
      return nil
    }
    return value
  }

  /// A field in another form.
  /// - Parameter form: nil for a value that is not what it must be
  package func read<Form>(_ name: String, _ needed: String, _ form: (Value) -> Form?) throws -> Form? {
    guard let value = self[name] else { return nil }
    guard let form = form(value) else { throw error(name, "\(needed), got \(value.brief)") }
    return form
  }

  /// - Parameter read: reads a field, such as `string`
  /// - Throws: also the error of one that is absent.
  package func required<Form>(_ name: String, _ read: (String) throws -> Form?) throws -> Form {
    guard let form = try read(name) else { throw refusal(path(name), "is missing") }
    return form
  }

  package func string(_ name: String) throws -> String? { try read(name, "a text", \.string) }

  package func bool(_ name: String) throws -> Bool? { try read(name, "true or false", \.bool) }

  package func integer(_ name: String, in range: ClosedRange<Int> = .min ... .max) throws -> Int? {
    let bounds =
      range.upperBound < .max
      ? " from \(range.lowerBound) to \(range.upperBound)"
      : range.lowerBound > .min ? " from \(range.lowerBound) on" : ""
    return try read(name, "a whole number\(bounds)") { $0.integer.flatMap { range.contains($0) ? $0 : nil } }
  }

  package func number(_ name: String, in range: ClosedRange<Double> = -.infinity ... .infinity) throws
    -> Double?
  {
    func short(_ bound: Double) -> String { Int(exactly: bound).map(String.init) ?? "\(bound)" }
    let bounds =
      range.upperBound < .infinity ? " from \(short(range.lowerBound)) to \(short(range.upperBound))" : ""
    return try read(name, "a number\(bounds)") { $0.number.flatMap { range.contains($0) ? $0 : nil } }
  }

  package func numbers(_ name: String) throws -> [Double]? {
    try read(name, "a list of numbers") { $0.list(\.number) }
  }

  package func texts(_ name: String) throws -> [String]? {
    try read(name, "a list of texts") { $0.list(\.string) }
  }

  package func array(_ name: String) throws -> [Value]? { try read(name, "a list in brackets", \.array) }

  package func object(_ name: String) throws -> JSONFields? {
    try self[name].map { try object($0, at: name) }
  }

  /// A value that lies in a field, such as `messages[0]`, by its own fields.
  package func object(_ value: Value, at name: String) throws -> JSONFields {
    try JSONFields(value, path: path(name), takesNull: takesNull, refusal: refusal)
  }

  /// The objects of a list; none where it is absent.
  package func objects(_ name: String) throws -> [JSONFields] {
    try (array(name) ?? []).enumerated().map { try object($1, at: "\(name)[\($0)]") }
  }

  /// One of an enumeration's words.
  package func choice<Choice: RawRepresentable<String> & CaseIterable>(_ name: String) throws -> Choice? {
    try read(name, "one of \(Choice.allCases.map(\.rawValue).joined(separator: ", "))") {
      $0.string.flatMap(Choice.init)
    }
  }

  /// A field that may be absent or have a value that changes nothing here.
  /// - Parameter needed: which that is, and why
  package func expect(_ name: String, _ needed: String, _ isRight: (Value) -> Bool = { _ in false }) throws {
    if let value = self[name], !isRight(value) { throw error(name, "\(needed), got \(value.brief)") }
  }

  /// - Parameters:
  ///   - harmless: names that nobody needs to ask for, besides those that begin with `_`
  ///   - hint: what to do; nil lists what is known
  /// - Throws: the error of a field that is not null and was not asked for.
  package func refuseUnknown(besides harmless: Set<String> = [], hint: String? = nil) throws {
    let unknown = all.filter { name, value in
      !value.isNull && !asked.names.contains(name) && !harmless.contains(name) && !name.hasPrefix("_")
    }.map { path($0.key) }.sorted()
    guard let first = unknown.first else { return }
    let others = unknown.dropFirst().map { ", nor is \($0)" }.joined()
    throw refusal(
      first,
      "is not known here\(others): \(hint ?? "known are " + asked.names.sorted().joined(separator: ", "))")
  }
}

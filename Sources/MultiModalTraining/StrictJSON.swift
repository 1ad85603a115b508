import Foundation
import MultiModalPipeline
import Torch

/// Reads settings from JSON: what is missing keeps its default, what is unknown is refused, because a misspelt
/// setting that is silently ignored trains another model.
enum StrictJSON {
  /// - Parameter strictFields: fields whose own decoding has defaults and refuses what is unknown
  static func decode<Settings: Codable>(
    _ data: Data, over defaults: Settings, strictFields: Set<String> = [], file: String
  ) throws -> Settings {
    let given: Any
    do {
      given = try JSONSerialization.jsonObject(with: data)
    } catch {
      throw TrainingError(
        "\(file) is not valid JSON: \(InputFile.complaint(aboutJSON: data) ?? "it cannot be read")")
    }
    let known = try JSONSerialization.jsonObject(with: JSONEncoder().encode(defaults))
    let merged = try merge(given, into: known, at: "", strictFields, file)
    do {
      return try JSONDecoder().decode(Settings.self, from: JSONSerialization.data(withJSONObject: merged))
    } catch let error as DecodingError {
      // The text is JSON, as was seen above; what remains is a word that is none of an enumeration's, or a number that
      // does not fit.
      if case .dataCorrupted(let context) = error {
        if context.debugDescription.hasPrefix("Cannot initialize") {
          let path = context.codingPath.map(\.stringValue).joined(separator: ".")
          throw TrainingError("\(file): \(path) has a value that is not known")
        }
        throw TrainingError("\(file): a number is a fraction or too large where a whole number is needed")
      }
      throw TrainingError("\(file): \(error.sentence)")
    }
  }

  /// A text with values put in.
  /// - Parameter settings: as in `training.epochs=3`; what is no JSON is a string
  static func setting(_ settings: [String], in data: Data) throws -> Data {
    guard !settings.isEmpty else { return data }
    var object = try JSONSerialization.jsonObject(with: data)
    for setting in settings {
      let parts = setting.split(separator: "=", maxSplits: 1)
      guard parts.count == 2 else {
        throw TrainingError(
          "\"\(setting)\" sets nothing: write a setting and its value, as in training.epochs=3")
      }
      let value =
        try? JSONSerialization.jsonObject(with: Data(parts[1].utf8), options: .fragmentsAllowed)
      object = try put(
        value ?? String(parts[1]), at: parts[0].split(separator: ".")[...], in: object, setting)
    }
    return try JSONSerialization.data(withJSONObject: object)
  }

  private static func put(
    _ value: Any, at path: ArraySlice<Substring>, in object: Any?, _ setting: String
  ) throws -> Any {
    guard let name = path.first else { return value }
    guard var fields = object == nil ? [:] : object as? [String: Any] else {
      throw TrainingError("\"\(setting)\" finds no object in braces that \(name) could be a field of")
    }
    fields[String(name)] = try put(value, at: path.dropFirst(), in: fields[String(name)], setting)
    return fields
  }

  private static func merge(
    _ given: Any, into known: Any, at path: String, _ strictFields: Set<String>, _ file: String
  ) throws -> Any {
    guard let knownFields = known as? [String: Any] else { return given }
    guard let givenFields = given as? [String: Any] else {
      throw TrainingError("\(file): \"\(path.isEmpty ? "the whole" : path)\" must be an object in braces")
    }
    var merged = knownFields
    for (key, value) in givenFields {
      let full = path.isEmpty ? key : "\(path).\(key)"
      if strictFields.contains(full) {
        merged[key] = value
        continue
      }
      guard let before = knownFields[key] else {
        throw TrainingError(
          "\(file): \"\(full)\" is not known here: known are "
            + Set(knownFields.keys).union(path.isEmpty ? strictFields : []).sorted().joined(separator: ", ")
        )
      }
      merged[key] = try merge(value, into: before, at: full, strictFields, file)
    }
    return merged
  }
}

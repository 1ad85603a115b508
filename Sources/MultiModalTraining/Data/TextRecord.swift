import Foundation
import Torch

/// A JSON object that says what belongs to a picture: `text`, `prompt`, and in a `metadata.jsonl` its `file_name`.
struct TextRecord {
  let fileName: String?
  let texts: [(prompt: String?, text: String)]

  /// - Throws: `TrainingError` with the place of what is wrong.
  /// - Parameter otherText: the text where the object has none
  init(_ json: Data, place: String, otherText: String? = nil) throws {
    guard let object = try? JSONSerialization.jsonObject(with: json) as? [String: Any] else {
      let complaint = InputFile.complaint(aboutJSON: json).map { ": \($0)" } ?? ""
      throw TrainingError("\(place) is not a JSON object in braces\(complaint)")
    }
    func value<Value>(_ key: String, _ type: Value.Type, _ kind: String) throws -> Value? {
      guard let value = object[key], !(value is NSNull) else { return nil }
      guard let typed = value as? Value else { throw TrainingError("\(place): \"\(key)\" must be \(kind)") }
      return typed
    }
    func list(_ key: String) throws -> [String]? {
      if object[key] is [Any] { return try value(key, [String].self, "a list of texts") }
      return try value(key, String.self, "a text or a list of texts").map { [$0] }
    }
    fileName = try value("file_name", String.self, "a text")
    guard let texts = try list("text") ?? otherText.map({ [$0] }) else {
      throw TrainingError("\(place) lacks \"text\"")
    }
    guard !texts.isEmpty else { throw TrainingError("\(place): \"text\" is an empty list") }
    let prompts = try list("prompt")
    if let prompts, prompts.count != 1, prompts.count != texts.count {
      throw TrainingError(
        "\(place): there are \(prompts.count) prompts for \(texts.count) texts: give one prompt for all, or as many as texts"
      )
    }
    self.texts = texts.enumerated().map { index, text in
      (prompts.map { $0.count == 1 ? $0[0] : $0[index] }, text)
    }
  }
}

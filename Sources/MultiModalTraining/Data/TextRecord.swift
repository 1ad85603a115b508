import Foundation
import MultiModalModel

/// A JSON object that says what belongs to a picture: `text`, `prompt`, and in a `metadata.jsonl` its `file_name`.
struct TextRecord {
  let fileName: String?
  let texts: [(prompt: String?, text: String)]

  /// - Throws: `TrainingError` with the place of what is wrong.
  /// - Parameter otherText: the text where the object has none
  init(_ json: Data, place: String, otherText: String? = nil) throws {
    let fields = try JSONFields(json, name: place, error: TrainingError.init)
    func list(_ name: String) throws -> [String]? {
      try fields.read(name, "a text or a list of texts") { $0.string.map { [$0] } ?? $0.list(\.string) }
    }
    fileName = try fields.string("file_name")
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

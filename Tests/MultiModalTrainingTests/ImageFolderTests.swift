import Foundation
import MultiModalTraining
import Testing

@Suite struct ImageFolderTests {
  private func read(_ metadata: String) throws -> ImageFolder {
    let folder = try TemporaryFolder()
    try folder.write(metadata, "metadata.jsonl")
    return try ImageFolder(folder.url)
  }

  @Test func aLineIsAPictureItsTextAndPerhapsAPrompt() throws {
    let folder = try read(
      """
      {"file_name": "a.png", "text": "a cat"}

      {"file_name": "b/c.png", "text": "a dog", "prompt": "What is this? "}
      """)
    #expect(folder.samples.map(\.text) == ["a cat", "a dog"])
    #expect(folder.samples.map(\.prompt) == [nil, "What is this? "])
    #expect(folder.samples.map { $0.picture.lastPathComponent } == ["a.png", "c.png"])
  }

  @Test(arguments: [
    (#"{"file_name": "a.png"}"#, #"line 2 lacks "text""#),
    (#"{"text": "a"}"#, #"line 2 lacks "file_name""#),
    (#"{"file_name": "a.png", "text": 5}"#, #"line 2: "text" must be a text"#),
    (#"{"file_name": "../a.png", "text": "a"}"#, "leaves the folder"),
    (#"{"file_name": "/etc/passwd", "text": "a"}"#, "leaves the folder"),
    ("[1, 2]", "line 2 is not a JSON object"),
    ("{", "line 2 is not a JSON object"),
  ])
  func aWrongLineIsNamedByItsNumber(line: String, message: String) throws {
    let error = #expect(throws: TrainingError.self) {
      try read(#"{"file_name": "a.png", "text": "a cat"}"# + "\n" + line)
    }
    #expect(error?.description.contains(message) == true)
  }

  @Test func aFolderWithoutMetadataSaysWhatItNeeds() throws {
    let error = #expect(throws: TrainingError.self) { try ImageFolder(TemporaryFolder().url) }
    #expect(error?.description.contains("metadata.jsonl cannot be read") == true)
  }
}

import Foundation
import Testing

@testable import MultiModalTraining

@Suite struct ImageFolderTests {
  private func read(_ metadata: String) throws -> [Sample] {
    let folder = try TemporaryFolder()
    try folder.write(metadata, "metadata.jsonl")
    return try ImageFolder(folder.url).all()
  }

  @Test func aLineIsAPictureItsTextAndPerhapsAPrompt() throws {
    let samples = try read(
      """
      {"file_name": "a.png", "text": "a cat"}

      {"file_name": "b/c.png", "text": "a dog", "prompt": "What is this? "}
      """)
    #expect(samples.map(\.text) == ["a cat", "a dog"])
    #expect(samples.map(\.prompt) == [nil, "What is this? "])
    #expect(samples.map(\.picture.name) == ["a.png", "b/c.png"])
    #expect(samples.map(\.picture.file?.lastPathComponent) == ["a.png", "c.png"])
  }

  @Test(arguments: [
    (#"{"file_name": "a.png"}"#, #"line 2 lacks "text""#),
    (#"{"text": "a"}"#, #"line 2 lacks "file_name""#),
    (#"{"file_name": "a.png", "text": 5}"#, "line 2: text must be a text or a list of texts, got 5"),
    (#"{"file_name": "../a.png", "text": "a"}"#, "leaves the folder"),
    (#"{"file_name": "b/../a.png", "text": "a"}"#, "leaves the folder"),
    ("{\"file_name\": \"../\u{301}a.png\", \"text\": \"a\"}", "leaves the folder"),
    ("{\"file_name\": \"/\u{301}a.png\", \"text\": \"a\"}", "leaves the folder"),
    (#"{"file_name": "", "text": "a"}"#, #"line 2 lacks "file_name""#),
    (#"{"file_name": "a.png", "text": null}"#, #"line 2 lacks "text""#),
    (#"{"file_name": "a.png", "text": []}"#, #"line 2: "text" is an empty list"#),
    (
      #"{"file_name": "a.png", "text": ["a", 5]}"#,
      "line 2: text must be a text or a list of texts, got a list"
    ),
    (
      #"{"file_name": "a.png", "text": ["a", "b", "c"], "prompt": ["x", "y"]}"#,
      "line 2: there are 2 prompts for 3 texts"
    ),
    (
      #"{"file_name": "a.png", "text": "a", "prompt": ["x", "y"]}"#, "line 2: there are 2 prompts for 1 texts"
    ),
    (#"{"file_name": "a.png", "text": "a", "prompt": []}"#, "line 2: there are 0 prompts for 1 texts"),
    (#"{"file_name": "a.png", "text": "a", "prompt": 1}"#, "line 2: prompt must be a text"),
    (#"{"file_name": "/etc/passwd", "text": "a"}"#, "leaves the folder"),
    ("[1, 2]", "line 2: the whole must be an object in braces, got a list"),
    ("{", "line 2 is not valid JSON"),
    (String(repeating: "[", count: 100_000), "line 2 is not valid JSON"),
    (String(repeating: #"{"text":"#, count: 100_000), "line 2 is not valid JSON"),
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

  @Test func listsAreSeveralTextsOfOnePicture() throws {
    let samples = try read(
      """
      {"file_name": "a.png", "text": ["one", "two"]}
      {"file_name": "b.png", "text": ["three", "four"], "prompt": "p"}
      {"file_name": "c.png", "text": ["five", "six"], "prompt": ["q", "r"]}
      """)
    #expect(samples.map(\.text) == ["one", "two", "three", "four", "five", "six"])
    #expect(samples.map(\.prompt) == [nil, nil, "p", "p", "q", "r"])
    #expect(samples.map(\.picture.name) == ["a.png", "a.png", "b.png", "b.png", "c.png", "c.png"])
  }

  @Test func linesOfOtherSystemsAreRead() throws {
    let samples = try read(
      "\u{FEFF}{\"file_name\": \"a.png\", \"text\": \"one\"}\r\n\r\n{\"file_name\": \"b.png\", \"text\": \"two\"}\r\n"
    )
    #expect(samples.map(\.text) == ["one", "two"])
  }
}

import Foundation
import Testing

@testable import MultiModalTraining

@Suite struct DatasetsTests {
  @Test func eachFormatIsFound() throws {
    let folder = try TemporaryFolder()
    try folder.write(#"{"file_name": "a.png", "text": "a"}"#, "images/metadata.jsonl")
    try folder.write("", "images/a.png")
    try folder.write("a.png\ta", "list.tsv")
    try folder.write("a.png\ta", "OTHER.TSV")
    for name in ["b.tar", "a.tar", ".hidden.tar", "readme.md"] { try folder.write("", "shards/\(name)") }
    #expect(try Datasets.open(folder.file("images")) is ImageFolder)
    #expect(try Datasets.open(folder.file("list.tsv")) is ListFile)
    #expect(try Datasets.open(folder.file("OTHER.TSV")) is ListFile)
    let shards = try Datasets.open(folder.file("shards"))
    #expect(shards is WebDataset)
    #expect(shards.shards.map(\.lastPathComponent) == ["a.tar", "b.tar"])
    let one = try Datasets.open(folder.file("shards/b.tar"))
    #expect(one is WebDataset)
    #expect(one.shards.map(\.lastPathComponent) == ["b.tar"])
  }

  @Test func whatIsNoDatasetSaysWhatCanBeGiven() throws {
    let folder = try TemporaryFolder()
    try folder.write("", "both/metadata.jsonl")
    try folder.write("", "both/a.tar")
    try folder.write("", "list.csv")
    try folder.write("", "empty/.keep")
    func sentence(_ name: String) -> String { refusal { try Datasets.open(folder.file(name)) } }
    #expect(sentence("nowhere").contains("nowhere does not exist: give a folder with pictures"))
    #expect(sentence("list.csv").contains("list.csv is no dataset: give a folder with pictures"))
    #expect(sentence("list.csv").contains("(.tsv)"))
    #expect(sentence("both").contains("holds a metadata.jsonl and .tar files"))
    #expect(sentence("empty").contains("metadata.jsonl cannot be read"))
  }

  @Test func trainingAndValidationAreFoundInEveryForm() throws {
    let folder = try TemporaryFolder()
    try folder.write("a.png\ta", "one/train.tsv")
    try folder.write("", "one/validation.tar")
    try folder.write("a.png\ta", "two.tsv")
    let one = try TrainingData(folder.file("one"))
    #expect(one.training is ListFile)
    #expect(one.validation is WebDataset)
    #expect(try TrainingData(folder.file("two.tsv")).validation == nil)
    let other = try TrainingData(folder.file("one"), validation: folder.file("two.tsv"))
    #expect(other.validation?.url.lastPathComponent == "two.tsv")
    #expect(
      refusal { try TrainingData(folder.file("one"), validation: folder.file("none")) }.contains("not exist"))
  }

  @Test func aFingerprintTellsWhatChanges() {
    func fingerprint(_ samples: [(String, String?, String)]) -> String {
      var summary = DatasetSummary()
      for (name, prompt, text) in samples {
        let file = URL(fileURLWithPath: "/\(name)")
        summary.add(Sample(picture: StoredPicture(name: name, file: file), prompt: prompt, text: text))
      }
      #expect(summary.count == samples.count)
      return summary.fingerprint
    }
    let all = [
      fingerprint([("a", nil, "b"), ("c", nil, "d")]), fingerprint([("c", nil, "d"), ("a", nil, "b")]),
      fingerprint([("a", "b", ""), ("c", nil, "d")]), fingerprint([("ab", nil, ""), ("c", nil, "d")]),
      fingerprint([("a", nil, "b")]), fingerprint([]),
    ]
    #expect(Set(all).count == all.count)
    #expect(all[0] == fingerprint([("a", nil, "b"), ("c", nil, "d")]))
  }
}

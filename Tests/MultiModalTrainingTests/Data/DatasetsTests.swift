import Foundation
import MultiModalPipeline
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
    let shards = try #require(Datasets.open(folder.file("shards")) as? WebDataset)
    #expect(shards.shards.map(\.lastPathComponent) == ["a.tar", "b.tar"])
    let one = try #require(Datasets.open(folder.file("shards/b.tar")) as? WebDataset)
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
    var settings = TrainingConfiguration.DataReading()
    settings.validation = folder.file("two.tsv").path
    let other = try TrainingData(folder.file("one"), settings)
    #expect(other.validation?.name == settings.validation)
    settings.validation = folder.file("none").path
    #expect(refusal { try TrainingData(folder.file("one"), settings) }.contains("not exist"))
  }

  /// What trains and what evaluates take the same for a dataset, or refuse it in the same words.
  @Test func oneRuleSaysWhatADatasetIs() throws {
    let folder = try TemporaryFolder()
    let line = #"{"file_name": "a.png", "text": "a"}"#
    try folder.write(line, "parts/train/metadata.jsonl")
    try folder.write(line, "parts/validation/metadata.jsonl")
    try folder.write("", "tars/train.tar")
    try folder.write("", "tars/validation.tar.gz")
    try folder.write(line, "around/metadata.jsonl")
    try folder.write("", "around/train/a.png")
    for (name, other) in [
      ("both", "train/metadata.jsonl"), ("second", "train.tsv"), ("third", "train/a.tar"),
    ] {
      try folder.write(line, "\(name)/metadata.jsonl")
      try folder.write(line, "\(name)/\(other)")
    }
    for name in ["parts", "tars"] {
      #expect(try TrainingData(folder.file(name)).validation != nil)
      #expect(refusal { try Datasets.open(folder.file(name)) }.contains("give one of them, such as"))
    }
    #expect(try TrainingData(folder.file("around")).training is ImageFolder)
    #expect(try Datasets.open(folder.file("around")) is ImageFolder)
    for name in ["both", "second", "third"] {
      let (one, other) = (
        refusal { try TrainingData(folder.file(name)) }, refusal { try Datasets.open(folder.file(name)) }
      )
      #expect(one.contains("is a dataset and holds another one, train"), "\(one)")
      #expect(one == other)
    }
  }

  @Test func shardsOfEveryNameAreFoundOrNamed() throws {
    let folder = try TemporaryFolder()
    try folder.write("", "shards/B.TAR")
    try folder.write("", "shards/a.tar")
    let shards = try #require(Datasets.open(folder.file("shards")) as? WebDataset)
    #expect(shards.shards.map(\.lastPathComponent) == ["B.TAR", "a.tar"])
    try folder.write("", "shards/c.tar.gz")
    try folder.write("", "shards/d.TGZ")
    #expect(try Datasets.open(folder.file("shards")).shardCount == 4)
    for name in ["c.tar.xz", "e.tar.zst"] {
      try folder.write("", "packed/\(name)")
      #expect(
        refusal { try Datasets.open(folder.file("packed")) }.contains(
          "\(name) is compressed in a way that is not read"))
      try FileManager.default.removeItem(at: folder.file("packed/\(name)"))
      // What was downloaded lies beside what was unpacked.
      try folder.write("", "images/\(name)")
    }
    try folder.write(#"{"file_name": "a.png", "text": "a"}"#, "images/metadata.jsonl")
    #expect(try Datasets.open(folder.file("images")) is ImageFolder)
  }

  @Test func pipesInPlaceOfFilesAreRefused() throws {
    let folder = try TemporaryFolder()
    for name in ["a.tsv", "a.tar", "images/metadata.jsonl"] {
      try folder.write("", "images/.keep")
      #expect(mkfifo(folder.file(name).path, 0o600) == 0)
      let dataset = name.hasPrefix("images") ? folder.file("images") : folder.file(name)
      #expect(refusal { try Datasets.open(dataset).all() }.contains("is no regular file"))
    }
    #expect(mkfifo(folder.file("p.png").path, 0o600) == 0)
    for range in [nil, 0..<4] {
      #expect(throws: PictureError.self) {
        try StoredPicture(name: "p", file: folder.file("p.png"), range: range).decoded(
          longestSide: nil, limits: .init())
      }
    }
  }

  @Test func aByteOrderMarkIsNoPartOfALine() throws {
    let folder = try TemporaryFolder()
    try folder.write("\u{FEFF}a.png\ta", "a.tsv")
    #expect(try Datasets.open(folder.file("a.tsv")).all().map(\.picture.name) == ["a.png"])
    try folder.write("\u{FEFF}{\"file_name\": \"a.png\", \"text\": \"b\"}\n", "i/metadata.jsonl")
    #expect(try Datasets.open(folder.file("i")).all().map(\.text) == ["b"])
  }

  @Test func whatIsWrongInALineIsSaid() throws {
    let folder = try TemporaryFolder()
    for (value, message) in [(#""\ud83d""#, "lone surrogate"), ("NaN", "NaN is no number in JSON")] {
      try folder.write(#"{"file_name": "a.png", "text": \#(value)}"#, "metadata.jsonl")
      let sentence = refusal { try Datasets.open(folder.url).all() }
      #expect(sentence.contains("line 1") && sentence.contains(message), "\(sentence)")
    }
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

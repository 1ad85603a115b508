import Foundation
import Testing

@testable import MultiModalTraining

/// Image folders whose texts are in a `metadata.csv`.
@Suite struct MetadataTableTests {
  private func read(_ table: String) throws -> [Sample] {
    let folder = try TemporaryFolder()
    try folder.write(table, "metadata.csv")
    return try Datasets.open(folder.url).all()
  }

  @Test func columnsAreFoundByTheirNames() throws {
    let samples = try read("id,text,file_name,prompt\n1,a cat,a.png,\n\n2,a dog,b/c.png,What? \n")
    #expect(samples.map(\.text) == ["a cat", "a dog"])
    #expect(samples.map(\.prompt) == [nil, "What? "])
    #expect(samples.map(\.picture.name) == ["a.png", "b/c.png"])
    #expect(samples.map(\.picture.file?.lastPathComponent) == ["a.png", "c.png"])
  }

  @Test func quotesHoldCommasBreaksAndQuotes() throws {
    let samples = try read(
      "\u{FEFF}file_name,text\r\na.png,\"one, two\"\r\nb.png,\"a \"\"b\"\"\r\n\r\nc\"\nc.png,\"\"\nd.png,5\" wide\ne.png,\"\"\"\"\n"
    )
    #expect(samples.map(\.text) == ["one, two", "a \"b\"\n\nc", "", "5\" wide", "\""])
  }

  @Test(arguments: [
    ("file_name\na.png\n", "its first line must name the columns file_name and text"),
    ("", "its first line must name the columns file_name and text"),
    ("file_name,text\na.png,b,c\n", "metadata.csv line 2 has 3 fields, but the first line names 2 columns"),
    ("file_name,text\na.png,\"b\nc\n", "is in a value whose double quotes are not closed"),
    ("file_name,text\n,b\n", "line 2 lacks \"file_name\""),
    ("file_name,text\n../a.png,b\n", "leaves the folder"),
  ])
  func whatIsWrongIsSaid(table: String, message: String) {
    let sentence = refusal { try read(table) }
    #expect(sentence.contains(message), "\(sentence)")
  }

  @Test func aFolderHasOneFileOfTexts() throws {
    let folder = try TemporaryFolder()
    try folder.write("file_name,text\n", "metadata.csv")
    try folder.write("", "metadata.jsonl")
    #expect(refusal { try Datasets.open(folder.url) }.contains("holds a metadata.jsonl and a metadata.csv"))
  }
}

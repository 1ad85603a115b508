import Foundation
import Testing

@testable import MultiModalTraining

@Suite struct ListFileTests {
  private func read(_ bytes: Data) throws -> [Sample] {
    let folder = try TemporaryFolder()
    try bytes.write(to: folder.file("list.tsv"))
    return try ListFile(folder.file("list.tsv")).all()
  }

  @Test(arguments: ["\n", "\r\n"], [false, true])
  func aLineIsAPicturePerhapsAPromptAndAText(end: String, hasMark: Bool) throws {
    let lines = ["a.png\ta cat", "", "b/c.png\tWhat? \ta dog", " \t ", "a.png\tanother text", "d.png\t"]
    let samples = try read(Data(((hasMark ? "\u{FEFF}" : "") + lines.joined(separator: end)).utf8))
    #expect(samples.map(\.picture.name) == ["a.png", "b/c.png", "a.png", "d.png"])
    #expect(samples.map(\.prompt) == [nil, "What? ", nil, nil])
    #expect(samples.map(\.text) == ["a cat", "a dog", "another text", ""])
    #expect(samples[0].picture.range == nil)
    #expect(samples[1].picture.file?.pathComponents.suffix(2) == ["b", "c.png"])
  }

  @Test(arguments: [
    ("a.png", "list.tsv line 2 has 1 fields"), ("a\tb\tc\td", "list.tsv line 2 has 4 fields"),
    ("\ttext", "list.tsv line 2 has 2 fields"), ("../a.png\ttext", "leaves the folder"),
    ("/a.png\ttext", "leaves the folder"), ("b/../../a.png\ttext", "leaves the folder"),
    ("../\u{301}a.png\ttext", "leaves the folder"), ("a\0.png\ttext", "leaves the folder"),
  ])
  func aWrongLineIsNamedByItsNumber(line: String, message: String) {
    let sentence = refusal { try read(Data("a.png\ttext\n\(line)\n".utf8)) }
    #expect(sentence.contains(message), "\(sentence)")
  }

  @Test func aTextThatIsNotUTF8IsRefused() {
    #expect(
      refusal { try read(Data("a.png\tone\na.png\t".utf8) + [0xFF, 0x41]) }
        .hasSuffix("list.tsv line 2 is not UTF-8"))
  }

  @Test func aMissingListIsRefused() {
    let list = ListFile(URL(fileURLWithPath: "/nowhere/list.tsv"))
    #expect(refusal { try list.all() }.contains("/nowhere/list.tsv cannot be read"))
  }
}

@Suite struct LineReaderTests {
  private func lines(_ bytes: Data) throws -> [Data] {
    let folder = try TemporaryFolder()
    try bytes.write(to: folder.file("lines"))
    let reader = try LineReader(folder.file("lines"))
    var lines: [Data] = []
    while let line = try reader.next() {
      lines.append(line)
      #expect(reader.place.hasSuffix("line \(lines.count)"))
    }
    #expect(try reader.next() == nil)
    return lines
  }

  @Test func linesAreReadOverTheBordersOfChunks() throws {
    let chunk = 1 << 16
    for length in [chunk - 2, chunk - 1, chunk, chunk + 1, 3 * chunk] {
      let long = Data(repeating: 65, count: length)
      for end in ["\n", "\r\n"] {
        let file = long + Data("\(end)b\(end)\(end)".utf8) + long
        #expect(try lines(file) == [long, Data("b".utf8), Data(), long])
        #expect(try lines(file + Data(end.utf8)) == [long, Data("b".utf8), Data(), long])
      }
    }
    let many = (0..<20_000).map { Data("line \($0)".utf8) }
    #expect(try lines(Data(many.joined(separator: Data("\n".utf8)))) == many)
  }

  @Test func emptyFilesAndEmptyLinesAreRead() throws {
    #expect(try lines(Data()) == [])
    #expect(try lines(Data("\n".utf8)) == [Data()])
    #expect(try lines(Data("\n\na".utf8)) == [Data(), Data(), Data("a".utf8)])
  }

  @Test func aLineWithoutEndIsRefused() throws {
    let bytes = Data("first\n".utf8) + Data(repeating: 65, count: 17 << 20)
    #expect(refusal { try lines(bytes) }.contains("line 2 has more than"))
  }
}

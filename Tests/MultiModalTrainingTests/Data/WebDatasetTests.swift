import Torch
import Foundation
import MultiModalPipeline
import Testing

@testable import MultiModalTraining

@Suite struct WebDatasetTests {
  private func samples(_ bytes: Data) throws -> [Sample] {
    let folder = try TemporaryFolder()
    try bytes.write(to: folder.file("a.tar"))
    return try WebDataset(folder.url, shards: [folder.file("a.tar")]).all()
  }

  private func samples(_ files: [(String, String)]) throws -> [Sample] { try samples(TarMaker.tar(files)) }

  @Test func filesOfOneNameAreASample() throws {
    let found = try samples([
      ("x.y/0001.jpg", "1"), ("x.y/0001.txt", "  a cat\n"), ("x.y/0001.cls", "5"), ("x.y/0001.seg.png", "0"),
      ("0002.TXT", "Käse"), ("0002.PNG", "2"), ("readme", "?"), (".hidden.jpg", "?"), ("only.cls", "7"),
      ("0003.webp", "3"), ("0003.json", #"{"text": ["one", "two"], "prompt": ["p", "q"], "more": 1}"#),
      ("0004.jpeg", "4"), ("0004.txt", "not this"), ("0004.json", #"{"text": "three"}"#),
    ])
    #expect(
      found.map(\.picture.name) == ["x.y/0001.jpg", "0002.png", "0003.webp", "0003.webp", "0004.jpeg"])
    #expect(found.map(\.text) == ["a cat", "Käse", "one", "two", "three"])
    #expect(found.map(\.prompt) == [nil, nil, "p", "q", nil])
    #expect(found.map(\.picture.range?.count) == [1, 1, 1, 1, 1])
  }

  @Test func aPictureInAShardIsThatOfItsFile() throws {
    let folder = try TemporaryFolder()
    try folder.writePicture("a.png", [10, 200, 30])
    let png = try Data(contentsOf: folder.file("a.png"))
    var tar = TarMaker.entry("a.txt", Data("green".utf8)) + TarMaker.entry("a.png", png)
    tar += TarMaker.entry("b.png", png.prefix(60)) + TarMaker.entry("b.txt", Data("cut".utf8))
    try tar.write(to: folder.file("a.tar"))
    let found = try Datasets.open(folder.file("a.tar")).all()
    let limits = PictureLimits()
    let plain = try StoredPicture(name: "a.png", file: folder.file("a.png"))
      .decoded(longestSide: nil, limits: limits)
    let stored = try found[0].picture.decoded(longestSide: nil, limits: limits)
    #expect(stored.pixels == plain.pixels)
    #expect(found[0].picture.place == "a.png in \(folder.file("a.tar").path)")
    let error = #expect(throws: PictureError.self) {
      try found[1].picture.decoded(longestSide: nil, limits: limits)
    }
    #expect(error?.description.contains("b.png in") == true)
  }

  @Test func aPictureOfAnArchiveThatWasChangedIsNotTakenForAnother() throws {
    let folder = try TemporaryFolder()
    try folder.writePicture("red.png", [255, 0, 0])
    try folder.writePicture("blue.png", [0, 0, 255])
    let picture = { (name: String) in
      TarMaker.entry("\(name).png", try Data(contentsOf: folder.file("\(name).png")))
        + TarMaker.entry("\(name).txt", Data(name.utf8))
    }
    try picture("red").write(to: folder.file("a.tar"))
    let sample = try #require(try Datasets.open(folder.file("a.tar")).all().first)
    _ = try sample.picture.decoded(longestSide: nil, limits: .init())
    try (picture("blue") + picture("red")).write(to: folder.file("a.tar"))
    let error = #expect(throws: PictureError.self) {
      try sample.picture.decoded(longestSide: nil, limits: .init())
    }
    #expect(
      error?.description
        == "cannot read picture red.png in \(folder.file("a.tar").path): the archive was changed after its pictures were looked up"
    )
  }

  /// Sets as macOS and others write them: what belongs to no sample stands between the files of one.
  @Test func filesOfNoSampleMayStandAnywhere() throws {
    let hidden = ("._a.jpg", "mac")
    let found = try samples([
      ("README", "?"), ("./._a.jpg", "mac"), ("./a.jpg", "1"), ("./._a.txt", "mac"), ("noextension", "?"),
      ("./a.txt", "one"),
      ("x/b.jpg", "2"), ("x/._b.txt", "mac"), ("x/.DS_Store", "mac"), ("__MACOSX/x/._b.txt", "mac"),
      ("__index__", "?"),
      ("__meta__/b.json", "?"), hidden, ("x/b.txt", "two"),
    ])
    #expect(found.map(\.picture.name) == ["./a.jpg", "x/b.jpg"])
    #expect(found.map(\.text) == ["one", "two"])
  }

  @Test func aNameWhoseDotsMakeNoSampleIsNamed() throws {
    let sentence = refusal {
      try samples([("v1.0.0000.jpg", "1"), ("v1.0.0000.txt", "a"), ("v1.0.0001.jpg", "1")])
    }
    #expect(
      sentence.contains("v1.0.0000.jpg in") && sentence.contains("ends at the first dot"), "\(sentence)")
  }

  private static let wrong: [(files: [(String, String)], message: String)] = [
    ([("a.jpg", "1")], "has no text for the picture a: add a.txt or a.json"),
    ([("a.txt", "1")], "has a text but no picture named a"),
    ([("a.json", "{}"), ("b.jpg", "1"), ("b.txt", "1")], "has a text but no picture named a"),
    ([("a.jpg", "1"), ("b.jpg", "1"), ("a.txt", "x"), ("b.txt", "x")], "has no text for the picture a"),
    ([("a.jpg", "1"), ("a.png", "1"), ("a.txt", "x")], "holds two pictures named a"),
    ([("a.jpg", "1"), ("a.txt", "x"), ("a.txt", "y")], "holds two texts named a"),
    ([("a.jpg", "1"), ("a.json", "{}"), ("a.json", "{}")], "holds two JSON files named a"),
    ([("a.jpg", "1"), ("a.json", "{}")], #"lacks "text""#),
    ([("a.jpg", "1"), ("a.json", "[")], "a.tar is not valid JSON"),
  ]

  @Test(arguments: wrong)
  func whatIsNoSampleIsNamed(files: [(String, String)], message: String) {
    let sentence = refusal { try samples(files) }
    #expect(sentence.contains(message), "\(sentence)")
  }

  @Test func aTextThatIsNotUTF8IsRefused() {
    let tar = TarMaker.entry("a.jpg", Data([1])) + TarMaker.entry("a.txt", Data([0xFF, 0x41]))
    #expect(refusal { try samples(tar) }.contains("a.txt in"))
    #expect(refusal { try samples(tar) }.hasSuffix("is not UTF-8"))
  }

  /// Seeded damages of every kind: an error in the user's words, or samples.
  @Test func damagedArchivesNeverTrap() throws {
    let long = String(repeating: "long/", count: 30)
    let pax = TarMaker.record("path", "Käse/b.jpg") + TarMaker.record("size", "3")
    let files: [(name: String, text: String, type: Character)] = [
      ("a.jpg", "123", "0"), ("a.txt", "text", "0"), ("pax", pax, "x"), ("b.jpg", "123", "0"),
      ("Käse/b.json", #"{"text": ["a", "b"], "prompt": "c"}"#, "0"), ("long", "\(long)c.png\0", "L"),
      ("c", "1", "0"), ("long", "\(long)c.txt\0", "L"), ("c", "1", "0"),
    ]
    var sound = Data()
    for file in files { sound += TarMaker.entry(file.name, Data(file.text.utf8), type: file.type) }
    sound += Data(count: 1024)
    #expect(try samples(sound).map(\.text) == ["text", "a", "b", "1"])
    var generator = SplitMix64(seed: 11)
    var sentences: Set<String> = []
    for _ in 0..<300 {
      var bytes = sound
      let block = Int.random(in: 0..<bytes.count / 512 - 2, using: &generator) * 512
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        bytes[block + Int.random(in: 0..<512, using: &generator)] = UInt8.random(
          in: 0...255, using: &generator)
      }
      switch Int.random(in: 0..<4, using: &generator) {
      case 0: bytes = bytes.prefix(Int.random(in: 0..<bytes.count, using: &generator))
      case 1: break
      default:
        // As if the damage were meant: the fields that say what follows, with the checksum they need.
        let field = [(124, 12), (156, 1), (0, 100)].randomElement(using: &generator) ?? (0, 1)
        let place = block + field.0 + Int.random(in: 0..<field.1, using: &generator)
        bytes[place] = [0, 0x30, 0x37, 0x2D, 0x78, 0x4C, 0x80, 0xFF].randomElement(using: &generator) ?? 0
        bytes.replaceSubrange(block..<block + 512, with: TarMaker.checked(bytes[block..<block + 512]))
      }
      let sentence = refusal { try samples(Data(bytes)) }
      #expect(!sentence.contains("Error: "), "\(sentence)")
      sentences.insert(String(sentence.suffix(12)))
    }
    #expect(sentences.count > 5)
  }
}

import Foundation
import MultiModalModel
import Testing
import Torch

@testable import MultiModalPipeline

/// What `Tests/Reference/tokenizer_fixtures.py` wrote: folders, and what their makers make of texts and ids.
private struct TokenizerFixture {
  static let folder = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/tokenizers")
  static let names = [
    "bert", "bert-cased", "bert-japanese", "bert-json", "fairseq", "gpt2", "gpt2-json", "llama-json",
    "prefix-json",
    "roberta", "roberta-json", "roberta-prefix", "saved-roberta", "suffix-json", "unigram-first-json",
    "unigram-json",
    "words-json",
  ]

  let url: URL
  let tokenizer: any Tokenizer
  private let cases: JSONFields

  init(_ name: String) throws {
    url = Self.folder.appendingPathComponent(name)
    tokenizer = try TokenizerFiles(contentsOf: url).tokenizer(url.path)
    cases = try JSONFields(
      Data(contentsOf: url.appendingPathComponent("cases.json")), name: "\(name)/cases.json")
  }

  /// Lists of texts and ids.
  func list(_ key: String) throws -> [[Item]] {
    try cases.read(key, "a list of lists") { $0.list { $0.array?.map(Item.init) } } ?? []
  }

  struct Item {
    let value: JSONScanner.Value

    func text() throws -> String {
      try #require(value.string)
    }

    func ids() throws -> [Int] {
      try #require(value.list(\.integer))
    }
  }
}

private func streamed(_ ids: [Int], _ tokenizer: any Tokenizer) throws -> String {
  var decoder = tokenizer.streamingDecoder()
  var text = ""
  for id in ids { text += try decoder.append(id) }
  return try text + decoder.finish()
}

/// Whether two texts are the same scalars: `==` takes canonically equivalent ones for one.
private func same(_ one: String, _ other: String) -> Bool { one.utf8.elementsEqual(other.utf8) }

private func tokenizer(_ files: [String: String]) throws -> any Tokenizer {
  try TokenizerFiles(contents: files.mapValues { Data($0.utf8) }).tokenizer("folder")
}

private func message(_ body: () throws -> Void) -> String {
  do { try body() } catch { return "\(error)" }
  return "no error"
}

@Suite struct HuggingFaceTokenizerTests {
  @Test(arguments: TokenizerFixture.names) func textsBecomeTheTokensOfTheirMakers(name: String) throws {
    let fixture = try TokenizerFixture(name)
    for item in try fixture.list("texts") {
      let (text, ids) = try (item[0].text(), item[1].ids())
      #expect(try fixture.tokenizer.encode(text) == ids, "\(text.debugDescription)")
      let (decoded, expected) = try (fixture.tokenizer.decode(ids), item[2].text())
      #expect(same(decoded, expected), "\(decoded.debugDescription) is not \(expected.debugDescription)")
    }
    for item in try fixture.list("targets") {
      #expect(try fixture.tokenizer.encodeTarget(item[0].text()) == item[1].ids())
    }
  }

  @Test(arguments: TokenizerFixture.names) func anyTokensBecomeTheTextOfTheirMakers(name: String) throws {
    let fixture = try TokenizerFixture(name)
    for item in try fixture.list("ids") {
      let (ids, expected) = try (item[0].ids(), item[1].text())
      let decoded = try streamed(ids, fixture.tokenizer)
      #expect(same(decoded, expected), "\(decoded.debugDescription) is not \(expected.debugDescription)")
    }
  }

  @Test func aStreamNeverEndsWithinACharacter() throws {
    let tokenizer = try TokenizerFixture("gpt2-json").tokenizer
    var decoder = tokenizer.streamingDecoder()
    let ids = try tokenizer.encode("a👩🏽‍🚀")
    var pieces: [String] = []
    for id in ids { pieces.append(try decoder.append(id)) }
    #expect(same(try pieces.joined() + decoder.finish(), "a👩🏽‍🚀"))
    #expect(pieces.contains("") && !pieces.joined().contains("\u{FFFD}"))
    #expect(try decoder.append(tokenizer.encode("\u{1F9FF}")[0]) == "")
    #expect(try decoder.finish() == "\u{FFFD}")
  }

  @Test(arguments: TokenizerFixture.names) func aFolderIsWrittenBackAsItWas(name: String) throws {
    let (fixture, folder) = (try TokenizerFixture(name), try TemporaryTokenizerFolder())
    try fixture.tokenizer.files.write(to: folder.url)
    let again = try TokenizerFiles(contentsOf: folder.url)
    #expect(again == fixture.tokenizer.files && !again.contents.isEmpty)
    #expect(try again.tokenizer("again").encode("a cat") == fixture.tokenizer.encode("a cat"))
  }

  @Test func theTokensThatBeginEndAndFillAreKnown() throws {
    func ids(_ name: String) throws -> [Int?] {
      let tokenizer = try TokenizerFixture(name).tokenizer
      return [tokenizer.bos, tokenizer.eos, tokenizer.pad]
    }
    #expect(try ids("roberta") == [0, 2, 1])
    #expect(try ids("fairseq") == [0, 2, 1])
    #expect(try ids("gpt2") == [0, 0, nil])
    #expect(try ids("bert") == [nil, nil, 0])
    #expect(try ids("gpt2-json") == [nil, nil, nil])
  }

  @Test func entriesThatOnlyLookAlikeAreDifferent() throws {
    let words = try tokenizer([
      "tokenizer.json":
        #"{"model": {"type": "WordLevel", "vocab": {"\u00e9": 0, "e\u0301": 1, "<unk>": 2}, "unk_token": "<unk>"}}"#
    ])
    #expect(try words.encode("\u{E9}") == [0])
    #expect(try words.encode("e\u{301}") == [1])
    #expect(same(try words.piece(1), "e\u{301}"))
  }

  @Test func addedTokensAreMergedWithTheFilesThatNameThem() throws {
    let tokenizer = try tokenizer([
      "vocab.json": #"{"a": 0, "b": 1, "ab": 2, "<s>": 3, "</s>": 4, "<unk>": 5, "<pad>": 6, "<mask>": 7}"#,
      "merges.txt": "#version: 0.2\na b\n", "added_tokens.json": #"{"<new>": 8}"#,
      "special_tokens_map.json": #"{"eos_token": "<new>", "sep_token": {"content": "</s>"}}"#,
    ])
    #expect(try tokenizer.encodeTarget("ab<new>b") == [3, 2, 8, 1, 4])
    #expect(try tokenizer.decode([2, 8, 1]) == "abb")
    #expect((tokenizer.eos, tokenizer.vocabularySize) == (8, 9))
    // A model's head may have more rows than there are tokens.
    #expect(try tokenizer.decode([2, 100]) == "ab")
    #expect(message { _ = try tokenizer.decode([-1]) } == "a token id must be from 0 on, got -1")
    #expect(
      message { _ = try tokenizer.piece(9) } == "token 9 is not in the vocabulary, whose ids are 0 to 8")
  }

  @Test func tokensAreCountedOnceForEachLengthOfText() throws {
    // Where time grew with the square of the length, a test would not end.
    for name in ["bert-json", "roberta-prefix", "suffix-json", "unigram-json", "words-json"] {
      let tokenizer = try TokenizerFixture(name).tokenizer
      let count = 10_000
      for part in ["a", " ", "é日", "<extra> "] {
        let ids = try tokenizer.encode(String(repeating: part, count: count / part.utf8.count))
        #expect(try tokenizer.decode(ids).utf8.count <= 4 * count)
      }
    }
  }

  @Test(arguments: ["gpt2", "gpt2-json", "roberta", "llama-json", "bert", "unigram-json"])
  func tokensBytesTogetherAreTheText(name: String) throws {
    let fixture = try TokenizerFixture(name)
    let ids = try fixture.tokenizer.encode("a cat é 猫")
    let bytes = try ids.flatMap { try fixture.tokenizer.bytes($0) }
    let text = try fixture.tokenizer.decode(ids)
    #expect(text.count > 3)
    #expect(String(decoding: bytes, as: UTF8.self).drop { $0 == " " } == text.drop { $0 == " " })
  }
}

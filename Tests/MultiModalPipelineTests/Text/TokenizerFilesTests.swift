import Foundation
import Testing
import Torch

@testable import MultiModalPipeline

/// A folder that goes with it.
final class TemporaryTokenizerFolder {
  let url: URL

  init() throws {
    url = FileManager.default.temporaryDirectory.appendingPathComponent("tokenizer-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: url) }
}

@Suite struct TokenizerFilesTests {
  private func message(_ files: [String: String]) -> String {
    do {
      _ = try TokenizerFiles(contents: files.mapValues { Data($0.utf8) }).tokenizer("folder")
      return "no error"
    } catch {
      return "\(error)"
    }
  }

  private static let words = #""model": {"type": "WordLevel", "vocab": {"<unk>": 0}, "unk_token": "<unk>"}"#

  @Test(arguments: [
    (
      #"{"normalizer": {"type": "Nmt"}, \#(words)}"#,
      "folder/tokenizer.json: normalizer.type must be a kind that is supported, got \"Nmt\""
    ),
    (
      #"{"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "UnicodeScripts"}]}, \#(words)}"#,
      "folder/tokenizer.json: pre_tokenizer.pretokenizers[0].type must be a kind that is supported, got \"UnicodeScripts\""
    ),
    (
      #"{"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\d+"}, "behavior": "Isolated"}, \#(words)}"#,
      #"folder/tokenizer.json: pre_tokenizer.pattern.Regex must be " {2,}" or "\s+", the expressions that are supported, got "\d+""#
    ),
    (
      #"{"decoder": {"type": "CTC"}, \#(words)}"#,
      "folder/tokenizer.json: decoder.type must be a kind that is supported, got \"CTC\""
    ),
    (
      #"{"post_processor": {"type": "Other"}, \#(words)}"#,
      "folder/tokenizer.json: post_processor.type must be a kind that is supported, got \"Other\""
    ),
    (
      #"{"model": {"type": "Other"}}"#,
      "folder/tokenizer.json: model.type must be a kind that is supported, got \"Other\""
    ),
    (
      #"{"model": {"type": "BPE", "vocab": {}, "merges": [], "ignore_merges": true}}"#,
      "folder/tokenizer.json: model.ignore_merges must be false or left out, got true"
    ),
    (
      #"{"model": {"type": "BPE", "vocab": {}, "merges": [], "dropout": 0.1}}"#,
      "folder/tokenizer.json: model.dropout must be 0 or left out, got 0.1"
    ),
    (
      #"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}"#,
      "the merge of \"a\" and \"b\" needs both and what they make as entries of the vocabulary"
    ),
    (
      #"{"model": {"type": "WordLevel", "vocab": {"a": 4194304}}}"#,
      "\"a\" has the id 4194304: ids must be from 0 to 4194303"
    ),
    (
      #"{"model": {"type": "Unigram", "vocab": [["a", 0]], "unk_id": 1}}"#,
      "unk_id is 1, but the vocabulary has 1 entries"
    ),
    (
      #"""
      {"normalizer": {"type": "Sequence", "normalizers": [
        {"type": "Replace", "pattern": {"String": "a"}, "content": "\#(String(repeating: "a", count: 300))"},
        {"type": "Replace", "pattern": {"String": "a"}, "content": "\#(String(repeating: "a", count: 300))"}]}, \#(words)}
      """#,
      "folder/tokenizer.json: normalizer must be one that makes a text at most 65536 times longer, but may make it "
        + "90000.0 times longer"
    ),
    (#"{"version": "1.0"}"#, "folder/tokenizer.json: model is missing"),
    ("{", "folder/tokenizer.json is not valid JSON: it ends too early (line 1, byte 2 of it)"),
  ]) func whatIsNotKnownIsRefusedByName(json: String, expected: String) {
    #expect(message(["tokenizer.json": json]) == expected)
  }

  @Test func filesThatDoNotFitAreNamed() {
    #expect(
      message(["vocab.json": "{}"])
        == "folder has no tokenizer: it needs tokenizer.model, tokenizer.json, vocab.json with merges.txt, vocab.txt or "
        + "sentencepiece.bpe.model")
    #expect(
      message(["vocab.json": "{}", "merges.txt": "a b c"])
        == "folder/merges.txt: \"a b c\" must be two texts with a space between")
    #expect(
      message(["sentencepiece.bpe.model": "no model"])
        == "folder/sentencepiece.bpe.model: it is no SentencePiece model, or cut off")
    #expect(
      message([
        "vocab.txt": "[UNK]\n", "tokenizer_config.json": #"{"tokenizer_class": "BertJapaneseTokenizer"}"#,
      ])
        == "folder/tokenizer_config.json: subword_tokenizer_type must be \"character\", the only kind that is supported"
    )
  }

  @Test func damagedFilesAreRefusedOrWork() throws {
    var generator = SplitMix64(seed: 3)
    let folder = URL(fileURLWithPath: #filePath)
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Fixtures/tokenizers")
    for (name, file) in [
      ("fairseq", "sentencepiece.bpe.model"), ("unigram-json", "tokenizer.json"),
      ("words-json", "tokenizer.json"),
      ("roberta-prefix", "tokenizer_config.json"), ("gpt2", "merges.txt"), ("bert", "vocab.txt"),
    ] {
      let good = try TokenizerFiles(contentsOf: folder.appendingPathComponent(name))
      for round in 0..<40 {
        var contents = good.contents
        var data = try #require(contents[file])
        if round % 4 == 0 { data = data.prefix(Int.random(in: 0..<data.count, using: &generator)) }
        for _ in 0..<3 where !data.isEmpty {
          data[Int.random(in: 0..<data.count, using: &generator)] = UInt8.random(
            in: 0...255, using: &generator)
        }
        contents[file] = data
        guard let tokenizer = try? TokenizerFiles(contents: contents).tokenizer("folder") else { continue }
        if let ids = try? tokenizer.encodeTarget("A cat, une école et 日本 <extra>\r\n") {
          _ = try tokenizer.decode(ids)
        }
      }
    }
  }
}

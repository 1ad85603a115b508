import Torch
import Foundation
import Testing

@testable import MultiModalPipeline

@Suite struct SentencePieceTokenizerTests {
  static let sentences = [
    "grinning face", "grinning cat with smiling eyes", "flag: Côte d’Ivoire", "thumbs up: medium skin tone",
    "person: medium-light skin tone, bald", "  two  spaces  ", "a cat and a dog",
  ]
  static let tokenizer = Result {
    try SentencePieceTokenizer.train(on: sentences, configuration: .init(vocabularySize: 330))
  }

  static let texts = [
    "grinning face", "", " ", "  leading and trailing  ", "tab\tand\nnewline\r\n", "日本語のテキスト",
    "مرحبا بالعالم",
    "e\u{301} combining", "👩🏽‍🚀 family 👨‍👩‍👧‍👦", "U+2581 is \u{2581}, twice \u{2581}\u{2581}", "null \u{0} inside",
    "\u{FEFF}byte order mark", "\u{10FFFF}\u{E000}", "<0x41> <s> </s> <pad>", "ﬁ ligature ﬀ", "Ⅷ ½ ²",
    "\u{202E}right to left", "ß ẞ İ ı",
  ]

  @Test(arguments: texts) func anyTextRoundTrips(text: String) throws {
    let tokenizer = try Self.tokenizer.get()
    let ids = try tokenizer.encode(text)
    #expect(ids.allSatisfy { (0..<tokenizer.vocabularySize).contains($0) && $0 > 3 })
    #expect(try Array(tokenizer.decode(ids).unicodeScalars) == Array(text.unicodeScalars))
  }

  @Test(arguments: texts) func tokensBytesTogetherAreTheText(text: String) throws {
    let tokenizer = try Self.tokenizer.get()
    let bytes = try tokenizer.encode("a" + text).flatMap { try tokenizer.bytes($0) }
    #expect(String(decoding: bytes, as: UTF8.self).drop { $0 == " " } == "a" + text)
    #expect(try tokenizer.bytes(tokenizer.eos ?? 0) == [])
  }

  @Test func errorsAreTheirSentenceWhereverTheyAreShown() {
    let errors: [any Error] = [TokenizerError("a sentence"), PictureError(.damaged, "a sentence")]
    for error in errors { #expect(error.localizedDescription == "a sentence") }
  }

  @Test func randomTextRoundTripsAndStreams() throws {
    let tokenizer = try Self.tokenizer.get()
    var generator = SplitMix64(seed: 4)
    for _ in 0..<200 {
      var text = ""
      for _ in 0..<Int.random(in: 0...12, using: &generator) {
        let plane = [0x80, 0x3000, 0x11_0000][Int.random(in: 0..<3, using: &generator)]
        if let scalar = Unicode.Scalar(UInt32.random(in: 1..<UInt32(plane), using: &generator)) {
          text.unicodeScalars.append(scalar)
        }
      }
      let ids = try tokenizer.encode(text)
      #expect(try Array(tokenizer.decode(ids).utf8) == Array(text.utf8))
      #expect(try Array(streamed(ids, tokenizer).utf8) == Array(text.utf8))
    }
  }

  private func streamed(_ ids: [Int], _ tokenizer: SentencePieceTokenizer) throws -> String {
    var decoder = tokenizer.streamingDecoder()
    var text = ""
    for id in ids {
      let piece = try decoder.append(id)
      #expect(!piece.contains("\u{FFFD}") || !text.isEmpty || !piece.isEmpty)
      text += piece
    }
    return try text + decoder.finish()
  }

  @Test func aStreamOfAnyTokensIsTheirText() throws {
    let tokenizer = try Self.tokenizer.get()
    var generator = SplitMix64(seed: 8)
    for _ in 0..<400 {
      // Mostly bytes, so that many characters are broken.
      let ids = (0..<Int.random(in: 1...40, using: &generator)).map { _ in
        Int.random(
          in: 0..<(Bool.random(using: &generator) ? 260 : tokenizer.vocabularySize), using: &generator)
      }
      #expect(try Array(streamed(ids, tokenizer).utf8) == Array(tokenizer.decode(ids).utf8))
    }
  }

  @Test func aCharacterIsNeverSplit() throws {
    let tokenizer = try Self.tokenizer.get()
    var decoder = tokenizer.streamingDecoder()
    let ids = try tokenizer.encode("日")
    #expect(ids.count == 3)
    #expect(try decoder.append(ids[0]) == "")
    #expect(try decoder.append(ids[1]) == "")
    #expect(try decoder.append(ids[2]) == "日")
    #expect(try decoder.append(ids[0]) == "")
    #expect(try decoder.finish() == "\u{FFFD}")
  }

  @Test func beginAndEndAreAddedWhenAskedAndNeverShown() throws {
    let tokenizer = try Self.tokenizer.get()
    #expect((tokenizer.pad, tokenizer.bos, tokenizer.eos) == (0, 1, 2))
    let settings = try GenerationSettings([:], tokenizer: tokenizer)
    let ids = try settings.prompt(nil, by: tokenizer) + tokenizer.encodeTarget("a cat")
    #expect(ids.first == 1 && ids.last == 2)
    #expect(try tokenizer.decode(ids + [0, 0]) == "a cat")
    #expect(try settings.prompt(nil, by: tokenizer) == [1])
    #expect(try settings.prompt("a ", by: tokenizer) == [1] + tokenizer.encode("a "))
  }

  @Test func theSameTextMakesTheSameVocabulary() throws {
    for type in SentencePieceTokenizer.TrainingConfiguration.ModelType.allCases {
      let configuration = SentencePieceTokenizer.TrainingConfiguration(vocabularySize: 320, type: type)
      let first = try SentencePieceTokenizer.train(on: Self.sentences, configuration: configuration)
      let second = try SentencePieceTokenizer.train(on: Self.sentences, configuration: configuration)
      #expect(first.modelData == second.modelData)
      #expect(first.vocabularySize <= 320)
      #expect(try SentencePieceTokenizer(modelData: first.modelData).encode("a cat") == first.encode("a cat"))
    }
  }

  @Test func wrongIdsSizesAndTextsAreNamed() throws {
    let tokenizer = try Self.tokenizer.get()
    func message(_ body: () throws -> Void) -> String {
      do { try body() } catch { return "\(error)" }
      return "no error"
    }
    let last = tokenizer.vocabularySize - 1
    #expect(
      message { _ = try tokenizer.decode([5, 99999]) }
        == "token 99999 is not in the vocabulary, whose ids are 0 to \(last)")
    #expect(
      message { _ = try tokenizer.piece(-1) }
        == "token -1 is not in the vocabulary, whose ids are 0 to \(last)")
    #expect(
      message { _ = try SentencePieceTokenizer.train(on: ["a"], configuration: .init(vocabularySize: 100)) }
        == "the vocabulary size must be above 260 (256 bytes and 4 special tokens), got 100")
    #expect(
      message {
        _ = try SentencePieceTokenizer.train(on: ["abcdefgh"], configuration: .init(vocabularySize: 262))
      }
        == "the text has 8 different characters, so the vocabulary size must be at least 268, got 262; or lower the character coverage"
    )
    #expect(
      message { _ = try SentencePieceTokenizer.train(on: ["", ""], configuration: .init()) }
        == "there is no text to train a vocabulary on")
  }

  @Test func aDamagedModelIsRefused() throws {
    let good = try Self.tokenizer.get().modelData
    for length in stride(from: 0, to: good.count, by: 97) {
      // A cut between two pieces is a sound, smaller model; anything else must be refused.
      _ = try? SentencePieceTokenizer(modelData: good.prefix(length)).encode("a cat")
    }
    var generator = SplitMix64(seed: 2)
    for _ in 0..<200 {
      var data = good
      for _ in 0..<3 {
        data[Int.random(in: 0..<data.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      guard let tokenizer = try? SentencePieceTokenizer(modelData: data) else { continue }
      _ = try? tokenizer.decode(tokenizer.encode("a cat"))
    }
    #expect(throws: TokenizerError.self) { try SentencePieceTokenizer(modelData: Data("no model".utf8)) }
    #expect(throws: TokenizerError.self) { try SentencePieceTokenizer(modelData: Data()) }
    let missing = #expect(throws: TokenizerError.self) {
      try SentencePieceTokenizer(contentsOf: URL(fileURLWithPath: "/nonexistent/tokenizer.model"))
    }
    #expect(missing?.description.hasPrefix("/nonexistent/tokenizer.model cannot be read") == true)
  }
}

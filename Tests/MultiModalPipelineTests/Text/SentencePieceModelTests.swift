import CSentencePiece
import Foundation
import Testing
import Torch

@testable import MultiModalPipeline

/// Models whose rules or pieces would lead the library out of them.
@Suite struct SentencePieceModelTests {
  /// A small model with the rules of normalisation that most models have.
  private static let normalizing = Result {
    var model: UnsafeMutableRawPointer?
    var size = 0
    let text = "a cat and a dog are on the mat with the hat"
    let error = text.utf8CString.withUnsafeBufferPointer {
      csp_train(
        "--vocab_size=30 --hard_vocab_limit=false --normalization_rule_name=nmt_nfkc --pad_id=3",
        [$0.baseAddress],
        [text.utf8.count], 1, &model, &size)
    }
    try check(error, "training")
    defer { csp_free(model) }
    return Data(UnsafeRawBufferPointer(start: model, count: size))
  }

  private func field(_ number: Int, _ bytes: [UInt8]) -> [UInt8] {
    varint(number << 3 | 2) + varint(bytes.count) + bytes
  }

  private func varint(_ value: Int) -> [UInt8] {
    value < 128 ? [UInt8(value)] : [UInt8(value & 127) | 128] + varint(value >> 7)
  }

  private func sentence(_ data: Data) -> String {
    do {
      let tokenizer = try SentencePieceTokenizer(modelData: data)
      _ = try tokenizer.encode("a cat \u{FF21} \u{3A9} \u{1F600}")
      return "none"
    } catch { return "\(error)" }
  }

  @Test func theRulesOfTheFieldAreSound() throws {
    let model = try Self.normalizing.get()
    #expect(sentence(model) == "none")
    let tokenizer = try SentencePieceTokenizer(modelData: model)
    #expect(try tokenizer.encode("\u{FF43}at") == tokenizer.encode("cat"))
  }

  /// What Darts-clone's search reads, played on every text of a small alphabet, agrees with the check.
  @Test func aTrieIsSoundExactlyWhereNoSearchLeavesIt() {
    var generator = SplitMix64(seed: 5)
    var sound = 0
    for _ in 0..<3000 {
      // Units that are no labels, and a few that are; some lead out of the array.
      var units = [UInt32](repeating: 1 << 31, count: 256)
      var bases = [0]
      for node in 0..<Int.random(in: 1...8, using: &generator) {
        let byte = Int.random(in: 0..<6, using: &generator)
        let place = node == 0 ? 0 : (bases.randomElement(using: &generator) ?? 0) ^ byte
        let base = Int.random(
          in: 0..<(Int.random(in: 0..<20, using: &generator) == 0 ? 400 : 40), using: &generator)
        guard place < units.count else { continue }
        let leaf: UInt32 = Bool.random(using: &generator) ? 1 << 8 : 0
        units[place] = UInt32(byte) | leaf | UInt32(base ^ place) << 10
        bases.append(base)
      }
      let isSound = DoubleArray(units: units).isSound(values: 1 << 31, nested: 3)
      if isSound { sound += 1 }
      #expect(isSound == searchStays(units, nested: 3), "\(units.prefix(64))")
    }
    #expect((300..<2700).contains(sound), "\(sound)")
  }

  private func searchStays(_ units: [UInt32], nested: Int) -> Bool {
    var ends = [(node: 0, results: units[0] >> 8 & 1 == 1 ? 1 : 0, length: 0)]
    while let end = ends.popLast() {
      guard end.results <= nested, end.length < 12 else { return false }
      let unit = units[end.node]
      let base = end.node ^ Int((unit >> 10) << ((unit & 1 << 9) >> 6))
      for byte in 0..<256 {
        guard base ^ byte < units.count else { return false }
        let next = units[base ^ byte]
        guard next & (1 << 31 | 0xFF) == UInt32(byte) else { continue }
        ends.append((base ^ byte, end.results + (next >> 8 & 1 == 1 ? 1 : 0), end.length + 1))
      }
    }
    return true
  }

  @Test func rulesThatPointOutsideAreRefused() throws {
    let plain = Array(
      try SentencePieceTokenizer.train(on: ["a cat"], configuration: .init(vocabularySize: 270)).modelData)
    func words(_ numbers: [UInt32]) -> [UInt8] {
      numbers.flatMap { n in withUnsafeBytes(of: n.littleEndian) { Array($0) } }
    }
    var outside = [UInt32](repeating: 0x7FFF_FFFF, count: 256)
    outside[0] = 200 << 10 | 1 << 9
    var circle = outside
    circle[0] = 0
    circle[97] = 97
    circle[97] |= 97 << 10
    var beyond = outside
    beyond[0] = 1 << 10
    beyond[96] = 97 | 1 << 8 | 2 << 10
    beyond[98] = 0x8000_0000 | 5000
    for (trie, tail) in [
      (outside, [0]), (circle, [0]), (beyond, [65, 0]), ([1], [0]), ([], [0]), (outside, []),
    ] as [([UInt32], [UInt8])] {
      let rules = words([UInt32(4 * trie.count)]) + words(trie) + tail
      for number in [3, 5] {
        let message = sentence(Data(plain + field(number, field(2, rules))))
        #expect(message.contains("its rules of normalisation point outside of themselves"), "\(message)")
      }
    }
    for rules in [[1], [1, 0, 0, 0], [255, 255, 255, 255, 0, 0]] as [[UInt8]] {
      #expect(sentence(Data(plain + field(3, field(2, rules)))).contains("its rules of normalisation"))
    }
  }

  @Test func piecesThatTheLibraryDoesNotExpectAreRefused() throws {
    let plain = Array(
      try SentencePieceTokenizer.train(on: ["a cat"], configuration: .init(vocabularySize: 270)).modelData)
    func symbol(_ text: String) -> [UInt8] { field(1, field(1, Array(text.utf8)) + [0x18, 4]) }
    let nested = (1...100).flatMap { symbol(String(repeating: "q", count: $0)) }
    #expect(sentence(Data(plain + nested)).contains("more than 32 of its symbols begin alike"))
    let apart = (1...100).flatMap { symbol("q\($0)") }
    #expect(sentence(Data(plain + apart)) == "none")
    let score = field(1, field(1, Array("zz".utf8)) + [0x15, 0, 0, 0xC0, 0x7F])
    #expect(sentence(Data(plain + score)).contains("a score in it is no number"))
    for tail in [
      [0x0B], [0x0A, 0xFF], [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1], [0],
    ] as [[UInt8]] {
      #expect(sentence(Data(plain + tail)).contains("is no SentencePiece model: it is damaged"))
    }
    #expect(sentence(Data("no model".utf8)).count < 100)
  }

  @Test func damagedRulesNeverCrash() throws {
    let model = try Self.normalizing.get()
    var generator = SplitMix64(seed: 8)
    for _ in 0..<40 {
      var data = model
      for _ in 0..<Int.random(in: 1...200, using: &generator) {
        data[Int.random(in: 0..<data.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      let message = sentence(data)
      #expect(!message.contains(".cc("))
    }
  }
}

import Foundation
import Testing
import Torch

@testable import MultiModalModel

/// Agreement with Hugging Face's transformers; `Tests/Reference/generation_fixtures.py` makes the fixtures.
@Suite struct HuggingFaceTests {
  /// The options of a fixture's case, by their names in JSON.
  struct Case: Decodable, Sendable {
    var temperature: Double?
    var top_k: Int?
    var top_p: Double?
    var min_p: Double?
    var repetition_penalty: Double?
    var presence_penalty: Double?
    var frequency_penalty: Double?
    var no_repeat_ngram_size: Int?
    var min_new_tokens: Int?
    var stop_tokens: [Int]?
    var logit_bias: [String: Double]?
    var num_beams: Int?
    var num_return_sequences: Int?
    var length_penalty: Double?
    var early_stopping: EarlyStopping?

    struct EarlyStopping: Decodable, Sendable {
      let value: GenerationOptions.EarlyStopping
      init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        value = (try? container.decode(Bool.self)).map { $0 ? .always : .heuristic } ?? .never
      }
    }

    var options: GenerationOptions {
      var options = GenerationOptions()
      options.temperature = temperature ?? 0
      options.topK = top_k
      options.topP = top_p ?? 1
      options.minP = min_p ?? 0
      options.repetitionPenalty = repetition_penalty ?? 1
      options.presencePenalty = presence_penalty ?? 0
      options.frequencyPenalty = frequency_penalty ?? 0
      options.noRepeatNGramSize = no_repeat_ngram_size ?? 0
      options.minNewTokens = min_new_tokens ?? 0
      options.stopTokens = stop_tokens ?? []
      for (token, bias) in logit_bias ?? [:] { options.logitBias[Int(token) ?? -1] = bias }
      options.numBeams = num_beams ?? 1
      options.numReturnSequences = num_return_sequences ?? 1
      options.lengthPenalty = length_penalty ?? 1
      options.earlyStopping = early_stopping?.value ?? .heuristic
      return options
    }
  }

  struct Fixture {
    let contents: Safetensors.Contents
    let cases: [String: Case]

    init(_ name: String) throws {
      let folder = ParityTests.folder.deletingLastPathComponent().appendingPathComponent("generation")
      contents = try Safetensors.read(folder.appendingPathComponent(name))
      cases = try JSONDecoder().decode(
        [String: Case].self, from: Data(try #require(contents.metadata["cases"]).utf8))
    }

    func rows<Element: TensorElement>(_ name: String, of: Element.Type = Element.self) throws -> [[Element]] {
      let tensor = try #require(contents.tensors[name])
      let flat = try tensor.array(of: Element.self)
      let width = tensor.shape.last ?? 1
      return stride(from: 0, to: flat.count, by: width).map { Array(flat[$0..<$0 + width]) }
    }

    func number(_ name: String) throws -> Int { try #require(Int(contents.metadata[name] ?? "")) }
  }

  @Test func everyRuleGivesTheSameLogits() throws {
    let fixture = try Fixture("rules.safetensors")
    #expect(fixture.cases.count >= 14)
    for (name, given) in fixture.cases {
      let options = given.options
      let before = try fixture.rows("\(name).before", of: Float.self)
      let tokens = try fixture.rows("\(name).tokens", of: Int.self)
      let after = try fixture.rows("\(name).after", of: Float.self)
      for row in before.indices {
        var logits = before[row]
        options.process(
          &logits, tokens: tokens[row], promptLength: try fixture.number("prompt_length"), limit: .max)
        if options.temperature > 0 { options.warp(&logits) }
        for (actual, expected) in zip(logits, after[row]) {
          #expect(actual == expected || abs(actual - expected) < 1e-5, "\(name) row \(row)")
        }
      }
    }
  }

  @Test func everyBeamSearchFindsTheSameTextsWithTheSameScores() throws {
    let fixture = try Fixture("beams.safetensors")
    #expect(fixture.cases.count >= 100)
    let table = try fixture.rows("table", of: Float.self)
    let vocabulary = table[0].count
    for (name, given) in fixture.cases {
      var options = given.options
      if options.stopTokens.isEmpty { options.stopTokens = [try fixture.number("eos")] }
      let prompts = try fixture.rows("\(name).prompt", of: Int.self)
      let flat = try prompts.flatMap { prompt in
        var search = BeamSearch(options, promptLength: prompt.count, limit: try fixture.number("limit"))
        var texts = [prompt]
        while true {
          let logits = texts.flatMap { text in
            let last = text.suffix(2)
            return table[(last.first ?? 0) * vocabulary + (last.last ?? 0)]
          }
          let advance = try search.advance(
            NextTokens(Tensor(logits, shape: [texts.count, vocabulary])), rows: texts.indices, texts: texts)
          if let finished = advance.finished { return try finished.get().map(\.text) }
          texts = advance.rows.map { texts[$0.parent] + [$0.token] }
        }
      }
      let sequences = try fixture.rows("\(name).sequences", of: Int.self).map { $0.filter { $0 >= 0 } }
      let scores = try fixture.rows("\(name).scores", of: Float.self).flatMap { $0 }
      #expect(flat.map(\.tokens) == sequences, "\(name)")
      #expect(
        zip(flat, scores).allSatisfy { abs(($0.score ?? 0) - Double($1)) < 1e-5 * max(10, abs(Double($1))) },
        "\(name)")
    }
  }
}

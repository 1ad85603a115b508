import Testing
import Torch

@testable import MultiModalModel

@Suite struct GenerationTests {
  /// Ends a text after so many tokens.
  private struct StopAfter: StopCondition {
    let count: Int
    private var seen = 0

    init(count: Int) { self.count = count }

    mutating func append(_ token: Int) -> Bool {
      seen += 1
      return seen == count
    }
  }

  private func options(_ change: (inout GenerationOptions) -> Void = { _ in }) -> GenerationOptions {
    var options = GenerationOptions()
    options.maxNewTokens = 6
    change(&options)
    return options
  }

  /// The likeliest token after each prefix, by computing the whole text every time.
  private func greedy(_ model: GPT4MultiModal, _ img: Tensor, _ prompt: [Int], count: Int) throws -> [Int] {
    var text = prompt
    for _ in 0..<count {
      let logits = try withoutGradients { try model(img, Tensor(text, shape: [1, text.count])) }
      text.append(try logits.select(1, text.count - 1).argmax().item(Int.self))
    }
    return Array(text.dropFirst(prompt.count))
  }

  @Test(arguments: GPT4MultiModal.Configuration.Compatibility.allCases)
  func greedyTakesTheLikeliestTokenEveryTime(compatibility: GPT4MultiModal.Configuration.Compatibility) throws
  {
    let model = try smallModel { $0.compatibility = compatibility }
    let img = try smallImages(2)
    let texts = try model.generate(img: img, prompts: [[1], [4, 5, 6]], options: options())
    #expect(texts[0][0].tokens == (try greedy(model, img.narrow(0, start: 0, length: 1), [1], count: 6)))
    #expect(
      texts[1][0].tokens == (try greedy(model, img.narrow(0, start: 1, length: 1), [4, 5, 6], count: 6)))
    #expect(texts[0][0].finish == .length)
    #expect(texts[0][0].logProbabilities.count == 6)
    #expect(texts[0][0].logProbabilities.allSatisfy { $0 <= 0 })
  }

  @Test func aStopTokenEndsATextAndIsItsLast() throws {
    let model = try smallModel()
    let img = try smallImages(1)
    let free = try model.generate(img: img, prompts: [[1]], options: options())[0][0].tokens
    let stop = free[2]
    let text = try model.generate(img: img, prompts: [[1]], options: options { $0.stopTokens = [stop] })[0][0]
    #expect(text.finish == .stop)
    #expect(text.tokens == Array(free.prefix(free.firstIndex(of: stop).map { $0 + 1 } ?? 0)))
  }

  @Test func noStopTokenIsChosenBeforeTheMinimum() throws {
    let model = try smallModel()
    let img = try smallImages(1)
    let first = try model.generate(img: img, prompts: [[1]], options: options())[0][0].tokens[0]
    let text = try model.generate(
      img: img, prompts: [[1]],
      options: options {
        $0.stopTokens = [first]
        $0.minNewTokens = 4
      })[0][0]
    #expect(!text.tokens.prefix(4).contains(first))
  }

  @Test func theCallerCanStopAText() throws {
    let text = try smallModel().generate(
      img: smallImages(1), prompts: [[1]], options: options(), condition: StopAfter(count: 3))[0][0]
    #expect(text.tokens.count == 3)
    #expect(text.finish == .stop)
  }

  @Test func theSameSeedDrawsTheSameTextsAndAnotherOthers() throws {
    let model = try smallModel()
    let img = try smallImages(1)
    func draw(_ seed: UInt64) throws -> [[Int]] {
      try model.generate(
        img: img, prompts: [[1]],
        options: options {
          $0.temperature = 2
          $0.seed = seed
          $0.numReturnSequences = 3
        })[0].map(\.tokens)
    }
    #expect(try draw(1) == draw(1))
    #expect(try draw(1) != draw(2))
    #expect(try Set(draw(1)).count > 1)
  }

  @Test(arguments: [0.0, 1.0]) func aTokenThatIsForcedAndForbiddenLeavesTheFirstOne(temperature: Double)
    throws
  {
    let text = try smallModel().generate(
      img: smallImages(1), prompts: [[1]],
      options: options {
        $0.temperature = temperature
        $0.forcedBOSToken = 5
        $0.suppressTokens = [5]
      })[0][0]
    #expect(text.tokens[0] == 0)
  }

  @Test func textsOfABatchMayEndAtDifferentTimes() throws {
    let model = try smallModel()
    let img = try smallImages(2)
    let prompts = [[1], [4, 5, 6]]
    let whole = try model.generate(img: img, prompts: prompts, options: options()).map { $0[0].tokens }
    let stop = try #require(whole[0].first { !whole[1].contains($0) })
    let place = try #require(whole[0].firstIndex(of: stop))
    let texts = try model.generate(img: img, prompts: prompts, options: options { $0.stopTokens = [stop] })
    #expect(texts[0][0].tokens == Array(whole[0].prefix(place + 1)))
    #expect(texts[0][0].finish == .stop)
    #expect(texts[1][0].tokens == whole[1])
  }

  @Test func damagedWeightsAreNamedInsteadOfAText() throws {
    let model = try smallModel()
    try model.parameters.trainable.last?.value.fill_(.nan)
    let error = #expect(throws: ModelError.self) {
      try model.generate(img: smallImages(1), prompts: [[1]], options: options())
    }
    #expect(error?.description.hasPrefix("the model's logits are not finite") == true)
  }

  @Test func beamsEndWhereTheCallerStopsThem() throws {
    let model = try smallModel()
    let texts = try model.generate(
      img: smallImages(2), prompts: [[1], [4, 5, 6]],
      options: options {
        $0.numBeams = 3
        $0.numReturnSequences = 3
      }, condition: StopAfter(count: 2))
    #expect(texts.flatMap { $0 }.allSatisfy { $0.tokens.count == 2 && $0.finish == .stop })
  }

  @Test func beamsReportTheModelsLogProbabilities() throws {
    let model = try smallModel()
    func logProbabilities(beams: Int) throws -> [Double] {
      try model.generate(
        img: smallImages(1), prompts: [[1]],
        options: options {
          $0.numBeams = beams
          $0.logitBias = [5: 30]
        })[0][0].logProbabilities
    }
    let (greedy, beams) = (try logProbabilities(beams: 1), try logProbabilities(beams: 2))
    #expect(zip(greedy, beams).allSatisfy { abs($0 - $1) < 1e-4 })
  }

  @Test func beamsMayAllEndAtOnce() throws {
    let texts = try smallModel(numTokens: 4).generate(
      img: smallImages(1), prompts: [[1]],
      options: options {
        $0.numBeams = 2
        $0.stopTokens = [0, 1, 2, 3]
      })
    #expect(texts[0].map(\.tokens.count) == [1])
  }

  @Test func oneBeamOfABeamSearchIsGreedyAndMoreAreAtLeastAsLikely() throws {
    let model = try smallModel()
    let img = try smallImages(2)
    let prompts = [[1], [4, 5, 6]]
    let greedy = try model.generate(img: img, prompts: prompts, options: options())
    let beams = try model.generate(
      img: img, prompts: prompts,
      options: options {
        $0.numBeams = 4
        $0.numReturnSequences = 4
        $0.lengthPenalty = 0
      })
    for (greedy, beams) in zip(greedy, beams) {
      #expect(try #require(beams[0].score) >= greedy[0].logProbabilities.reduce(0, +) - 1e-4)
      #expect(Set(beams.map(\.tokens)).count == 4)
      #expect(zip(beams, beams.dropFirst()).allSatisfy { $0.score ?? 0 >= $1.score ?? 0 })
      for beam in beams {
        #expect(abs(beam.logProbabilities.reduce(0, +) - (try #require(beam.score))) < 1e-4)
      }
    }
  }

  /// With as many beams as there are texts, the search finds the likeliest of all.
  @Test func wideBeamSearchFindsTheLikeliestText() throws {
    let model = try smallModel(numTokens: 4)
    let img = try smallImages(1)
    var best = (score: -Double.infinity, tokens: [Int]())
    for code in 0..<64 {
      let tokens = [code % 4, code / 4 % 4, code / 16]
      let logits = try withoutGradients { try model(img, Tensor([1] + tokens, shape: [1, 4])) }
      let scores = try logits.logSoftmax().array(of: Float.self)
      let score = tokens.enumerated().reduce(0.0) { $0 + Double(scores[$1.offset * 4 + $1.element]) }
      if score > best.score { best = (score, tokens) }
    }
    let found = try model.generate(
      img: img, prompts: [[1]],
      options: options {
        $0.numBeams = 16
        $0.maxNewTokens = 3
      })[0][0]
    #expect(found.tokens == best.tokens)
    #expect(abs(found.logProbabilities.reduce(0, +) - best.score) < 1e-4)
  }

  @Test func aStreamGivesTheTokensOfGenerate() async throws {
    let model = try smallModel()
    let img = try smallImages(2)
    let whole = try model.generate(img: img, prompts: [[1], [4, 5]], options: options())
    var streamed = [[Int](), [Int]()]
    var finishes = 0
    for try await token in try model.stream(img: img, prompts: [[1], [4, 5]], options: options()) {
      streamed[token.row].append(token.id)
      if token.finish != nil { finishes += 1 }
    }
    #expect(streamed == whole.map { $0[0].tokens })
    #expect(finishes == 2)
  }

  @Test func aCancelledTaskEndsItsStream() async throws {
    let task = Task {
      var count = 0
      for try await _ in try smallModel().stream(img: smallImages(1), prompts: [[1]], options: options()) {
        count += 1
        if count == 2 { withUnsafeCurrentTask { $0?.cancel() } }
      }
      return count
    }
    await #expect(throws: CancellationError.self) { try await task.value }
  }

  @Test func aTextLongerThanTheModelsIsRefusedOrSlides() throws {
    let model = try smallModel(maxSeqLen: 8)
    let img = try smallImages(1)
    let error = #expect(throws: ModelError.self) {
      try model.generate(img: img, prompts: [[1, 2, 3]], options: options { $0.maxNewTokens = 20 })
    }
    #expect(
      error?.description
        == "max_new_tokens is 20, but after a prompt of 3 tokens only 6 fit into max_seq_len 8: ask for fewer, or choose the sliding window"
    )
    let text = try model.generate(
      img: img, prompts: [[1, 2, 3]],
      options: options {
        $0.maxNewTokens = 20
        $0.overflow = .slidingWindow
      })[0][0]
    #expect(text.tokens.count == 20)
    let fitting = try model.generate(
      img: img, prompts: [[1, 2, 3]], options: options { $0.maxNewTokens = nil })[0][0]
    #expect(fitting.tokens.count == 6)
    #expect(fitting.tokens == Array(text.tokens.prefix(6)))
  }

  @Test func aWrongOptionIsNamed() throws {
    let wrong: [(String, (inout GenerationOptions) -> Void)] = [
      ("top_p must be in (0, 1], got 1.2", { $0.topP = 1.2 }),
      ("temperature must be 0, or at least 0.001, got -1.0", { $0.temperature = -1 }),
      ("temperature must be 0, or at least 0.001, got 1e-300", { $0.temperature = 1e-300 }),
      (
        "min_new_tokens must be at most max_new_tokens (3), got 5",
        {
          $0.minNewTokens = 5
          $0.maxNewTokens = 3
        }
      ),
      ("top_k must be at least 1, got 0", { $0.topK = 0 }),
      ("min_p must be in [0, 1], got 2.0", { $0.minP = 2 }),
      ("num_beams must be from 1 to 64, got 0", { $0.numBeams = 0 }),
      ("max_new_tokens must be at least 1, got 0", { $0.maxNewTokens = 0 }),
      ("repetition_penalty must be above 0, got 0.0", { $0.repetitionPenalty = 0 }),
      ("a token id must be from 0 to 19, got 20", { $0.stopTokens = [20] }),
      (
        "num_return_sequences must be at most num_beams (2), got 3",
        {
          $0.numBeams = 2
          $0.numReturnSequences = 3
        }
      ),
    ]
    let model = try smallModel()
    for (message, change) in wrong {
      let error = #expect(throws: ModelError.self) {
        try model.generate(img: smallImages(1), prompts: [[1]], options: options(change))
      }
      #expect(error?.description == message)
    }
  }

  @Test func attentionMapsAreDistributions() throws {
    let model = try smallModel()
    let img = try smallImages(1)
    let output = try withoutGradients {
      try model.decoder.output(
        Tensor([1, 2, 3], shape: [1, 3]), context: model.encode(img), wantsAttentionMaps: true)
    }
    #expect(
      output.attentionMaps.map(\.shape) == [[1, 3, 3, 3], [1, 3, 3, 4], [1, 3, 3, 3], [1, 3, 3, 4]])
    for map in output.attentionMaps {
      #expect(try (map.sum([-1]) - 1).abs().amax().item(Float.self) < 1e-5)
    }
    #expect(try output.attentionMaps[0].triu(diagonal: 1).abs().amax().item(Float.self) == 0)
    let logits = try withoutGradients { try model(img, Tensor([1, 2, 3], shape: [1, 3])) }
    #expect(try (output.logits - logits).abs().amax().item(Float.self) < 2e-5)
  }
}

import Foundation
import MultiModalModel
import MultiModalPipeline
import TestSupport
import Testing
import Torch

@Suite struct CaptionerTests {
  private final class Folder {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("gpt4mm-\(UUID().uuidString)")
    deinit { try? FileManager.default.removeItem(at: url) }
  }

  private func folder(
    dtype: DType = .float32, _ change: (inout GPT4MultiModal.Configuration) -> Void = { _ in }
  ) throws
    -> Folder
  {
    let folder = Folder()
    try SmallBundle(vocabularySize: 270, width: 16, change).write(to: folder.url, dtype: dtype)
    return folder
  }

  private func request(_ change: (inout Captioner.Request) -> Void = { _ in }) -> Captioner.Request {
    var request = Captioner.Request()
    request.options.maxNewTokens = 12
    change(&request)
    return request
  }

  @Test func aStreamIsTheCaptionAndABatchIsEachAlone() async throws {
    let folder = try folder()
    let captioner = try Captioner(contentsOf: folder.url)
    let images = try ["rgb.png", "cmyk.jpg"].map { try captioner.processor(Fixture.url($0)) }
    let together = try await captioner.caption(images, request())
    for (image, captions) in zip(images, together) {
      // Log-probabilities differ in rounding between batches of one and two.
      #expect(try await captioner.caption([image], request())[0].map(\.tokens) == captions.map(\.tokens))
      var streamed = ""
      for try await piece in captioner.stream(image, request()) { streamed += piece.text }
      #expect(streamed == captions[0].text)
    }
  }

  @Test func tasksThatAskAtTheSameTimeShareABatchAndGetWhatEachGetsAlone() async throws {
    let folder = try folder()
    let captioner = try Captioner(contentsOf: folder.url)
    let images = try ["rgb.png", "cmyk.jpg"].map { try captioner.processor(Fixture.url($0)) }
    let requests = (0..<8).map { index in
      request {
        $0.prompt = index % 2 == 0 ? nil : "a"
        $0.options.seed = UInt64(index)
        $0.options.temperature = index < 4 ? 0 : 2
        $0.options.maxNewTokens = 4 + index
      }
    }
    let inputs = requests.enumerated().map { Captioner.Input(images[$0 % 2], $1) }
    var alone: [[Captioner.Caption]] = []
    for input in inputs { alone += try await captioner.caption([input]) }
    #expect(try await captioner.caption(inputs) == alone)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for (input, captions) in zip(inputs, alone) {
        group.addTask {
          var text = ""
          var tokens: [Int] = []
          var ends: [GeneratedText.FinishReason] = []
          for try await piece in captioner.stream(input) {
            text += piece.text
            tokens += piece.tokens
            ends += piece.end.map { [$0.finish] } ?? []
          }
          #expect(text == captions[0].text)
          #expect(tokens == captions[0].tokens)
          #expect(ends == [captions[0].finish])
        }
      }
      try await group.waitForAll()
    }
  }

  @Test func picturesOfSeveralSizesInOneCallGetWhatEachGetsAlone() async throws {
    let small = try SmallBundle(vocabularySize: 270, width: 16) { $0.positionColumns = 2 }
    let captioner = try Captioner(
      model: small.model, tokenizer: small.tokenizer,
      processor: ImageProcessor(
        configuration: JSONDecoder().decode(
          ImageProcessor.Configuration.self,
          from: Data(#"{"image_processor_type": "ViTImageProcessor", "size": 16, "widths": [8]}"#.utf8))))
    let images = try (0..<40).map { index in
      let width = index % 3 == 0 ? 8 : 16
      return try captioner.processor(
        Picture(
          height: 16, width: width, channels: 3,
          pixels: (0..<48 * width).map { UInt8(truncatingIfNeeded: $0 * (index + 3)) }))
    }
    #expect(Set(images.map(\.width)) == [8, 16])
    let together = try await captioner.caption(images, request())
    for (image, captions) in zip(images, together) {
      // Log-probabilities differ in rounding between batches.
      #expect(try await captioner.caption([image], request())[0].map(\.tokens) == captions.map(\.tokens))
    }
    #expect(await captioner.counts.pictures == 80)
  }

  @Test func picturesComeAsBytesFilesOrProcessedInOneCall() async throws {
    let folder = try folder()
    let captioner = try Captioner(contentsOf: folder.url)
    let urls = ["rgb.png", "cmyk.jpg"].map { Fixture.url($0) }
    let processed = try await captioner.caption(urls.map { try captioner.processor($0) }, request())
    let mixed = try await captioner.caption([
      .init(Data(contentsOf: urls[0]), request()), .init(contentsOf: urls[1], request()),
    ])
    #expect(mixed == processed)
    await #expect(throws: PictureError.self) {
      try await captioner.caption([.init(contentsOf: urls[0]), .init(Data("no picture".utf8))])
    }
  }

  @Test func manyPicturesKeepTheirOrderAndOneThatIsDamagedFailsAlone() async throws {
    let folder = try folder()
    let captioner = try Captioner(contentsOf: folder.url)
    let lengths = [12, 1, 7, 3, 12, 2, 5]
    let image = try captioner.processor(Fixture.url("rgb.png"))
    func input(_ index: Int) -> Captioner.Input {
      index == 3
        ? .init(name: "number 3") { Data("no picture".utf8) }
        : .init(image, request { $0.options.maxNewTokens = lengths[index] })
    }
    for batchSize in [1, 3, 20] {
      var (next, counts, errors) = (0, [Int](), [String]())
      try await captioner.caption(batchSize: batchSize) {
        defer { next += 1 }
        return next < lengths.count ? input(next) : nil
      } report: { result in
        do { counts.append(try result.get()[0].tokens.count) } catch {
          errors.append("\(counts.count): \(error.localizedDescription)")
        }
      }
      #expect(counts == [12, 1, 7, 12, 2, 5])
      #expect(errors.count == 1 && errors[0].hasPrefix("3: ") && errors[0].contains("number 3"))
    }
  }

  @Test func whatFailsWhileManyAreCaptionedEndsThem() async throws {
    let folder = try folder()
    let captioner = try Captioner(contentsOf: folder.url)
    let image = try captioner.processor(Fixture.url("rgb.png"))
    var begun = 0
    var begunBefore: Int?
    await #expect(throws: CocoaError.self) {
      try await captioner.caption(batchSize: 2) {
        begun += 1
        return .init(image, self.request())
      } report: { _ in
        begunBefore = begun
        throw CocoaError(.fileWriteOutOfSpace)
      }
    }
    // The second may be done before the first, and the third begun then.
    #expect(begun == begunBefore && (2...3).contains(begun))
  }

  @Test(arguments: [1, 3]) func severalTextsOfAPictureStreamAsTheyAreCaptioned(beams: Int) async throws {
    let folder = try folder()
    let captioner = try Captioner(contentsOf: folder.url)
    let image = try captioner.processor(Fixture.url("rgb.png"))
    let request = request {
      $0.options.numReturnSequences = 3
      $0.options.numBeams = beams
      $0.options.temperature = beams == 1 ? 2 : 0
    }
    let whole = try await captioner.caption([image], request)[0]
    var streamed: [Int: (text: String, tokens: [Int])] = [:]
    for try await piece in try await captioner.stream(captioner.encode(image), request) {
      streamed[piece.index, default: ("", [])].text += piece.text
      streamed[piece.index]?.tokens += piece.tokens
    }
    #expect(whole.count == 3)
    for (index, caption) in whole.enumerated() {
      #expect(streamed[index]?.text == caption.text)
      #expect(streamed[index]?.tokens == caption.tokens)
    }
  }

  @Test func theLikeliestTokensComeWithEachThatIsTaken() async throws {
    let folder = try folder()
    let captioner = try Captioner(contentsOf: folder.url)
    let image = try captioner.processor(Fixture.url("rgb.png"))
    let plain = try await captioner.caption([image], request())[0][0]
    var tokens: [Int] = []
    for try await piece in captioner.stream(image, request { $0.options.topLogProbs = 3 }) {
      tokens += piece.tokens
      let likeliest = try #require(piece.likeliest.first)
      #expect(likeliest.count == 3)
      #expect(likeliest[0].id == piece.tokens[0])
      #expect(likeliest[0].logProbability == piece.logProbabilities[0])
      #expect(likeliest[1].logProbability >= likeliest[2].logProbability)
      #expect(Set(likeliest.map(\.id)).count == 3)
    }
    #expect(tokens == plain.tokens)
  }

  @Test func picturesThatAreAskedForTogetherAreEncodedToTheSame() async throws {
    let folder = try folder()
    let captioner = try Captioner(contentsOf: folder.url)
    let images = try ["rgb.png", "cmyk.jpg"].map { try captioner.processor(Fixture.url($0)) }
    let alone =
      try await captioner.caption([images[0]], request()) + captioner.caption([images[1]], request())
    let many = Array(repeating: images, count: 5).flatMap { $0 }
    let together = try await captioner.caption(many, request())
    for (index, captions) in together.enumerated() { #expect(captions == alone[index % 2]) }
    #expect(await captioner.counts.pictures == 12)
  }

  @Test func aCancelledRequestEndsAtOnceAndTheOthersGoOn() async throws {
    let folder = try folder { $0.maxSeqLen = 4000 }
    let captioner = try Captioner(contentsOf: folder.url)
    let image = try captioner.processor(Fixture.url("rgb.png"))
    let long = request {
      $0.options.maxNewTokens = 3000
      $0.options.minNewTokens = 3000
    }
    let cancelled = Task { try await captioner.caption([image], long) }
    let left = Task {
      for try await _ in captioner.stream(image, long) { return true }
      return false
    }
    #expect(try await left.value)
    cancelled.cancel()
    await #expect(throws: CancellationError.self) { try await cancelled.value }
    #expect(try await captioner.caption([image], request())[0][0].finish == .length)
  }

  @Test func aRequestThatCannotBeDoneFailsAlone() async throws {
    let folder = try folder()
    let captioner = try Captioner(contentsOf: folder.url)
    let image = try captioner.processor(Fixture.url("rgb.png"))
    async let good = captioner.caption([image], request())
    let bad = request { $0.options.topP = 7 }
    await #expect(throws: ModelError.self) { try await captioner.caption([image], bad) }
    #expect(try await good[0][0].tokens.count > 0)
  }

  @Test func aStopStringEndsTextAndGeneration() async throws {
    let folder = try folder()
    let captioner = try Captioner(contentsOf: folder.url)
    let image = try captioner.processor(Fixture.url("rgb.png"))
    let whole = try await captioner.caption([image], request())[0][0]
    let stop = try #require(whole.text.dropFirst(2).first.map(String.init))
    let cut = try await captioner.caption([image], request { $0.stopStrings = [stop] })[0][0]
    #expect(cut.text == String(whole.text.prefix { String($0) != stop }))
    #expect(cut.tokens.count < whole.tokens.count)
    #expect(cut.finish == .stop)
  }

  @Test func weightsOfHalfTheSizeGiveNearlyTheSameModel() async throws {
    let whole = try folder()
    let half = try folder(dtype: .bfloat16)
    let name = ModelFolder.weightsName
    func size(_ folder: Folder) throws -> Int {
      try #require(
        FileManager.default.attributesOfItem(atPath: folder.url.appendingPathComponent(name).path)[.size]
          as? Int)
    }
    #expect(try size(half) < size(whole) * 6 / 10)
    let image = try Tensor.randn([1, 3, 16, 16], generator: Generator(seed: 1))
    let text = try Tensor([1, 5, 9], shape: [1, 3])
    func logits(_ folder: Folder) throws -> Tensor {
      try withoutGradients { try ModelFolder(folder.url).model().forward(img: image, text: text) }
    }
    let (a, b) = (try logits(whole), try logits(half))
    let difference = try (a - b).abs().amax().item(Float.self)
    #expect(difference > 0 && difference < 0.1)
  }

  @Test func weightsThatFitInPartAreRefusedOrReported() throws {
    let folder = try folder()
    let weights = folder.url.appendingPathComponent(ModelFolder.weightsName)
    let missing = "decoder.to_logits.bias"
    let kept = try Safetensors.read(weights).tensors.filter { $0.key != missing }
    let other = try kept.map { ($0.key, try $0.value.clone()) } + [("head", Tensor([1]))]
    try Safetensors.write(other, to: weights)

    let error = #expect(throws: TorchError.self) { try ModelFolder(folder.url).model() }
    #expect(
      error?.description.hasPrefix(
        "\(folder.url.path): the weights do not fit the model: missing: \(missing); unexpected: head; config.json"
      )
        == true)
    let (model, report) = try ModelFolder(folder.url).partialModel(seed: 1)
    #expect(report.missing == [missing])
    #expect(report.unexpected == ["head"])
    let values = Dictionary(uniqueKeysWithValues: try model.parameters.tensors())
    let drawn = try #require(values[missing]).abs().amax().item(Float.self)
    #expect(drawn > 0 && drawn <= 0.25)  // within 1/√16, as a new layer's
    let loaded = try #require(values["decoder.to_logits.weight"])
    #expect(try (loaded - #require(kept["decoder.to_logits.weight"])).abs().amax().item(Float.self) == 0)
  }

  @Test func aFolderWhosePartsDoNotFitIsRefused() async throws {
    func message(_ body: (URL) throws -> Void) throws -> String {
      let folder = try folder()
      try body(folder.url)
      do {
        _ = try Captioner(contentsOf: folder.url)
        return "no error"
      } catch {
        return "\(error)"
      }
    }
    let remove = { (name: String) in
      { (url: URL) in try FileManager.default.removeItem(at: url.appendingPathComponent(name)) }
    }
    #expect(
      try message { try FileManager.default.removeItem(at: $0) }.contains("there is no model folder at"))
    #expect(try message(remove("config.json")).contains("is no model folder: it lacks config.json"))
    #expect(try message(remove("model.safetensors")).contains("holds no weights"))
    #expect(try message(remove("tokenizer.model")).contains("has no tokenizer: it needs tokenizer.model"))
    #expect(try message(remove("preprocessor_config.json")).contains("preprocessor_config.json"))
    #expect(
      try message { try Data("{\"image_sise\": 3}".utf8).write(to: $0.appendingPathComponent("config.json")) }
        .contains("image_sise is not known here: known are alibi_num_heads"))
    // A tokenizer with more tokens than the model, and one with fewer.
    for texts in [["the quick brown fox jumps over it"], ["a a"]] {
      #expect(
        try message {
          try SentencePieceTokenizer.train(on: texts, configuration: .init(vocabularySize: 290)).modelData
            .write(to: $0.appendingPathComponent("tokenizer.model"))
        }.contains("but the model's num_tokens is"))
    }
    #expect(
      try message {
        var image = ImageProcessor.Configuration()
        image.size = .init(height: 32, width: 16)
        try image.write(to: $0.appendingPathComponent("preprocessor_config.json"))
      }.contains(
        "does not take the pictures that the processor makes: img is 32 x 16, which takes 8 positions")
    )
  }

  @Test func captioningLeavesNoTensorBehind() async {
    await #expect(processExitsWith: .success) {
      let tests = CaptionerTests()
      let folder = try tests.folder()
      let captioner = try Captioner(contentsOf: folder.url)
      let image = try captioner.processor(Fixture.url("rgb.png"))
      _ = try await captioner.caption([image], tests.request())
      let before = Tensor.liveCount
      for _ in 0..<20 {
        _ = try await captioner.caption([image, image], tests.request())
        _ = try await captioner.caption([image], tests.request { $0.options.numBeams = 3 })
        for try await _ in captioner.stream(image, tests.request()) { break }
      }
      // A stream that was left ends on its own task.
      for _ in 0..<100 where Tensor.liveCount != before { try await Task.sleep(for: .milliseconds(20)) }
      precondition(Tensor.liveCount == before, "\(Tensor.liveCount - before) tensors are left")
    }
  }
}

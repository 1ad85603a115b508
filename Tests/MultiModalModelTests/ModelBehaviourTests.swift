import Foundation
import Testing
import Torch

@testable import MultiModalModel

@Suite struct ModelBehaviourTests {
  @Test func partsAloneRefuseWhatIsNoSequence() throws {
    let model = try smallModel()
    let store = ParameterStore(contents: .random(try Generator(seed: 1)))
    let attention = try Attention(store.root / "attention", dim: 16, heads: 1)
    let layers = try TransformerDecoder(store.root / "decoder", model.configuration)
    let encoder = try TransformerEncoder(store.root / "encoder", dim: 16, depth: 1, heads: 1)
    let text = try Tensor([1, 2, 3], shape: [1, 3])
    let sequence = try Tensor.ones([1, 3, 16])
    for shape in [[], [16], [3, 16], [1, 1, 3, 16]] {
      let wrong = try Tensor.ones(shape)
      for call in [
        { try attention(wrong) }, { try attention(wrong, context: sequence) },
        { try attention(sequence, context: wrong) }, { try layers(wrong, context: sequence) },
        { try layers(sequence, context: wrong) }, { try encoder(wrong) },
        { try model.decoder(text, context: wrong) },
      ] { #expect(throws: (any Error).self, "\(shape)") { try call() } }
      let error = #expect(throws: ModelError.self) { try model.decoder(text, context: wrong) }
      #expect(error?.description == "context has shape \(shape), but must be [batch, length, dim]")
    }
  }

  @Test func whatTheModelCannotTakeIsSaidInTheUsersWords() throws {
    let model = try smallModel()
    let img = try smallImages(1)
    let text = try Tensor([1, 2, 3], shape: [1, 3])
    func message(_ img: Tensor, _ text: Tensor, mask: Tensor? = nil) -> String {
      do {
        _ = try model(img, text, mask: mask)
        return "no error"
      } catch { return "\(error)" }
    }
    #expect(
      message(try .zeros([1, 4, 16, 16]), text)
        == "img has shape [1, 4, 16, 16], but must be [batch, 3, height, width] or [batch, height, width, 3]")
    #expect(message(try .zeros([3, 16, 16]), text).hasPrefix("img has shape [3, 16, 16], but must be"))
    #expect(
      message(try .zeros([1, 3, 16, 12]), text)
        == "img is 16 x 12, but height and width must be multiples of patch_size 8")
    #expect(
      message(try .zeros([1, 3, 32, 16]), text)
        == "img is 32 x 16, which takes 8 positions, but image_size 16 allows 4")
    #expect(
      message(try .zeros([1, 3, 16, 16], dtype: .uint8), text)
        == "img holds uint8, but must hold floating-point numbers: normalise the picture first")
    #expect(message(try img * Double.nan, text) == "img holds numbers that are not finite (NaN or infinity)")
    #expect(message(img, try Tensor([1, 20], shape: [1, 2])) == "text holds token 20, but num_tokens is 20")
    #expect(message(img, try Tensor([1, -1], shape: [1, 2])) == "text holds token -1, but num_tokens is 20")
    #expect(
      message(img, try Tensor([1, 2]))
        == "text has shape [2], but must be [batch, length] with at least one token")
    #expect(message(img, try .zeros([1, 0], dtype: .int64)).hasPrefix("text has shape [1, 0]"))
    #expect(
      message(img, try .zeros([1, 3])) == "text holds float32, but must hold token ids as int64 or int32")
    #expect(
      message(img, try .zeros([1, 13], dtype: .int64))
        == "text has 13 tokens, but max_seq_len is 12: shorten it")
    #expect(
      message(img, try .zeros([2, 3], dtype: .int64))
        == "img has a batch of 1, but text has 2: they must be equal")
    #expect(
      message(img, text, mask: try .ones([1, 2], dtype: .bool)).hasPrefix(
        "mask has shape [1, 2] and holds bool"))
    #expect(message(img, text) == "no error")
  }

  @Test func aConfigurationOutOfRangeIsNamed() {
    let wrong: [(String, (inout GPT4MultiModal.Configuration) -> Void)] = [
      ("image_size must be a multiple of patch_size, got 16 and 5", { $0.patchSize = 5 }),
      ("image_size must be a multiple of patch_size, got 16 and 32", { $0.patchSize = 32 }),
      ("position_columns must be from 1 to 16384, got 0", { $0.positionColumns = 0 }),
      (
        "position_columns must be at most 4, which image_size 16 allows, got 5", { $0.positionColumns = 5 }
      ),
      ("decoder_depth must be from 1 to 1024, got 0", { $0.decoderDepth = 0 }),
      ("alibi_num_heads must be at most decoder_heads, got 4 and 3", { $0.alibiNumHeads = 4 }),
      ("ff_dropout must be in [0, 1), got 1.0", { $0.ffDropout = 1 }),
      (
        "with rotary_xpos there may be at most 32768 positions, beyond which xPos' scale leaves the range of float32, but max_seq_len is 40000",
        { $0.maxSeqLen = 40000 }
      ),
      (
        "cross_attend false does not exist in zetascale, which fails on it: use compatibility documented",
        {
          $0.compatibility = .zetascale
          $0.crossAttend = false
        }
      ),
      (
        "encoder_dim 24 and decoder_dim 16 differ, which zetascale cannot run: use compatibility documented",
        {
          $0.compatibility = .zetascale
          $0.encoderDim = 24
        }
      ),
    ]
    for (message, change) in wrong {
      let error = #expect(throws: ModelError.self) { try smallModel(change) }
      #expect(error?.description == message)
    }
  }

  /// A model whose narrow pictures have the positions of their places is one without that whose table holds those in a row.
  @Test(arguments: [nil, Precision.float32])
  func patchesOfANarrowPictureHaveThePositionsOfTheirPlaces(precision: Precision?) throws {
    let wide = try smallModel {
      $0.imageSize = 24
      $0.positionColumns = 3
    }
    let plain = try smallModel { $0.imageSize = 24 }
    let name = "encoder.pos_embedding"
    let table = try #require(plain.parameters.parameters.first { $0.name == name }).value
    let full = try Tensor.randn([2, 3, 16, 24], generator: Generator(seed: 3))
    let narrow = try full.narrow(3, start: 0, length: 16)
    let picked = try table.indexSelect(1, Tensor([0, 1, 3, 4, 2, 5, 6, 7, 8]))
    try withoutGradients {
      let same = try plain.encode(full)
      try table.copy_(picked)
      for model in [wide, plain] { if let precision { try model.prepareForInference(precision) } }
      #expect(try (wide.encode(full) - same).abs().amax().item(Float.self) < 1e-5)
      #expect(try (wide.encode(narrow) - plain.encode(narrow)).abs().amax().item(Float.self) == 0)
    }
    let error = #expect(throws: ModelError.self) { try wide.encode(.zeros([1, 3, 8, 32])) }
    #expect(
      error?.description == "img is 8 x 32, which makes 4 patches in a row, but position_columns allows 3")
    // The last row of a narrow picture lies where that of a wide one does.
    let high = #expect(throws: ModelError.self) { try wide.encode(.zeros([1, 3, 32, 16])) }
    #expect(high?.description == "img is 32 x 16, which takes 12 positions, but image_size 24 allows 9")
  }

  @Test func positionColumnsAreWrittenWhereTheyAreGiven() throws {
    var configuration = GPT4MultiModal.Configuration()
    func written() throws -> String {
      String(decoding: try JSONEncoder().encode(configuration), as: UTF8.self)
    }
    #expect(try !written().contains("position_columns"))
    configuration.positionColumns = 24
    let read = try JSONDecoder().decode(GPT4MultiModal.Configuration.self, from: Data(written().utf8))
    #expect(read == configuration)
  }

  @Test func imagesMayHaveTheirChannelsFirstOrLast() throws {
    let model = try smallModel()
    let img = try smallImages(2)
    let text = try Tensor([1, 2, 3, 4], shape: [2, 2])
    let (first, last) = try withoutGradients {
      (try model(img, text), try model.forward(img: img.permute([0, 2, 3, 1]), text: text))
    }
    #expect(try (first - last).abs().amax().item(Float.self) == 0)
  }

  @Test func dropoutActsInTrainingAlone() throws {
    let text = try Tensor([1, 2, 3], shape: [1, 3])
    let img = try smallImages(1)
    for dropout in [\GPT4MultiModal.Configuration.attnDropout, \.ffDropout, \.embDropout] {
      for flash in [true, false] {
        let model = try smallModel {
          $0[keyPath: dropout] = 0.5
          $0.attnFlash = flash
        }
        func difference() throws -> Float {
          try withoutGradients { try (model(img, text) - model(img, text)).abs().amax().item(Float.self) }
        }
        #expect(try difference() == 0)
        model.isTraining = true
        #expect(try difference() > 0)
        model.isTraining = false
        #expect(try difference() == 0)
      }
    }
  }

  @Test func everyPartWorksAlone() throws {
    let store = ParameterStore(contents: .random(try Generator(seed: 1)))
    let x = try Tensor.randn([2, 5, 16], generator: Generator(seed: 2))
    let attention = try Attention(store.root / "attention", dim: 16, heads: 3)
    #expect(try attention(x).shape == [2, 5, 16])
    #expect(try attention(x, context: x.narrow(1, start: 0, length: 3)).shape == [2, 5, 16])
    let causal = try attention(x, isCausal: true).narrow(1, start: 0, length: 2)
    let prefix = try attention(x.narrow(1, start: 0, length: 2), isCausal: true)
    #expect(try (causal - prefix).abs().amax().item(Float.self) < 1e-5)

    let encoder = try TransformerEncoder(store.root / "encoder", dim: 16, depth: 2, heads: 1)
    let (output, maps) = try encoder.withAttentionMaps(x)
    #expect(try (output - encoder(x)).abs().amax().item(Float.self) < 1e-5)
    #expect(maps.map(\.shape) == [[2, 1, 5, 5], [2, 1, 5, 5]])

    var configuration = GPT4MultiModal.Configuration()
    configuration.decoderDim = 16
    configuration.decoderDepth = 1
    configuration.decoderHeads = 2
    configuration.alibiNumHeads = 1
    configuration.numTokens = 7
    let decoder = try TransformerDecoder(store.root / "decoder", configuration)
    #expect(try decoder(x, context: x).shape == [2, 5, 16])
    #expect(throws: ModelError.self) { try decoder(x) }
    let transformer = try Transformer(store.root / "transformer", configuration)
    let text = try Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3])
    #expect(try transformer(text, context: x).shape == [2, 3, 7])
    #expect(try transformer.output(text, context: x).embeddings.shape == [2, 3, 16])
  }

  @Test func trainingStepsLeaveNoTensorBehind() async {
    await #expect(processExitsWith: .success) {
      let model = try smallModel { $0.ffDropout = 0.1 }
      model.isTraining = true
      for parameter in model.parameters.trainable { try parameter.value.requiresGrad_() }
      let optimizer = try AdamW(groups: [.init(parameters: model.parameters.trainable, weightDecay: 0.1)])
      let img = try smallImages(2)
      let text = try Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3])
      func step() throws {
        try optimizer.zeroGrad()
        try model.loss(img: img, text: text).backward()
        _ = try clipGradNorm(model.parameters.trainable, maxNorm: 1)
        try optimizer.step(learningRate: 1e-3)
      }
      for _ in 0..<3 { try step() }
      let before = Tensor.liveCount
      for _ in 0..<50 { try step() }
      precondition(Tensor.liveCount == before, "\(Tensor.liveCount - before) tensors are left")
    }
  }
}

import Testing
import Torch

@testable import MultiModalModel

@Suite struct PreparedModelTests {
  /// What differs in how a model computes.
  private enum Kind: String, CaseIterable {
    case documented, withoutCrossAttention, withoutRotary, withoutAlibi, withAbsolutePositions
    case withoutNormalization, withoutFlash, widthsThatDiffer, zetascale

    func change(_ configuration: inout GPT4MultiModal.Configuration) {
      configuration.encoderDim = 64
      configuration.decoderDim = 64
      configuration.encoderHeads = 2
      switch self {
      case .documented: break
      case .withoutCrossAttention: configuration.crossAttend = false
      case .withoutRotary: configuration.rotaryXpos = false
      case .withoutAlibi: configuration.alibiPosBias = false
      case .withAbsolutePositions: configuration.useAbsPosEmb = true
      case .withoutNormalization: configuration.qkNorm = false
      case .withoutFlash: configuration.attnFlash = false
      case .widthsThatDiffer: configuration.encoderDim = 96
      case .zetascale: configuration.compatibility = .zetascale
      }
    }
  }

  private func model(
    _ kind: Kind = .documented, _ change: (inout GPT4MultiModal.Configuration) -> Void = { _ in }
  ) throws -> GPT4MultiModal {
    try smallModel(numTokens: 48) {
      kind.change(&$0)
      change(&$0)
    }
  }

  private func prepared(_ kind: Kind = .documented, _ precision: Precision = .float32) throws
    -> GPT4MultiModal
  {
    let model = try model(kind)
    try model.prepareForInference(precision)
    return model
  }

  private func texts(_ rows: Int, _ length: Int, seed: UInt64 = 5) throws -> Tensor {
    try (Tensor.rand([rows, length], generator: Generator(seed: seed)) * 48).to(dtype: .int64)
  }

  /// The largest difference as a share of the largest number.
  private func difference(_ a: Tensor, _ b: Tensor) throws -> Float {
    #expect(a.shape == b.shape)
    return try (a - b).abs().amax().item(Float.self) / b.abs().amax().item(Float.self)
  }

  /// Which share of the largest logit a precision may change.
  private func tolerance(_ precision: Precision) -> Float {
    switch precision {
    case .float32: 2e-5
    case .bfloat16: 0.02
    case .int8, .int8WeightOnly: 0.05
    case .int4WeightOnly: 0.3
    }
  }

  @Test(arguments: Kind.allCases, Precision.allCases)
  private func aPreparedModelGivesNearlyTheSameLogits(kind: Kind, precision: Precision) throws {
    let img = try smallImages(2)
    let text = try texts(2, 9)
    let mask = try Tensor(
      [Bool](repeating: true, count: 9) + [false, false] + [Bool](repeating: true, count: 7),
      shape: [2, 9])
    let plain = try model(kind)
    let prepared = try prepared(kind, precision)
    #expect(prepared.precision == precision && plain.precision == nil)
    try withoutGradients {
      let whole = try difference(prepared(img, text), plain(img, text))
      #expect(whole < tolerance(precision))
      // Of padding itself there is nothing to compare.
      let counts = try mask.unsqueeze(2).to(dtype: .float32)
      let masked = try difference(
        prepared(img, text, mask: mask) * counts, plain(img, text, mask: mask) * counts)
      #expect(masked < tolerance(precision))
      // A precision that changes nothing would not be computed in.
      if precision != .float32 { #expect(whole > 1e-5) }
      let wide = try smallImages(2).permute([0, 2, 3, 1]).narrow(1, start: 0, length: 8)
      #expect(try difference(prepared(wide, text), plain(wide, text)) < tolerance(precision))
    }
  }

  @Test(arguments: Kind.allCases)
  private func whetherGradientsAreRecordedChangesNoLogits(kind: Kind) throws {
    let model = try model(kind)
    for parameter in model.parameters.trainable { try parameter.value.requiresGrad_() }
    let img = try smallImages(1)
    let text = try texts(1, 9)
    let before = try model(img, text).detach()
    try model.prepareForInference()
    let without = try withoutGradients { try model(img, text) }
    #expect(try difference(without, before) < 2e-5)
    let recorded = try model(img, text).detach()
    #expect(try difference(recorded, before) < 2e-5)
    let saliency = try model(img.clone().requiresGrad_(), text).detach()
    #expect(try difference(saliency, before) < 2e-5)
  }

  @Test(arguments: Kind.allCases.filter { $0 != .zetascale })
  private func everyCachedStepOfUnequalTextsEqualsTheWholeText(kind: Kind) throws {
    for precision in [Precision.float32, .bfloat16] {
      let model = try prepared(kind, precision)
      let img = try smallImages(3)
      let prompts = [[3, 9, 2, 30], [7], [1, 47]]
      var options = GenerationOptions()
      options.maxNewTokens = 8
      let texts = try model.generate(img: img, prompts: prompts, options: options)
      for (row, text) in texts.map({ $0[0] }).enumerated() {
        let all = prompts[row] + text.tokens.dropLast()
        let one = try img.narrow(0, start: row, length: 1)
        let whole = try withoutGradients { try model(one, Tensor(all, shape: [1, all.count])) }
        let scores = try whole.to(dtype: .float32).logSoftmax()
        for (step, token) in text.tokens.enumerated() {
          let score = try scores.select(1, prompts[row].count - 1 + step).select(1, token).item(Float.self)
          // In bfloat16 what rounding makes of a difference in the last place is its own.
          #expect(
            abs(text.logProbabilities[step] - Double(score)) < (precision == .float32 ? 2e-5 : 0.01),
            "step \(step), row \(row)")
        }
      }
    }
  }

  @Test(arguments: [Precision.float32, .bfloat16, .int8])
  func manyPicturesAreEncodedAsEachAlone(precision: Precision) throws {
    let model = try model { $0.imageSize = 64 }
    try model.prepareForInference(precision)
    let pictures = try Tensor.rand([40, 3, 64, 64], generator: Generator(seed: 3))
    let together = try model.encode(pictures)
    let apart = try Tensor.cat((0..<40).map { try model.encode(pictures.narrow(0, start: $0, length: 1)) })
    #expect(together.shape == apart.shape)
    #expect(try together.array(of: Float.self) == apart.array(of: Float.self))
    #expect(try model.encode(pictures.permute([0, 2, 3, 1])).shape == together.shape)
  }

  @Test(arguments: Kind.allCases) private func aPreparedModelGeneratesTheSameTexts(kind: Kind) throws {
    let img = try smallImages(3)
    for beams in [1, 3] {
      var options = GenerationOptions()
      options.maxNewTokens = 8
      options.numBeams = beams
      let prompts = [[3, 9, 2], [7], [1, 47]]
      func generated(_ model: GPT4MultiModal) throws -> [[Int]] {
        try model.generate(img: img, prompts: prompts, options: options).map { $0[0].tokens }
      }
      #expect(try generated(prepared(kind)) == generated(model(kind)), "\(beams) beams")
    }
  }

  @Test func attentionMapsAreThoseOfTheUnpreparedModel() throws {
    for kind in [Kind.documented, .withoutCrossAttention, .withoutFlash] {
      let (plain, prepared) = (try model(kind), try prepared(kind))
      let img = try smallImages(2)
      let text = try texts(2, 6)
      try withoutGradients {
        let (_, maps) = try plain.encoder.withAttentionMaps(img)
        let (_, preparedMaps) = try prepared.encoder.withAttentionMaps(img)
        #expect(maps.count == preparedMaps.count && !maps.isEmpty)
        for (a, b) in zip(preparedMaps, maps) { #expect(try difference(a, b) < 1e-5) }
        let a = try prepared.decoder.output(text, context: prepared.encode(img), wantsAttentionMaps: true)
        let b = try plain.decoder.output(text, context: plain.encode(img), wantsAttentionMaps: true)
        #expect(a.attentionMaps.count == b.attentionMaps.count && !b.attentionMaps.isEmpty)
        for (a, b) in zip(a.attentionMaps, b.attentionMaps) { #expect(try difference(a, b) < 2e-5) }
        #expect(try difference(a.logits, b.logits) < 2e-5)
        #expect(try difference(a.logits, prepared(img, text)) < 2e-5)
      }
    }
  }

  @Test(arguments: [Kind.documented, .withAbsolutePositions, .withoutFlash, .zetascale], [false, true])
  private func piecesOfATextLookWhereTheWholeTextDoes(kind: Kind, isPrepared: Bool) throws {
    let model = try model(kind) { $0.maxSeqLen = 300 }
    if isPrepared { try model.prepareForInference() }
    let text = try texts(1, 290)
    try withoutGradients {
      let context = try model.encode(smallImages(1))
      let reading = try ContextAttention(model.decoder, text: text.array(of: Int.self), context: context)
      var pieces: [[Float]] = []
      while let piece = try reading.next() { pieces.append(piece) }
      #expect(pieces.map { $0.count / context.shape[1] } == (kind == .zetascale ? [290] : [128, 128, 34]))
      let maps = try model.decoder.output(text, context: context, wantsAttentionMaps: true).attentionMaps
      let whole = try Tensor.cat(maps.enumerated().filter { $0.offset % 2 == 1 }.map(\.element), dim: 1)
        .mean([0, 1])
      #expect(try difference(Tensor(pieces.flatMap { $0 }, shape: whole.shape), whole) < 2e-5)
    }
  }

  @Test func preparingTwiceIsRefused() throws {
    let model = try prepared(.documented, .bfloat16)
    for precision in Precision.allCases {
      let error = #expect(throws: ModelError.self) { try model.prepareForInference(precision) }
      #expect(
        error?.description
          == "the model is prepared for inference already: load it again for another precision")
    }
  }

  @Test(arguments: Precision.allCases) func aPreparedModelCanNeitherBeSavedNorTrained(precision: Precision)
    throws
  {
    let model = try model()
    for parameter in model.parameters.trainable { try parameter.value.requiresGrad_() }
    try model.prepareForInference(precision)
    #expect(throws: TorchError.self) { try model.parameters.tensors() }
    #expect(throws: TorchError.self) { try model.parameters.tensors(precision) }
    #expect(model.parameters.trainable.contains { $0.isReleased })
    #expect(throws: TorchError.self) {
      try model.parameters.addAdapters(rank: 1, alpha: 1, contents: .uninitialized)
    }
    #expect(throws: TorchError.self) {
      try AdamW(groups: [.init(parameters: model.parameters.trainable, weightDecay: 0)])
    }
    // How well it does can still be computed, but not learned from.
    let (img, text) = (try smallImages(2), try texts(2, 6))
    let loss = try model.loss(img: img, text: text)
    #expect(try loss.item(Float.self).isFinite)
    #expect(throws: TorchError.self) { try loss.backward() }
    func isRefused() {
      for call in [
        { try model.loss(img: img, text: text) }, { try model(img, text) }, { try model.encode(img) },
      ] {
        let error = #expect(throws: ModelError.self) { try call() }
        #expect(
          error?.description.hasPrefix("the model was prepared for inference, so it cannot be trained")
            == true)
      }
    }
    model.isTraining = true
    isRefused()
    model.isTraining = false
    for parameter in [
      try #require(model.parameters.trainable.first), try #require(model.parameters.trainable.last),
    ] {
      try parameter.value.requiresGrad_()
      isRefused()
      #expect(try withoutGradients { try model.loss(img: img, text: text) }.item(Float.self).isFinite)
      try parameter.value.requiresGrad_(false)
    }
    #expect(try model.loss(img: img, text: text).item(Float.self).isFinite)
  }

  @Test func errorsAreTheirSentenceWhereverTheyAreShown() {
    let error: any Error = ModelError("a sentence")
    #expect(error.localizedDescription == "a sentence")
  }

  #if canImport(Glibc)
    /// What belongs to a whole process is measured in a process of its own.
    @Test func theProcessKeepsItsAllocatorUnlessItAllowsOther() async {
      await #expect(processExitsWith: .success) {
        /// Whether 16 MB that are freed go back to the system at once, as glibc has it at first.
        func returnsMemory() -> Bool {
          let size = 16 << 20
          let memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
          memory.initializeMemory(as: UInt8.self, repeating: 1, count: size)
          let before = ProcessMemory.residentBytes
          memory.deallocate()
          return before - ProcessMemory.residentBytes > size / 2
        }
        try smallModel().prepareForInference()
        precondition(returnsMemory())
        LibTorch.tunesAllocator = true
        try smallModel().prepareForInference()
        precondition(!returnsMemory())
      }
    }
  #endif

  @Test(arguments: [true, false]) func checkpointedActivationsGiveTheSameGradients(crossAttend: Bool) throws {
    func step(_ checkpointed: Bool) throws -> (loss: Float, gradients: [[Float]]) {
      let model = try model {
        $0.crossAttend = crossAttend
        $0.ffDropout = 0.2
        $0.attnDropout = 0.1
        $0.encoderDepth = 2
      }
      for parameter in model.parameters.trainable { try parameter.value.requiresGrad_() }
      model.isTraining = true
      model.checkpointsActivations = checkpointed
      try manualSeed(4)
      let mask = try Tensor([true, true, true, true, true, true, true, false, false, false], shape: [2, 5])
      let loss = try model.loss(img: smallImages(2), text: texts(2, 5), mask: mask)
      try loss.backward()
      return (
        try loss.item(),
        try model.parameters.trainable.map { try #require(try $0.value.grad).array(of: Float.self) }
      )
    }
    let (plain, checkpointed) = (try step(false), try step(true))
    #expect(abs(plain.loss - checkpointed.loss) < 1e-5)
    for (a, b) in zip(plain.gradients, checkpointed.gradients) {
      #expect(zip(a, b).allSatisfy { abs($0 - $1) < 1e-5 })
    }
  }

  @Test(arguments: Precision.allCases) func modelsOfOddSizesCanBePrepared(precision: Precision) throws {
    for (dim, heads, tokens) in [(7, 1, 3), (1, 1, 2), (33, 2, 17), (40, 1, 33)] {
      func model() throws -> GPT4MultiModal {
        try smallModel(numTokens: tokens) {
          $0.encoderDim = dim
          $0.decoderDim = dim + 2
          $0.decoderHeads = heads
          $0.alibiNumHeads = 1
          $0.patchSize = 4
        }
      }
      let prepared = try model()
      try prepared.prepareForInference(precision)
      let text = try Tensor([0, 1, 1, 0], shape: [2, 2])
      let (a, b) = try withoutGradients {
        (try prepared(smallImages(2), text), try model()(smallImages(2), text))
      }
      #expect(try difference(a, b) < 2 * tolerance(precision), "dim \(dim)")
    }
  }
}

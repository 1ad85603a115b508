import Testing
import Torch

@testable import MultiModalModel

@Suite struct CacheTests {
  /// Every combination of the boolean parameters in both behaviours, where it exists.
  static let configurations: [Configuration] = {
    var all: [Configuration] = []
    for compatibility in Configuration.Compatibility.allCases {
      for bits in 0..<64 {
        var configuration = Configuration()
        configuration.compatibility = compatibility
        configuration.useAbsPosEmb = bits & 1 != 0
        configuration.crossAttend = bits & 2 == 0
        configuration.alibiPosBias = bits & 4 != 0
        configuration.rotaryXpos = bits & 8 != 0
        configuration.attnFlash = bits & 16 != 0
        configuration.qkNorm = bits & 32 != 0
        if compatibility == .documented || configuration.crossAttend { all.append(configuration) }
      }
    }
    return all
  }()

  private func model(_ booleans: Configuration) throws -> GPT4MultiModal {
    try smallModel {
      $0.compatibility = booleans.compatibility
      $0.useAbsPosEmb = booleans.useAbsPosEmb
      $0.crossAttend = booleans.crossAttend
      $0.alibiPosBias = booleans.alibiPosBias
      $0.rotaryXpos = booleans.rotaryXpos
      $0.attnFlash = booleans.attnFlash
      $0.qkNorm = booleans.qkNorm
    }
  }

  /// The last logits of a text, computed as a whole and alone.
  private func expected(_ model: GPT4MultiModal, _ img: Tensor, row: Int, _ text: [Int]) throws -> [Float] {
    let picture = try img.narrow(0, start: row, length: 1)
    let logits = try withoutGradients { try model(picture, Tensor(text, shape: [1, text.count])) }
    return try logits.select(1, text.count - 1).array(of: Float.self)
  }

  @Test(arguments: configurations)
  func everyStepOfABatchOfUnequalTextsEqualsEachTextAloneAndWhole(booleans: Configuration) throws {
    let model = try model(booleans)
    let img = try smallImages(2)
    let context = try withoutGradients { try model.encode(img) }
    for prompts in [[[1, 5, 3], [2, 4, 9]], [[1], [2, 4, 9, 11]]] {
      let session = DecodingSession(model, context: context, texts: prompts, overflow: .error)
      for step in 0..<5 {
        let logits = try session.logits().logits.array(of: Float.self)
        for row in 0..<2 {
          let alone = try expected(model, img, row: row, session.texts[row])
          let difference = zip(logits[row * 20..<(row + 1) * 20], alone).map { abs($0 - $1) }.max() ?? 0
          #expect(difference < 2e-5, "row \(row), step \(step)")
        }
        session.append([(3 * step + 7) % 20, (5 * step + 2) % 20])
      }
    }
  }

  @Test(arguments: configurations) func paddingOnTheRightChangesNoRealLogits(booleans: Configuration) throws {
    let model = try model(booleans)
    let img = try smallImages(2)
    let text = try Tensor([1, 5, 3, 8, 2, 4, 0, 0], shape: [2, 4])
    let mask = try Tensor([true, true, true, true, true, true, false, false], shape: [2, 4])
    let logits = try withoutGradients { try model(img, text, mask: mask) }
    let alone = try expected(model, img, row: 1, [2, 4])
    let padded = try logits.select(0, 1).select(0, 1).array(of: Float.self)
    #expect(zip(padded, alone).allSatisfy { abs($0 - $1) < 2e-5 })
  }

  @Test func rowsCanBeReorderedAndRepeated() throws {
    let model = try smallModel { $0.crossAttend = false }
    let img = try smallImages(2)
    let context = try withoutGradients { try model.encode(img) }
    let session = DecodingSession(model, context: context, texts: [[1], [2, 4, 9]], overflow: .error)
    _ = try session.logits()
    session.append([7, 8])
    _ = try session.logits()
    try session.reorder([1, 1])
    session.append([3, 6])
    let logits = try session.logits().logits.array(of: Float.self)
    for (row, text) in [[2, 4, 9, 8, 3], [2, 4, 9, 8, 6]].enumerated() {
      let alone = try expected(model, img, row: 1, text)
      #expect(zip(logits[row * 20..<(row + 1) * 20], alone).allSatisfy { abs($0 - $1) < 2e-5 })
    }
  }

  /// Padding may lie anywhere, before and after the cut.
  @Test(arguments: [true, false], [1, 2, 3, 5]) func aCachedTextMayHavePadding(crossAttend: Bool, cut: Int)
    throws
  {
    let model = try smallModel {
      $0.crossAttend = crossAttend
      $0.useAbsPosEmb = true
    }
    let text = try Tensor([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], shape: [2, 6])
    let real = [true, false, false, true, true, true, false, false, true, true, false, true]
    let mask = try Tensor(real, shape: [2, 6])
    try withoutGradients {
      let context = try model.encode(smallImages(2))
      let whole = try model.decoder(text, context: context, mask: mask)
      let cache = DecoderCache(capacity: 12)
      var parts: [Tensor] = []
      for (start, length) in [(0, cut), (cut, 6 - cut)] {
        parts.append(
          try model.decoder(
            text.narrow(1, start: start, length: length), context: context,
            mask: mask.narrow(1, start: start, length: length), cache: cache))
      }
      let difference = try (Tensor.cat(parts, dim: 1) - whole).abs()
        .maskedFill(mask.logicalNot().unsqueeze(2), 0)
      #expect(try difference.amax().item(Float.self) < 2e-5)
    }
  }

  @Test func aCacheThatCannotBeExactIsRefused() throws {
    let model = try smallModel { $0.compatibility = .zetascale }
    let context = try withoutGradients { try model.encode(smallImages(1)) }
    #expect(throws: ModelError.self) {
      try model.decoder(Tensor([1, 2], shape: [1, 2]), context: context, cache: DecoderCache(capacity: 4))
    }
  }

  @Test func generationRecordsNoGradients() throws {
    let model = try smallModel()
    for parameter in model.parameters.trainable { try parameter.value.requiresGrad_() }
    let context = try withoutGradients { try model.encode(smallImages(1)) }
    let session = DecodingSession(model, context: context, texts: [[1, 2]], overflow: .error)
    let logits = try session.logits().logits
    #expect(!logits.requiresGrad)
  }

  @Test func beamsThatChangePlacesStayInTheSameBuffers() throws {
    let model = try smallModel()
    let context = try withoutGradients { try model.encode(smallImages(2)) }
    let cache = DecoderCache(capacity: 4)
    _ = try withoutGradients {
      try model.decoder(Tensor([1, 2], shape: [2, 1]), context: context, cache: cache)
    }
    let before = cache.selfAttention.map(\.keys)
    let crossBefore = cache.crossAttention.map(\.keys)
    let rows = try before[0].select(2, 0).array(of: Float.self)
    try cache.reorder(Tensor([1, 0]), keepsContexts: true)
    #expect(zip(before, cache.selfAttention).allSatisfy { $0 === $1.keys })
    #expect(zip(crossBefore, cache.crossAttention).allSatisfy { $0 === $1.keys })
    let swapped = try cache.selfAttention[0].keys.select(2, 0).array(of: Float.self)
    #expect(swapped == Array(rows.suffix(rows.count / 2) + rows.prefix(rows.count / 2)))
  }

  @Test func aPrefixsLogitsDoNotDependOnWhatFollows() throws {
    let model = try smallModel()
    let img = try smallImages(1)
    let long = try withoutGradients { try model(img, Tensor([1, 2, 3, 4, 5, 6], shape: [1, 6])) }
    let short = try withoutGradients { try model(img, Tensor([1, 2, 3], shape: [1, 3])) }
    let difference = try (long.narrow(1, start: 0, length: 3) - short).abs().amax().item(Float.self)
    #expect(difference < 2e-5)
  }
}

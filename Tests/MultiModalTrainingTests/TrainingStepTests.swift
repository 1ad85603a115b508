import Foundation
import MultiModalModel
import MultiModalPipeline
import TestSupport
import Testing
import Torch

@testable import MultiModalTraining

@Suite struct TrainingStepTests {
  private func model() throws -> GPT4MultiModal {
    let model = try GPT4MultiModal(
      imageSize: 16, patchSize: 8, encoderDim: 32, encoderDepth: 1, encoderHeads: 1, numTokens: 20,
      maxSeqLen: 12,
      decoderDim: 32, decoderDepth: 2, decoderHeads: 2, alibiNumHeads: 1, seed: 3)
    for parameter in model.parameters.trainable { try parameter.value.requiresGrad_() }
    return model
  }

  private func step(
    _ model: GPT4MultiModal, precision: TrainingPrecision = .float32, clipNorm: Double? = nil,
    labelSmoothing: Double = 0
  ) throws -> TrainingStep {
    let optimizer = try AdamW(groups: [.init(parameters: model.parameters.trainable, weightDecay: 0.01)])
    return TrainingStep(
      model, optimizer, precision: precision, clipNorm: clipNorm, labelSmoothing: labelSmoothing, device: .cpu
    )
  }

  /// Rows of texts, the first `given` tokens of which are not learned.
  private func batch(rows: Range<Int>, given: [Int]) throws -> Batch {
    let images = try Tensor.randn([6, 3, 16, 16], generator: Generator(seed: 1))
    let all = (0..<6).map { row in (0..<7).map { (5 * row + 3 * $0 + row * $0) % 20 } }
    let ignored = ignoreIndex
    let targets = rows.map { row in (1..<7).map { $0 <= given[row] ? ignored : all[row][$0] } }
    return Batch(
      images: try images.narrow(0, start: rows.lowerBound, length: rows.count),
      text: try Tensor(rows.flatMap { all[$0] }, shape: [rows.count, 7]), mask: nil,
      targets: try Tensor(targets.flatMap { $0 }, shape: [rows.count, 6]),
      targetCount: targets.flatMap { $0 }.count { $0 != ignored })
  }

  private func weights(_ model: GPT4MultiModal) throws -> [[Float]] {
    try model.parameters.trainable.map { try $0.value.array(of: Float.self) }
  }

  private func gradients(_ model: GPT4MultiModal) throws -> [[Float]] {
    try model.parameters.trainable.map {
      let gradient = try $0.value.grad
      return try #require(gradient).array(of: Float.self)
    }
  }

  private func largestDifference(_ a: [[Float]], _ b: [[Float]]) -> Float {
    zip(a, b).flatMap { zip($0, $1).map { abs($0 - $1) } }.max() ?? .infinity
  }

  @Test func aPreparedModelIsNotTrained() throws {
    let model = try model()
    let step = try step(model, clipNorm: 1)
    let batch = try batch(rows: 0..<2, given: [0, 0, 0, 0, 0, 0])
    try model.prepareForInference()
    for parameter in model.parameters.trainable { try parameter.value.requiresGrad_() }
    let error = #expect(throws: ModelError.self) { try step([batch], learningRate: 1e-3) }
    #expect(error?.description.contains("cannot be trained") == true)
    #expect(throws: ModelError.self) { try step.loss(batch) }
    #expect(throws: TorchError.self) { try self.step(model) }
  }

  @Test func errorsAreTheirSentenceWhereverTheyAreShown() {
    let error: any Error = TrainingError("a sentence")
    #expect(error.localizedDescription == "a sentence")
  }

  @Test func batchesAddUpToOneBatchOfAllWhateverTheirTargets() throws {
    let given = [0, 5, 1, 4, 0, 3]
    let (one, several) = (try model(), try model())
    let (whole, accumulated) = (try step(one, clipNorm: 1), try step(several, clipNorm: 1))
    let parts = [0..<1, 1..<4, 4..<6]
    for _ in 0..<2 {
      let a = try whole([batch(rows: 0..<6, given: given)], learningRate: 1e-3)
      let b = try accumulated(parts.map { try batch(rows: $0, given: given) }, learningRate: 1e-3)
      #expect(abs(a.loss - b.loss) < 1e-5)
      #expect(try abs(#require(a.gradientNorm) - #require(b.gradientNorm)) < 1e-4)
      #expect(try largestDifference(gradients(one), gradients(several)) < 1e-5)
    }
    #expect(try largestDifference(weights(one), weights(several)) < 1e-5)
    #expect(try largestDifference(weights(one), weights(model())) > 1e-4)
  }

  @Test func bfloat16IsNearFloat32AndLeavesWeightsFloat32() throws {
    let given = [0, 0, 0, 0, 0, 0]
    let (narrow, wide) = (try model(), try model())
    let batches = [try batch(rows: 0..<6, given: given)]
    let a = try step(narrow, precision: .bfloat16, clipNorm: 1)(batches, learningRate: 1e-3)
    let b = try step(wide, clipNorm: 1)(batches, learningRate: 1e-3)
    // A CPU that does not multiply bfloat16 computes in float32.
    #expect((a.loss != b.loss) == LibTorch.multipliesBFloat16 && abs(a.loss - b.loss) < 0.02 * b.loss)
    #expect(try abs(#require(a.gradientNorm) / #require(b.gradientNorm) - 1) < 0.1)
    for parameter in narrow.parameters.trainable {
      #expect(try parameter.value.dtype == .float32)
      let gradient = try parameter.value.grad
      #expect(try gradient?.dtype == .float32, "\(parameter.name)")
    }
    // Nothing goes on being computed in bfloat16.
    let x = try Tensor.ones([2, 2])
    #expect(try x.matmul(x).dtype == .float32)
  }

  @Test(arguments: TrainingPrecision.allCases)
  func checkpointedActivationsTrainTheSame(precision: TrainingPrecision) throws {
    let given = [0, 1, 2, 3, 0, 1]
    let (plain, checkpointed) = (try model(), try model())
    checkpointed.checkpointsActivations = true
    let batches = [try batch(rows: 0..<3, given: given), try batch(rows: 3..<6, given: given)]
    let a = try step(plain, precision: precision)(batches, learningRate: 1e-3)
    let b = try step(checkpointed, precision: precision)(batches, learningRate: 1e-3)
    #expect(abs(a.loss - b.loss) < (precision == .float32 ? 1e-5 : 0.01))
    #expect(
      try largestDifference(gradients(plain), gradients(checkpointed)) < (precision == .float32 ? 1e-5 : 0.02)
    )
  }

  @Test func aStepThatIsNotFiniteChangesNothing() throws {
    let model = try model()
    let before = try weights(model)
    let batch = try batch(rows: 0..<2, given: [0, 0])
    let first = try #require(model.parameters.trainable.first { $0.name.hasSuffix("to_logits.bias") })
    let kept = try first.value.detach().clone()
    try withoutGradients { _ = try first.value.fill_(.nan) }
    let result = try step(model, clipNorm: 1)([batch], learningRate: 1)
    #expect(!result.loss.isFinite)
    try withoutGradients { _ = try first.value.copy_(kept) }
    #expect(try weights(model) == before)
    #expect(!model.isTraining)
  }

  @Test func aBatchWithoutTargetsAddsNothing() throws {
    let given = [0, 0, 6, 6, 0, 0]
    let (one, two) = (try model(), try model())
    let a = try step(one)([batch(rows: 0..<2, given: given)], learningRate: 1e-3)
    let b = try step(two)(
      [batch(rows: 0..<2, given: given), batch(rows: 2..<4, given: given)], learningRate: 1e-3)
    #expect(abs(a.loss - b.loss) < 1e-6)
    #expect(try largestDifference(weights(one), weights(two)) < 1e-6)
  }

  @Test func validationComputesAsTrainingDoes() throws {
    let model = try model()
    let batch = try batch(rows: 0..<4, given: [0, 1, 2, 3])
    for precision in TrainingPrecision.allCases {
      let step = try step(model, precision: precision)
      let plain = try step.loss(batch)
      let without = try withoutGradients { try step.loss(batch) }
      #expect(try plain.dtype == .float32 && without.dtype == .float32)
      #expect(abs(try plain.item(Float.self) - without.item(Float.self)) < 0.02)
    }
  }
}

extension TrainingStepTests {
  @Test func smoothedTargetsGiveEveryTokenAShare() throws {
    let (smooth, smoothing) = (try model(), 0.2)
    let batch = try batch(rows: 0..<4, given: [0, 1, 2, 3])
    let logits = try withoutGradients { try smooth(batch.images, batch.text) }
    let logs = try logits.logSoftmax().array(of: Float.self).map(Double.init)
    let targets = try batch.targets.array(of: Int.self)
    var expected = 0.0
    for (place, target) in targets.enumerated() where target != ignoreIndex {
      let row = 20 * (place / 6 * 7 + place % 6)
      let mean = logs[row..<row + 20].reduce(0, +) / 20
      expected -= (1 - smoothing) * logs[row + target] + smoothing * mean
    }
    expected /= Double(batch.targetCount)
    let step = try step(smooth, labelSmoothing: smoothing)
    // What is validated has no smoothing.
    let plain = try withoutGradients { try step.loss(batch).item(Float.self) }
    let loss = try step([batch], learningRate: 1e-3).loss
    #expect(abs(loss - expected) < 1e-5)
    #expect(abs(Double(plain) - expected) > 1e-4)
  }
}

@Suite struct TrainingSettingsTests {
  private func read(_ json: String) throws -> TrainingConfiguration {
    let folder = try TemporaryFolder()
    try folder.write(json, "config.json")
    return try TrainingConfiguration(contentsOf: folder.url.appendingPathComponent("config.json"))
  }

  @Test func howAStepComputesIsRead() throws {
    let plain = try read("{}").training
    #expect(
      plain.gradientAccumulationSteps == 1 && plain.precision == .float32 && !plain.activationCheckpointing)
    let settings = try read(
      #"{"training": {"gradient_accumulation_steps": 4, "precision": "bfloat16", "activation_checkpointing": true}}"#
    ).training
    #expect(settings.gradientAccumulationSteps == 4)
    #expect(settings.precision == .bfloat16)
    #expect(settings.activationCheckpointing)
    let again = try JSONDecoder().decode(
      TrainingConfiguration.Training.self, from: JSONEncoder().encode(settings))
    #expect(again == settings)
  }

  @Test(arguments: [
    (
      #"{"gradient_accumulation_steps": 0}"#, "training.gradient_accumulation_steps must be at least 1, got 0"
    ),
    (
      #"{"gradient_accumulation_steps": -2}"#,
      "training.gradient_accumulation_steps must be at least 1, got -2"
    ),
    (
      #"{"gradient_accumulation_steps": 1000001}"#,
      "training.gradient_accumulation_steps must be at most 1000000, got 1000001"
    ),
    (#"{"gradient_accumulation_steps": "two"}"#, "gradient_accumulation_steps must be a whole number"),
    (#"{"activation_checkpointing": 3}"#, "training.activation_checkpointing must be true or false"),
    (#"{"precision": 16}"#, "training.precision must be one of float32, bfloat16, got 16"),
    (#"{"precision": "int8"}"#, "training.precision"),
    (#"{"precision": "float16"}"#, "training.precision"),
    (#"{"gradient_accumulation": 2}"#, "training.gradient_accumulation is not known"),
  ])
  func aWrongOneIsNamed(json: String, message: String) throws {
    let error = #expect(throws: (any Error).self) { try read(#"{"training": \#(json)}"#) }
    #expect("\(error as Any)".contains(message), "\(error as Any)")
  }
}

@Suite struct EvaluationLossTests {
  @Test func theLossIsTheMeanOverAllTokensOfTheFolder() async throws {
    let folder = try TemporaryFolder()
    let texts = [("a", "red square"), ("b", "blue"), ("c", "a green square and more")]
    var lines = ""
    for (index, (name, text)) in texts.enumerated() {
      let pixels: [UInt8] = (0..<256).flatMap { _ in [UInt8(40 * index), 100, 200] }
      try Picture(height: 16, width: 16, channels: 3, pixels: pixels).png()
        .write(to: folder.url.appendingPathComponent("\(name).png"))
      let prompt = index == 1 ? #""prompt": "say", "# : ""
      lines += #"{"file_name": "\#(name).png", \#(prompt)"text": "\#(text)"}"# + "\n"
    }
    try folder.write(lines, "metadata.jsonl")
    let bundle = try SmallBundle(
      texts: texts.map(\.1) + ["say"], vocabularySize: 280, width: 32, longestText: 40)
    let (tokenizer, processor) = (bundle.tokenizer, bundle.processor)
    let place = folder.url.appendingPathComponent("model")
    try bundle.write(to: place)

    let model = try ModelFolder(place).model()
    var (total, count) = (0.0, 0)
    let data = try ImageFolder(folder.url)
    for sample in try data.all() {
      let given = try GenerationSettings([:], tokenizer: tokenizer).prompt(sample.prompt, by: tokenizer)
      let tokens = try given + tokenizer.encodeTarget(sample.text)
      let logits = try withoutGradients {
        try model.forward(
          img: Tensor(processor(Picture(contentsOf: #require(sample.picture.file)))),
          text: Tensor(tokens, shape: [1, tokens.count]))
      }
      let logProbabilities = try logits.logSoftmax().array(of: Float.self)
      for position in given.count..<tokens.count {
        total -= Double(logProbabilities[(position - 1) * tokenizer.vocabularySize + tokens[position]])
        count += 1
      }
    }
    let expected = total / Double(count)
    for batchSize in [1, 2, 16] {
      var seen: [Int] = []
      let loss = try await Evaluation.loss(of: ModelFolder(place), on: data, batchSize: batchSize) {
        done, all in
        #expect(all == 3)
        seen.append(done)
      }
      #expect(abs(loss - expected) < 1e-4)
      #expect(seen.last == 3)
    }
    for (precision, tolerance) in [
      (Precision.bfloat16, 0.02), (.int8, 0.05), (.int8WeightOnly, 0.02), (.int4WeightOnly, 0.3),
    ] {
      let loss = try await Evaluation.loss(of: ModelFolder(place), on: data, precision: precision)
      #expect(abs(loss - expected) < tolerance, "\(precision)")
    }
  }
}

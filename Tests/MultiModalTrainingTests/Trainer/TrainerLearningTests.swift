import Foundation
import MultiModalModel
import MultiModalPipeline
import Testing
import Torch

@testable import MultiModalTraining

extension TrainerTests {
  /// What of the model is learned, and what becomes of it.
  @Suite struct LearningTests {
    private func part(_ name: String, _ run: TemporaryFolder, step: Int) throws -> [String: [Float]] {
      try weights(Checkpoint.url(step: step, in: run.url).appendingPathComponent(name))
    }

    @Test func theAverageFollowsItsFormulaAndIsWhatIsValidatedAndLeft() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      let settings = smallSettings {
        $0.training.emaDecay = 0.75
        $0.training.epochs = 2
        $0.training.checkpointEvery = 1
        $0.training.keepCheckpoints = 100
        $0.training.learningRate = 1e-2
      }
      let events = try await train(data, run, settings)
      for step in 2...4 {
        let before = try part(Checkpoint.averageName, run, step: step - 1)
        let values = try part(Checkpoint.parametersName, run, step: step)
        let after = try part(Checkpoint.averageName, run, step: step)
        let expected = before.mapValues { $0.map { 0.75 * $0 } }.merging(values) { old, new in
          zip(old, new).map { $0 + 0.25 * $1 }
        }.filter { before.keys.contains($0.key) }
        #expect(largestDifference(after, expected) < 1e-6)
        #expect(largestDifference(after, before) > 1e-4)
      }
      let left = try weights(run.file("model.safetensors"))
      var expected = try part(Checkpoint.parametersName, run, step: 4)
      #expect(left != expected)
      expected.merge(try part(Checkpoint.averageName, run, step: 4)) { $1 }
      #expect(left == expected)
      let validated = events.compactMap { if case .validated(_, let loss, _, _) = $0 { loss } else { nil } }
      let loss = try await Evaluation.loss(
        of: ModelFolder(run.url), on: Datasets.open(data.file("validation")))
      #expect(validated.count == 1 && abs(validated[0] - loss) < 1e-4)
    }

    @Test func aResumedAverageIsThatOfAnUnbrokenRun() async throws {
      let (data, whole, broken) = (try squares(), try TemporaryFolder(), try TemporaryFolder())
      let settings = smallSettings {
        $0.training.emaDecay = 0.9
        $0.training.generatedSamples = 0
      }
      try await train(data, whole, settings)
      try await train(data, broken, settings, cancelAfter: 5)
      #expect(Checkpoint.latest(in: broken.url)?.lastPathComponent == "checkpoint-6")
      try await train(data, broken, settings, resume: true)
      #expect(try weights(whole.file("model.safetensors")) == weights(broken.file("model.safetensors")))
      for name in [Checkpoint.averageName, Checkpoint.parametersName] {
        #expect(try part(name, whole, step: 12) == part(name, broken, step: 12))
      }
    }

    @Test func frozenPartsStayAsTheyAre() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      let training = try TrainingRun(
        data: data.url, folder: run.url,
        configuration: smallSettings {
          $0.training.freeze = ["encoder", "decoder.to_logits.bias"]
          $0.training.generatedSamples = 0
        }, resume: false)
      let isFrozen = { (name: String) in name.hasPrefix("encoder.") || name == "decoder.to_logits.bias" }
      let before = try weights(training.trainer.model.parameters.trainable)
      let frozen = before.keys.filter(isFrozen)
      #expect(frozen.count > 5)
      #expect(training.trainer.learned.allSatisfy { !isFrozen($0.name) })
      _ = try await training.train()
      for (name, values) in try weights(training.trainer.model.parameters.trainable) {
        #expect((values == before[name]) == isFrozen(name), "\(name)")
      }
    }

    @Test(arguments: [
      (["encoders"], "training.freeze names encoders, which no parameter's name begins with: give "),
      (["encoder.nothing"], "training.freeze names encoder.nothing"),
      (["enc"], "training.freeze names enc,"),
      (["encoder", "decoder", "encoder_to_decoder"], "training.freeze"),
    ])
    func whatCannotBeFrozenIsNamed(parts: [String], message: String) throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      let sentence = refusal {
        try TrainingRun(
          data: data.url, folder: run.url, configuration: smallSettings { $0.training.freeze = parts },
          resume: false)
      }
      #expect(sentence.contains(message), "\(sentence)")
    }

    // MARK: Beginning with a model

    private func base(_ data: TemporaryFolder) async throws -> TemporaryFolder {
      let folder = try TemporaryFolder()
      try await train(
        data, folder,
        smallSettings {
          $0.training.epochs = 2
          $0.training.generatedSamples = 0
        })
      return folder
    }

    private func plain(_ change: (inout TrainingConfiguration.Training) -> Void = { _ in })
      -> TrainingConfiguration
    {
      var settings = TrainingConfiguration()
      settings.training = smallSettings().training
      settings.training.generatedSamples = 0
      change(&settings.training)
      return settings
    }

    @Test func aRunBeginsWithAModelsWeightsTokenizerAndPictures() async throws {
      let data = try squares()
      let base = try await base(data)
      let run = try TemporaryFolder()
      let training = try TrainingRun(
        data: data.url, folder: run.url, configuration: plain(), resume: false, from: base.url)
      let expected = try weights(base.file("model.safetensors"))
      #expect(
        try weights(training.trainer.model.parameters.parameters).filter { expected[$0.key] != nil }
          == expected)
      #expect(training.trainer.bundle.tokenizer.files == (try ModelFolder(base.url).tokenizer().files))
      #expect(training.trainer.configuration.image == (try ModelFolder(base.url).processor().configuration))
      #expect(
        training.trainer.configuration.model == ModelConfiguration(try ModelFolder(base.url).configuration()))
      _ = try await training.train()
      #expect(try weights(run.file("model.safetensors")) != expected)

      let other = try TemporaryFolder()
      let sentence = refusal {
        try TrainingRun(
          data: data.url, folder: other.url,
          configuration: smallSettings { $0.changeModel { $0.decoderDim = 64 } },
          resume: false, from: base.url)
      }
      #expect(sentence.hasPrefix("the settings of \"model\" are others than those of \(base.url.path)"))
      // The same settings may be given.
      _ = try TrainingRun(
        data: data.url, folder: other.url, configuration: smallSettings(), resume: false, from: base.url)
    }

    @Test func anEvaluationNeedsSamplesAndBatches() async throws {
      let data = try squares()
      let base = try await base(data)
      let (captioner, folder) = (try Captioner(contentsOf: base.url), try ModelFolder(base.url))
      let dataset = try Datasets.open(data.file("validation"))
      for (samples, size, sentence) in [
        (SampleList([]), 16, "/list names no picture to evaluate with"),
        (dataset, 0, "the batch size must be at least 1, got 0"),
        (dataset, -1, "the batch size must be at least 1, got -1"),
      ] as [(any Dataset, Int, String)] {
        var error = await #expect(throws: TrainingError.self) {
          try await Evaluation.loss(of: folder, on: samples, batchSize: size)
        }
        #expect(error?.description == sentence)
        error = await #expect(throws: TrainingError.self) {
          try await Evaluation.run(captioner, on: samples, batchSize: size)
        }
        #expect(error?.description == sentence)
      }
    }

    @Test func weightsOf16BitsAreTrainedInFloat32() async throws {
      let (data, base, run) = (try squares(), try TemporaryFolder(), try TemporaryFolder())
      try await train(
        data, base,
        smallSettings {
          $0.training.epochs = 1
          $0.training.weights = .bfloat16
        })
      let stored = try Safetensors.read(base.file("model.safetensors")).tensors
      #expect(try #require(stored["decoder.to_logits.bias"]).dtype == .bfloat16)
      let training = try TrainingRun(
        data: data.url, folder: run.url, configuration: plain(), resume: false, from: base.url)
      for parameter in training.trainer.learned { #expect(try parameter.value.dtype == .float32) }
      let own = try weights(training.trainer.model.parameters.parameters)
      #expect(try own.filter { stored[$0.key] != nil } == weights(base.file("model.safetensors")))
    }

    @Test func aModelThatIsQuantisedIsNoBeginning() async throws {
      let data = try squares()
      let base = try await base(data)
      let (other, run) = (try TemporaryFolder(), try TemporaryFolder())
      try ModelFolder(base.url).quantized(.int8, to: other.file("int8"))
      let sentence = refusal {
        try TrainingRun(
          data: data.url, folder: run.url, configuration: plain(), resume: false, from: other.file("int8"))
      }
      #expect(sentence.hasSuffix("is quantised: begin with the folder it was made from"), "\(sentence)")
    }

    @Test func adaptersAloneAreLearnedAndAddUpToTheModel() async throws {
      let data = try squares()
      let base = try await base(data)
      let (run, merged, broken) = (try TemporaryFolder(), try TemporaryFolder(), try TemporaryFolder())
      let settings = plain {
        $0.lora.rank = 2
        $0.lora.alpha = 6
        $0.lora.layers = ["to_q", "ff"]
        $0.learningRate = 1e-2
        $0.emaDecay = 0.5
      }
      let refused = plain { $0.lora = .init(rank: 2, alpha: 6, layers: ["to_x"]) }
      let other = try TemporaryFolder()
      let sentence = refusal {
        try TrainingRun(
          data: data.url, folder: other.url, configuration: refused, resume: false, from: base.url)
      }
      #expect(sentence.contains("no linear layer is named to_x: there are "), "\(sentence)")
      let known = sentence.components(separatedBy: "there are ").last?.components(separatedBy: ", ") ?? []
      var chosen = settings
      chosen.training.lora.layers = Array(known.prefix(2))

      try await train(data, run, chosen, from: base.url)
      let expected = try weights(base.file("model.safetensors"))
      let last = try part(Checkpoint.parametersName, run, step: 12)
      let adapters = last.filter { $0.key.contains(".lora_") }
      #expect(!adapters.isEmpty)
      #expect(last.filter { expected[$0.key] != nil } == expected)
      #expect(adapters.filter { $0.key.contains("lora_B") }.values.allSatisfy { $0.contains { $0 != 0 } })
      #expect(try Set(part(Checkpoint.averageName, run, step: 12).keys) == Set(adapters.keys))

      let left = try weights(run.file("model.safetensors"))
      #expect(left.keys.sorted() == expected.keys.sorted())
      #expect(largestDifference(left, expected) > 1e-4)
      try AdapterFolder.merge(run.file("adapter"), into: ModelFolder(base.url), to: merged.file("model"))
      #expect(largestDifference(try weights(merged.file("model/model.safetensors")), left) < 1e-6)

      try await train(data, broken, chosen, from: base.url, cancelAfter: 6)
      try await train(data, broken, chosen, resume: true)
      #expect(try weights(broken.file("model.safetensors")) == left)

      // What cannot be merged is named.
      func refusedMerge(_ adapter: URL, to: URL) -> String {
        refusal { try AdapterFolder.merge(adapter, into: ModelFolder(base.url), to: to) }
      }
      #expect(refusedMerge(base.url, to: merged.file("x")).contains("adapter_config.json cannot be read"))
      #expect(refusedMerge(run.file("adapter"), to: base.url).contains("is the model's own folder"))
      try ModelFolder(base.url).quantized(.int8, to: merged.file("int8"))
      #expect(
        refusal {
          try AdapterFolder.merge(
            run.file("adapter"), into: ModelFolder(merged.file("int8")), to: merged.file("x"))
        }.contains("the model was prepared for inference"))
      var tensors = try Safetensors.read(run.file("adapter/adapter_model.safetensors")).tensors
      _ = tensors.popFirst()
      try Safetensors.write(tensors.map { ($0, $1) }, to: run.file("adapter/adapter_model.safetensors"))
      #expect(
        refusedMerge(run.file("adapter"), to: merged.file("x")).contains("has adapters of other layers"))
      try run.write("{}", "adapter/adapter_config.json")
      #expect(refusedMerge(run.file("adapter"), to: merged.file("x")).contains("r is missing"))
    }
  }
}

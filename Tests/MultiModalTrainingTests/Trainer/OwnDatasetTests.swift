import Foundation
import MultiModalModel
import MultiModalPipeline
import Synchronization
import TestSupport
import Testing
import Torch

@testable import MultiModalTraining

extension TrainerTests {
  /// Samples that lie in no file.
  @Suite struct OwnDatasetTests {
    /// Squares as pixels, in two parts.
    private func colours() -> SampleList {
      let samples = [
        ("red", [255, 0, 0]), ("green", [0, 160, 0]), ("blue", [0, 0, 255]), ("grey", [90, 90, 90]),
      ]
      .map { (name: String, colour: [UInt8]) in
        Sample(
          picture: StoredPicture(
            name: name,
            decoded: {
              try Picture(height: 16, width: 16, channels: 3, pixels: (0..<256).flatMap { _ in colour })
            }), text: name)
      }
      return SampleList(shards: [Array(samples[..<1]), Array(samples[1...])])
    }

    private func bundle() throws -> ModelBundle {
      let small = try SmallBundle(texts: ["red", "green", "blue", "grey"], vocabularySize: 270, width: 32)
      return try ModelBundle(model: small.model, tokenizer: small.tokenizer, processor: small.processor)
    }

    private func settings(_ change: (inout TrainingConfiguration) -> Void = { _ in }) -> TrainingConfiguration
    {
      smallSettings {
        $0.augmentation = nil
        $0.training.epochs = 40
        $0.training.learningRate = 5e-3
        $0.training.validationEvery = 40
        change(&$0)
      }
    }

    @Test func aBundlesModelLearnsWhatADatasetGives() async throws {
      let trainer = try Trainer(bundle(), on: colours(), validation: colours(), configuration: settings())
      var losses: [Double] = []
      try await trainer.train {
        if case .validated(_, let loss, _, _) = $0 { losses.append(loss) }
      }
      #expect(losses.count == 2)
      #expect(try #require(losses.last) < 0.5 * #require(losses.first))
      #expect(trainer.bundle.generation.prompts == [""])
      let folder = try TemporaryFolder()
      try ModelFolder.write(trainer.bundle, to: folder.url)
      let evaluation = try await Evaluation.run(Captioner(contentsOf: folder.url), on: colours())
      #expect(evaluation.metrics.exactMatch == 1)
    }

    /// The loss and texts of the last validation are those of the model that is left.
    @Test(arguments: [0, 0.5]) func theModelThatIsLeftIsTheOneThatWasValidated(decay: Double) async throws {
      let trainer = try Trainer(
        bundle(), on: colours(), validation: colours(),
        configuration: settings { $0.training.emaDecay = decay })
      var last: Evaluation?
      try await trainer.train { if case .validated(_, _, let evaluation, _) = $0 { last = evaluation } }
      let folder = try TemporaryFolder()
      try ModelFolder.write(trainer.bundle, to: folder.url)
      let evaluation = try await Evaluation.run(Captioner(contentsOf: folder.url), on: colours())
      let validated = try #require(last)
      #expect(Set(validated.results.map(\.generated)) == Set(evaluation.results.map(\.generated)))
      #expect(validated.metrics.exactMatch == evaluation.metrics.exactMatch)
    }

    @Test func whatIsTrainedToTheEndStaysAsItIs() async throws {
      let trainer = try Trainer(
        bundle(), on: colours(),
        configuration: settings {
          $0.training.epochs = 2
          $0.training.emaDecay = 0.9
          $0.training.lora.rank = 2
        })
      try await trainer.train()
      let before = try weights(trainer.model.parameters.parameters)
      try await trainer.train()
      #expect(try weights(trainer.model.parameters.parameters) == before)
    }

    @Test func aRunOnADatasetGoesOnWhereItWasStopped() async throws {
      let (whole, broken) = (try TemporaryFolder(), try TemporaryFolder())
      let settings = settings { $0.training.epochs = 6 }
      let data = colours()
      @Sendable func run(_ folder: URL, resume: Bool = false) throws -> TrainingRun {
        try TrainingRun(
          on: data, validation: data, folder: folder, configuration: settings, resume: resume)
      }
      _ = try await run(whole.url).train()
      let interrupted = Task { [folder = broken.url] in
        _ = try await run(folder).train {
          if case .step(let progress) = $0, progress.step == 5 { withUnsafeCurrentTask { $0?.cancel() } }
        }
      }
      await #expect(throws: CancellationError.self) { try await interrupted.value }
      _ = try await run(broken.url, resume: true).train()
      #expect(try weights(broken.file("model.safetensors")) == weights(whole.file("model.safetensors")))
    }

    /// Samples that come slowly when they are asked to, like those of a large set.
    private final class SlowList: Dataset {
      let list: SampleList
      let isSlow = Mutex(false)
      var name: String { list.name }

      init(_ list: SampleList) { self.list = list }

      func samples(ofShard shard: Int) throws -> () throws -> Sample? {
        let next = try list.samples(ofShard: shard)
        return { [self] in
          if isSlow.withLock({ $0 }) { usleep(10_000) }
          return try next()
        }
      }
    }

    @Test func aStopIsHeardWhileARunThatGoesOnReadsUpToItsPlace() async throws {
      let run = try TemporaryFolder()
      let (folder, data) = (
        run.url, SlowList(SampleList(Array(repeating: colours().parts[1], count: 40).flatMap { $0 }))
      )
      let settings = settings {
        $0.data.shuffleBuffer = 1
        $0.training.epochs = 1
        $0.training.batchSize = 2
      }
      /// - Returns: the steps that were taken
      @Sendable func stopped(resume: Bool, after isDue: (Trainer.Event) -> Bool) async throws -> [Int] {
        var steps: [Int] = []
        do {
          let run = try TrainingRun(on: data, folder: folder, configuration: settings, resume: resume)
          data.isSlow.withLock { $0 = resume }
          _ = try await run.train {
            if case .step(let progress) = $0 { steps.append(progress.step) }
            if isDue($0) { withUnsafeCurrentTask { $0?.cancel() } }
          }
          Issue.record("it went on to the end")
        } catch is CancellationError {}
        return steps
      }
      let first = Task {
        try await stopped(resume: false) {
          if case .step(let progress) = $0 { progress.step == 40 } else { false }
        }
      }
      #expect(try await first.value == Array(1...41))
      let began = ContinuousClock.now
      let second = Task {
        try await stopped(resume: true) { if case .began = $0 { true } else { false } }
      }
      #expect(try await second.value == [])
      #expect(.now - began < .seconds(0.7))
      #expect(Checkpoint.latest(in: folder)?.lastPathComponent == "checkpoint-41")
    }

    @Test func whatCannotBeTrainedWithIsSaidBefore() throws {
      #expect(refusal { try Trainer(bundle(), on: SampleList([])) } == "/list names no picture")
      let one = SampleList([colours().parts[0][0]])
      #expect(
        refusal {
          try Trainer(bundle(), on: one, configuration: settings { $0.data.validationShare = 0.9 })
        } == "data.validation_share 0.9 leaves no picture of /list to train on: lower it or give more")
      let long = Sample(picture: colours().parts[0][0].picture, text: String(repeating: "x ", count: 40))
      #expect(
        refusal { try Trainer(bundle(), on: SampleList([long])) }.hasPrefix("the text of red has 162 tokens"))
    }
  }
}

import Foundation
import MultiModalPipeline
import Testing

@testable import MultiModalTraining

extension TrainerTests {
  @Suite struct TrialTests {
    @Test func theFirstStepCanBeTriedAlone() async throws {
      let data = try squares()
      let trial = try await TrainingRun.tryFirstStep(data: data.url, configuration: smallSettings())
      let picture = try #require(trial.picture)
      #expect((picture.height, picture.width, picture.channels) == (16, 32, 3))
      #expect(
        trial.samples.count == 2 && trial.sampleCount == 2 && trial.damaged.isEmpty
          && trial.summary.steps == 12)
      #expect(abs(trial.loss - trial.lossOfChance) < 1 && trial.longestText > 2 && trial.memory > 1_000_000)
      let plain = try await TrainingRun.tryFirstStep(
        data: data.url, configuration: smallSettings { $0.augmentation = nil })
      // As the files have them, whatever order they were drawn in.
      let colours: [[UInt8]] = [[255, 0, 0], [0, 160, 0], [0, 0, 255], [255, 255, 255]]
      #expect(colours.contains(Array(try #require(plain.picture).pixels.prefix(3))))
    }

    @Test func aTrialIsTheRunsFirstStep() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      let settings = smallSettings { $0.changeModel { $0.ffDropout = 0.5 } }
      let trial = try await TrainingRun.tryFirstStep(data: data.url, configuration: settings)
      let losses = try await train(data, run, settings).compactMap {
        if case .step(let progress) = $0 { progress.loss } else { nil }
      }
      #expect(trial.loss == losses.first)
    }

    @Test func aFirstStepCountsThePicturesThatItHas() async throws {
      let data = try squares()
      try data.write("no", "train/red.png")
      let trial = try await TrainingRun.tryFirstStep(
        data: data.url, configuration: smallSettings { $0.training.batchSize = 8 })
      #expect(trial.sampleCount == 3 && trial.damaged.count == 1 && trial.loss.isFinite)
    }

    @Test func aFirstStepWithoutAnyPictureIsRefused() async throws {
      let data = try squares()
      for name in ["red", "green", "blue", "white"] { try data.write("no", "train/\(name).png") }
      let error = await #expect(throws: TrainingError.self) {
        try await TrainingRun.tryFirstStep(data: data.url, configuration: smallSettings())
      }
      #expect(
        error?.description.hasPrefix(
          "the first step has nothing to learn from: none of its pictures can be used, such as cannot read picture "
        ) == true)
    }
  }
}

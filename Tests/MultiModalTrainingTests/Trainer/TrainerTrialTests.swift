import Foundation
import MultiModalPipeline
import Testing

@testable import MultiModalTraining

extension TrainerTests {
  @Suite struct TrialTests {
    @Test func theFirstStepCanBeTriedAlone() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      let trial = try await TrainingRun(
        data: data.url, folder: run.url, configuration: smallSettings(), resume: false
      )
      .tryFirstStep()
      let picture = try #require(trial.picture)
      #expect((picture.height, picture.width, picture.channels) == (16, 32, 3))
      #expect(trial.samples.count == 2 && trial.damaged.isEmpty && trial.summary.steps == 12)
      #expect(abs(trial.loss - trial.lossOfChance) < 1 && trial.longestText > 2 && trial.memory > 1_000_000)
      let plain = try await TrainingRun(
        data: data.url, folder: TemporaryFolder().url, configuration: smallSettings { $0.augmentation = nil },
        resume: false
      ).tryFirstStep()
      // As the files have them, whatever order they were drawn in.
      let colours: [[UInt8]] = [[255, 0, 0], [0, 160, 0], [0, 0, 255], [255, 255, 255]]
      #expect(colours.contains(Array(try #require(plain.picture).pixels.prefix(3))))
    }
  }
}

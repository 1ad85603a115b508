import Foundation
import MultiModalModel
import MultiModalPipeline
import Testing
import Torch

@testable import MultiModalTraining

extension TrainerTests {
  @Suite struct AccumulationTests {
    private func data() throws -> TemporaryFolder {
      let folder = try TemporaryFolder()
      var lines = ""
      for (name, colour) in [("red", [230, 20, 20]), ("green", [20, 180, 20]), ("blue", [20, 20, 230])]
        as [(String, [UInt8])]
      {
        let pixels: [UInt8] = (0..<256).flatMap { _ in colour }
        try Picture(height: 16, width: 16, channels: 3, pixels: pixels).png()
          .write(to: folder.url.appendingPathComponent("\(name).png"))
        lines += #"{"file_name": "\#(name).png", "text": "\#(name)"}"# + "\n"
      }
      try folder.write(lines, "metadata.jsonl")
      return folder
    }

    private func settings(_ change: (inout TrainingConfiguration.Training) -> Void) -> TrainingConfiguration {
      smallSettings {
        $0.changeModel { $0.ffDropout = 0 }
        $0.augmentation = nil
        $0.training.batchSize = 1
        $0.training.warmupSteps = 1
        change(&$0.training)
      }
    }

    @Test func aRunAccumulatesInBfloat16WithCheckpointedActivations() async throws {
      let (data, run) = (try data(), try TemporaryFolder())
      let settings = settings {
        $0.gradientAccumulationSteps = 3
        $0.precision = .bfloat16
        $0.activationCheckpointing = true
        $0.epochs = 20
        $0.learningRate = 3e-3
      }
      var losses: [Double] = []
      let folder = try await TrainingRun(
        data: data.url, folder: run.url, configuration: settings, resume: false
      )
      .train {
        if case .step(let progress) = $0 {
          #expect(progress.steps == 20)
          losses.append(progress.loss)
        }
      }
      #expect(losses.count == 20)
      #expect(try #require(losses.last) < 0.7 * #require(losses.first))
      #expect(try ModelFolder(folder).model().parameters.tensors().allSatisfy { try $0.1.dtype == .float32 })
    }

    @Test func settingsThatMakeNoStepAreRefused() throws {
      let (data, run) = (try data(), try TemporaryFolder())
      let settings = settings {
        $0.epochs = 1
        $0.gradientAccumulationSteps = 4
      }
      let error = #expect(throws: TrainingError.self) {
        try TrainingRun(data: data.url, folder: run.url, configuration: settings, resume: false)
      }
      #expect(error?.description.contains("gradient_accumulation_steps") == true)
    }
  }
}

import Foundation
import MultiModalModel
import MultiModalPipeline
import Testing
import Torch

@testable import MultiModalTraining

extension TrainerTests {
  /// What a run does with damages, and how it ends.
  @Suite struct RunTests {
    @Test func tooManyDamagedPicturesEndTheRun() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      try data.write("no picture", "train/red.png")
      let error = await #expect(throws: TrainingError.self) { try await train(data, run, smallSettings()) }
      let sentence = try #require(error?.description)
      #expect(
        sentence.hasPrefix(
          "1 of 4 samples have missing or damaged pictures in this epoch, more than data.max_damaged_share 0.01 allows, such as "
        ))
      #expect(sentence.contains("train/red.png: "))
    }

    /// The last sample of an epoch makes no batch.
    @Test(arguments: [1, 3]) func anEpochWithoutAnyPictureEndsTheRun(batchSize: Int) async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      for name in ["red", "green", "blue", "white"] { try data.write("no", "train/\(name).png") }
      let settings = smallSettings {
        $0.data.maxDamagedShare = 1
        $0.training.batchSize = batchSize
      }
      let error = await #expect(throws: TrainingError.self) { try await train(data, run, settings) }
      let count = 4 / batchSize * batchSize
      #expect(
        error?.description.hasPrefix(
          "\(count) of \(count) samples have missing or damaged pictures in this epoch, which leaves none, such as "
        ) == true)
    }

    @Test func theShareOfDamagedPicturesCountsInStepsOfSeveralEpochsToo() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      for name in ["red", "green"] { try data.write("no", "train/\(name).png") }
      try await train(
        data, run,
        smallSettings {
          $0.data.maxDamagedShare = 0.5
          $0.training.gradientAccumulationSteps = 4
        })
      let state = try Checkpoint.state(of: #require(Checkpoint.latest(in: run.url)))
      #expect(state.step == 3 && state.damagedPictures == 4)
    }

    @Test func fewDamagedPicturesAreToldAndTheRunGoesOn() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      try data.write("no picture", "train/red.png")
      try FileManager.default.removeItem(at: data.file("validation/blue.png"))
      let events = try await train(data, run, smallSettings { $0.data.maxDamagedShare = 0.25 })
      let damaged = events.flatMap { (event: Trainer.Event) -> [String] in
        if case .damaged(_, let names) = event { names } else { [] }
      }
      #expect(damaged.count { $0.contains("train/red.png: ") } == 6)
      #expect(damaged.count { $0.contains("validation/blue.png: ") } == 3)
      #expect(damaged.count == 9)
      let state = try Checkpoint.state(of: #require(Checkpoint.latest(in: run.url)))
      #expect(state.step == 12 && state.damagedPictures == 1 && state.skippedSteps == 0)
    }

    @Test func damagedPicturesAreCountedOnOverAnInterruption() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      let settings = smallSettings {
        $0.data.maxDamagedShare = 0.5
        $0.training.batchSize = 1
        $0.training.epochs = 2
        $0.training.generatedSamples = 0
      }
      for name in ["red", "green"] { try data.write("no picture", "train/\(name).png") }
      // Steps without a usable picture are left out.
      let events = try await train(data, run, settings, cancelAfter: 1)
      let first = events.compactMap { (event: Trainer.Event) -> Int? in
        if case .damaged(_, let names) = event { names.count } else { nil }
      }
      let state = try Checkpoint.state(of: #require(Checkpoint.latest(in: run.url)))
      #expect(state.damagedPictures == first.reduce(0, +))
      try await train(data, run, settings, resume: true)
      let end = try Checkpoint.state(of: #require(Checkpoint.latest(in: run.url)))
      #expect(end.step == 8 && end.damagedPictures == 2 && end.skippedSteps == 0)
    }

    @Test func aSetSmallerThanABatchCountsWhatItHas() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      try await train(data, run, smallSettings { $0.training.batchSize = 8 })
      #expect(
        try String(contentsOf: run.file("README.md"), encoding: .utf8).contains(
          "on 4 samples for 6 steps of 4 samples"))
    }

    @Test(arguments: [0, 1, 3, 40]) func aModelRemembersThePromptsOfItsTexts(count: Int) async throws {
      let (data, run) = (try TemporaryFolder(), try TemporaryFolder())
      try data.writePicture("a.png")
      let lines = (0..<40).map { index in
        #"{"file_name": "a.png", "text": "a"\#(count > 0 ? #", "prompt": "p\#(index % count)""# : "")}"#
      }
      try data.write(lines.joined(separator: "\n"), "metadata.jsonl")
      try await train(data, run, smallSettings { $0.training.epochs = 1 })
      let captioner = try Captioner(contentsOf: run.url)
      let known = [0: [""], 1: ["p0"], 3: ["p0", "p1", "p2"]][count]
      #expect(captioner.generation.prompts == known)
      #expect(captioner.defaultRequest.prompt == (count == 1 ? "p0" : nil))
      #expect((captioner.generation.warning(forPrompt: "q") == nil) == (count == 40))
      #expect((captioner.generation.warning(forPrompt: nil) == nil) == (count == 0 || count == 40))
      #expect(captioner.generation.warning(forPrompt: known?[0]) == nil)
    }

    @Test func aRunWithoutImprovementStopsEarlyForGood() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      let settings = smallSettings {
        // Too little to change a weight.
        $0.training.learningRate = 1e-30
        $0.training.minLearningRate = 0
        $0.training.earlyStopPatience = 1
      }
      let events = try await train(data, run, settings)
      let stopped = events.compactMap {
        if case .stoppedEarly(let step, let best) = $0 { [step, best] } else { nil }
      }
      #expect(stopped == [[8, 4]])
      let best = events.compactMap { if case .validated(_, _, _, let isBest) = $0 { isBest } else { nil } }
      #expect(best == [true, false])
      let latest = try #require(Checkpoint.latest(in: run.url))
      #expect(latest.lastPathComponent == "checkpoint-8")
      #expect(try Checkpoint.state(of: latest).isStopped)
      #expect(try ModelFolder(run.url).model().parameters.count > 0)
      // A run that is resumed has nothing left to do but to leave its model.
      try FileManager.default.removeItem(at: run.file("model.safetensors"))
      let again = try await train(data, run, settings, resume: true)
      #expect(again.allSatisfy { if case .step = $0 { false } else { true } })
      #expect(try ModelFolder(run.url).model().parameters.count > 0)
    }

    @Test func aModelThatWritesOneTextForAllPicturesIsSaid() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      let training = try TrainingRun(
        data: data.url, folder: run.url,
        configuration: smallSettings {
          $0.training.learningRate = 1e-30
          $0.training.minLearningRate = 0
        }, resume: false)
      let logits = try #require(training.trainer.learned.first { $0.name.hasSuffix("to_logits.weight") })
      try withoutGradients { _ = try logits.value.fill_(0) }
      var warnings: [String] = []
      _ = try await training.train { if case .warning(let text) = $0 { warnings.append(text) } }
      #expect(warnings.count == 3)
      #expect(
        warnings[0].hasPrefix("step 4: the model writes the same text for all 4 pictures, "), "\(warnings)")
    }

    @Test func theBestWeightsCanBeTheResult() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      // The better the training texts are known, the worse these fit.
      let texts = ["red": "blue", "green": "white", "blue": "red", "white": "green"]
      try data.write(
        texts.map { #"{"file_name": "\#($0).png", "text": "\#($1) square"}"# }.sorted().joined(
          separator: "\n"),
        "validation/metadata.jsonl")
      for decay in [0, 0.3] {
        let run = decay == 0 ? run : try TemporaryFolder()
        let events = try await train(
          data, run,
          smallSettings {
            $0.training.epochs = 30
            $0.training.learningRate = 1e-2
            $0.training.export = .best
            $0.training.emaDecay = decay
            $0.training.keepCheckpoints = 1
            $0.augmentation = nil
          })
        let state = try Checkpoint.state(of: #require(Checkpoint.latest(in: run.url)))
        let best = try #require(state.bestStep)
        try #require(best < 60)
        let losses = events.compactMap { if case .validated(_, let loss, _, _) = $0 { loss } else { nil } }
        #expect(losses.min() == state.bestValidationLoss)
        let exported = try weights(run.file("model.safetensors"))
        let checkpoint = Checkpoint.url(step: best, in: run.url)
        var expected = try weights(checkpoint.appendingPathComponent(Checkpoint.parametersName))
        if decay > 0 {
          expected.merge(try weights(checkpoint.appendingPathComponent(Checkpoint.averageName))) { $1 }
        }
        #expect(exported == expected)
        let loss = try await Evaluation.loss(
          of: ModelFolder(run.url), on: Datasets.open(data.file("validation")))
        #expect(abs(loss - state.bestValidationLoss) < 1e-4)
      }
    }

    @Test func stepsThatAreNotFiniteAreLeftOutUntilTheyAreTooMany() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      let training = try TrainingRun(
        data: data.url, folder: run.url,
        configuration: smallSettings {
          $0.training.maxSkippedSteps = 3
          $0.training.emaDecay = 0.5
        }, resume: false)
      let broken = try #require(training.trainer.learned.first { $0.name.hasSuffix("to_logits.bias") })
      try withoutGradients { _ = try broken.value.fill_(.nan) }
      func others() throws -> [String: [Float]] {
        try weights(training.trainer.learned.filter { $0 !== broken })
      }
      let before = try others()
      let average = try training.trainer.average?.values.mapValues { try $0.array(of: Float.self) }
      var skipped: [(step: Int, samples: [String])] = []
      var sentence = ""
      do {
        _ = try await training.train {
          if case .skipped(let step, let samples) = $0 { skipped.append((step, samples)) }
          if case .step = $0 { Issue.record("a step that is not finite counts") }
        }
      } catch { sentence = "\(error)" }
      #expect(skipped.map(\.step) == [1, 2, 3])
      #expect(skipped.allSatisfy { $0.samples.count == 2 && $0.samples[0].contains("/train/") })
      #expect(
        sentence.hasPrefix("loss or gradients were not finite in 3 steps in a row, the last of them step 3"))
      #expect(sentence.contains(skipped[2].samples[1]))
      #expect(try others() == before)
      #expect(try training.trainer.average?.values.mapValues { try $0.array(of: Float.self) } == average)
      #expect(training.trainer.state.skippedSteps == 3)
      let log = RunLog.read(run.file("log.jsonl"))
      #expect(log.map { $0["event"]?.string } == ["skipped", "skipped", "skipped"])
      #expect(log.map { $0["ids"]?.strings } == skipped.map(\.samples))
    }

    @Test func aRunThatRecoversGoesOn() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      let training = try TrainingRun(
        data: data.url, folder: run.url, configuration: smallSettings { $0.training.maxSkippedSteps = 3 },
        resume: false)
      let broken = try #require(training.trainer.learned.first { $0.name.hasSuffix("to_logits.bias") })
      let kept = try broken.value.detach().clone()
      try withoutGradients { _ = try broken.value.fill_(.nan) }
      var steps: [Int] = []
      _ = try await training.train {
        if case .skipped(2, _) = $0 { withoutGradients { _ = try? broken.value.copy_(kept) } }
        if case .step(let progress) = $0 { steps.append(progress.step) }
      }
      #expect(steps == Array(3...12))
      #expect(training.trainer.state.skippedInARow == 0 && training.trainer.state.skippedSteps == 2)
    }
  }

  @Suite struct SpeedTests {
    @Test func theSpeedIsThatOfTrainingWithoutItsValidations() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      var last: Trainer.Progress?
      _ = try await TrainingRun(
        data: data.url, folder: run.url, configuration: smallSettings { $0.training.generatedSamples = 0 },
        resume: false
      ).train {
        if case .validated = $0 { usleep(700_000) }
        if case .step(let progress) = $0 { last = progress }
      }
      // Two validations before the last of 24 samples would leave less than 17 a second.
      #expect(try #require(last).samplesPerSecond > 17)
    }
  }

  @Suite struct SavingTests {
    private func checkpoints(_ run: TemporaryFolder) throws -> Set<String> {
      Set(
        try FileManager.default.contentsOfDirectory(atPath: run.url.path).filter { $0.contains("checkpoint") }
      )
    }

    @Test(arguments: [1, 2, 100])
    func theNewestCheckpointsAndTheBestAreKept(count: Int) async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      let settings = smallSettings {
        $0.training.checkpointEvery = 2
        $0.training.keepCheckpoints = count
        $0.training.learningRate = 1e-30
        $0.training.minLearningRate = 0
        $0.training.generatedSamples = 0
      }
      let events = try await train(data, run, settings)
      let saved = events.compactMap { if case .saved(let step) = $0 { step } else { nil } }
      #expect(saved == [2, 4, 6, 8, 10, 12])
      let kept = saved.suffix(count).map { "checkpoint-\($0)" }
      #expect(try checkpoints(run) == Set(kept + ["checkpoint-4"]))
    }

    @Test func aCheckpointThatCannotBeWrittenEndsTheRunAndTheLastOneLoads() async throws {
      let (data, run, whole) = (try squares(), try TemporaryFolder(), try TemporaryFolder())
      let settings = smallSettings { $0.training.generatedSamples = 0 }
      try await train(data, whole, settings)
      let aside = try TemporaryFolder().url
      let files = FileManager.default
      let error = await #expect(throws: TrainingError.self) {
        try await TrainingRun(data: data.url, folder: run.url, configuration: settings, resume: false).train {
          event in
          guard case .step(let progress) = event, progress.step == 7 else { return }
          // A file where the folder was.
          while !files.fileExists(atPath: Checkpoint.url(step: 4, in: run.url).path) { usleep(1000) }
          try? files.moveItem(at: run.url, to: aside)
          try? Data().write(to: run.url)
        }
      }
      #expect(error?.description.hasPrefix("the checkpoint of step 8 could not be written: ") == true)
      try files.removeItem(at: run.url)
      try files.moveItem(at: aside, to: run.url)
      #expect(Checkpoint.latest(in: run.url)?.lastPathComponent == "checkpoint-4")
      try await train(data, run, settings, resume: true)
      #expect(try weights(run.file("model.safetensors")) == weights(whole.file("model.safetensors")))
    }

    @Test func theLogHasEveryStepOnceAfterAnInterruption() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      let settings = smallSettings()
      try await train(data, run, settings, cancelAfter: 8)
      // As if the run had been killed after what it saved last.
      try FileManager.default.removeItem(at: Checkpoint.url(step: 8, in: run.url))
      try await train(data, run, settings, resume: true)
      let log = RunLog.read(run.file("log.jsonl"))
      let steps = log.filter { $0["loss"] != nil }.compactMap { $0["step"]?.number }
      #expect(steps == (1...12).map(Double.init))
      let validations = log.filter { $0["validation_loss"] != nil }.compactMap { $0["step"]?.number }
      #expect(validations == [4, 8, 12])
    }

    @Test func theReportNamesHeldOutPicturesAndTheirTexts() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      try data.write(
        #"{"file_name": "red.png", "text": ["red square", "a crimson thing"]}"# + "\n"
          + #"{"file_name": "./red.png", "text": "scarlet"}"# + "\n"
          + #"{"file_name": "blue.png", "prompt": "Colour?", "text": "blue square"}"#,
        "validation/metadata.jsonl")
      let events = try await train(data, run, smallSettings())
      let page = try String(contentsOf: run.file("report.html"), encoding: .utf8)
      for text in ["red square", "a crimson thing", "scarlet", "blue square", "Colour?"] {
        #expect(page.contains(text), "\(text)")
      }
      #expect(page.components(separatedBy: "data:image/jpeg").count - 1 == 2)
      guard case .began(let summary)? = events.first else { throw TrainingError("no beginning") }
      #expect(summary.validationExamples == 4 && summary.trainingExamples == 4 && summary.steps == 12)
      #expect(FileManager.default.fileExists(atPath: run.file("tensorboard").path))
    }
  }
}

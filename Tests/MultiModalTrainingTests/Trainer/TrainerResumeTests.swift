import Foundation
import MultiModalModel
import MultiModalPipeline
import Testing
import Torch

@testable import MultiModalTraining

extension TrainerTests {
  /// What a run knows of itself when it goes on, and what keeps others away from it.
  @Suite struct ResumeTests {
    private func names(_ run: TemporaryFolder) throws -> Set<String> {
      Set(try FileManager.default.contentsOfDirectory(atPath: run.url.path))
    }

    private func warnings(_ events: [Trainer.Event]) -> [String] {
      events.compactMap { if case .warning(let text) = $0 { text } else { nil } }
    }

    private func steps(_ events: [Trainer.Event]) -> [Int] {
      events.compactMap { if case .step(let progress) = $0 { progress.step } else { nil } }
    }

    // MARK: The folder

    @Test func aFolderIsOneRunsAtATime() throws {
      let run = try TemporaryFolder()
      var first: RunLock? = try RunLock(run.url)
      #expect(first != nil)
      #expect(
        refusal { try RunLock(run.url) }
          == "\(run.url.path) is in use by another run: wait until it ends, or choose another folder")
      for resume in [false, true] {
        let sentence = refusal {
          try TrainingRun(
            data: squares().url, folder: run.url, configuration: smallSettings(), resume: resume)
        }
        #expect(sentence.contains("is in use by another run"), "\(sentence)")
      }
      first = nil
      #expect(try names(run).isEmpty)
      first = try RunLock(run.file("made"))
      first = nil
      #expect(try names(run).isEmpty)
      _ = try RunLock(run.url)
      #expect(try names(run).isEmpty)
    }

    @Test func aLockIsNotHeldByAFileThatWasRemoved() throws {
      let run = try TemporaryFolder()
      let first = try RunLock(run.url)
      try FileManager.default.removeItem(at: run.file(".lock"))
      let second = try RunLock(run.url)
      withExtendedLifetime((first, second)) {}
    }

    @Test func theSettingsOfARunLieInItsFolder() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      let settings = smallSettings()
      try await train(data, run, settings)
      var written = try TrainingConfiguration(contentsOf: run.file(TrainingConfiguration.fileName))
      #expect(written.model.family.vocabularySize != settings.model.family.vocabularySize)
      written.model = settings.model
      #expect(written == settings)
      let times = RunLog.read(run.file("log.jsonl")).map {
        $0["time"]?.string.flatMap { try? Date($0, strategy: .iso8601) }
      }
      #expect(times.count == 15 && times.allSatisfy { abs($0?.timeIntervalSinceNow ?? 1e9) < 3600 })
    }

    // MARK: Damage

    private func flipBit(of name: String, in checkpoint: URL) throws {
      var bytes = try Data(contentsOf: checkpoint.appendingPathComponent(name))
      bytes[bytes.count / 2] ^= 4
      try bytes.write(to: checkpoint.appendingPathComponent(name))
    }

    @Test(arguments: [
      "model.safetensors", "optimizer.safetensors", "state.json", "tokenizer.model", "checksums.json",
    ])
    func aRunGoesOnFromTheCheckpointBeforeADamagedOne(name: String) async throws {
      let (data, whole, run) = (try squares(), try TemporaryFolder(), try TemporaryFolder())
      try await train(data, whole, smallSettings())
      try await train(data, run, smallSettings(), cancelAfter: 9)
      try flipBit(of: name, in: Checkpoint.url(step: 10, in: run.url))
      let events = try await train(data, run, smallSettings(), resume: true)
      #expect(
        warnings(events).count {
          $0.contains("checkpoint-10 is ") && $0.contains("goes on from checkpoint-8")
        } == 1)
      #expect(steps(events) == [9, 10, 11, 12])
      #expect(try names(run).contains("damaged-checkpoint-10"))
      #expect(try weights(run.file("model.safetensors")) == weights(whole.file("model.safetensors")))
    }

    @Test func whereNoCheckpointIsSoundNothingIsTouched() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      try await train(data, run, smallSettings())
      let before = try names(run)
      for name in before where name.hasPrefix("checkpoint-") {
        try FileManager.default.removeItem(at: run.file("\(name)/optimizer.safetensors"))
      }
      let sentence = await #expect(throws: TrainingError.self) {
        try await train(data, run, smallSettings(), resume: true)
      }
      #expect(
        sentence?.description.hasSuffix(
          "checkpoint-12 is damaged: its optimizer.safetensors is not as it was written")
          == true)
      #expect(try names(run) == before)
    }

    // MARK: Longer runs

    @Test func aFinishedRunCanBeMadeLonger() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      try await train(data, run, smallSettings())
      let before = try weights(run.file("model.safetensors"))
      var taken: [Int] = []
      _ = try await TrainingRun(
        data: data.url, folder: run.url, configuration: smallSettings(), resume: true,
        change: { try $0.set(["training.epochs=8", "training.learning_rate=0.01"]) }
      ).train { if case .step(let progress) = $0 { taken.append(progress.step) } }
      #expect(taken == [13, 14, 15, 16])
      #expect(try weights(run.file("model.safetensors")) != before)
      let kept = try TrainingConfiguration(contentsOf: run.file(TrainingConfiguration.fileName))
      #expect(kept.training.epochs == 8 && kept.training.learningRate == 0.01)
      for (setting, message) in [
        ("training.epochs=2", "is at step 16, but 2 epochs end at step 4"),
        ("training.seed=5", "training.seed cannot change while a run goes on"),
        ("model.decoder_depth=2", "model cannot change"),
        ("training.lora.rank=2", "training.lora cannot change"),
        ("training.epoch=2", "training.epoch is not known"),
      ] {
        let sentence = refusal {
          try TrainingRun(
            data: data.url, folder: run.url, configuration: smallSettings(), resume: true,
            change: { try $0.set([setting]) })
        }
        #expect(sentence.contains(message), "\(sentence)")
      }
    }

    @Test func aRunThatStoppedEarlyGoesOnWithOtherSettings() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      let settings = smallSettings {
        $0.training.learningRate = 1e-30
        $0.training.minLearningRate = 0
        $0.training.earlyStopPatience = 1
      }
      #expect(steps(try await train(data, run, settings)).last == 8)
      func goOn(_ change: (inout TrainingConfiguration) -> Void) async throws -> [Int] {
        var taken: [Int] = []
        _ = try await TrainingRun(
          data: data.url, folder: run.url, configuration: settings, resume: true, change: change
        ).train { if case .step(let progress) = $0 { taken.append(progress.step) } }
        return taken
      }
      #expect(try await goOn { $0.data.validation = data.file("validation").path }.isEmpty)
      #expect(try await goOn { $0.training.earlyStopPatience = 0 } == [9, 10, 11, 12])
    }

    @Test func changedSettingsOutliveAKillBeforeTheNextCheckpoint() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      try await train(data, run, smallSettings(), cancelAfter: 5)
      func resumed(_ settings: String...) throws -> TrainingConfiguration {
        try TrainingRun(
          data: data.url, folder: run.url, configuration: smallSettings(), resume: true,
          change: { try $0.set(settings) }
        ).trainer.configuration
      }
      let changed = try resumed("training.epochs=8", "training.learning_rate=0.01")
      #expect(changed.training.epochs == 8 && changed.training.learningRate == 0.01)
      #expect(try resumed() == changed)
      #expect(refusal { try resumed("training.epochs=1") }.contains("1 epochs end at step 2"))
      #expect(try resumed() == changed)
      // A checkpoint that was put into a folder of its own knows its settings.
      try FileManager.default.removeItem(at: run.file(TrainingConfiguration.fileName))
      #expect(try resumed().training == smallSettings().training)
    }

    // MARK: Validation

    @Test func aRunKnowsItsValidationData() async throws {
      let (data, other, run) = (try squares(), try squares(), try TemporaryFolder())
      try FileManager.default.removeItem(at: data.file("validation"))
      func training(_ validation: URL?, resume: Bool) throws -> TrainingRun {
        try TrainingRun(
          data: data.url, validation: validation, folder: run.url, configuration: smallSettings(),
          resume: resume
        )
      }
      _ = try await training(other.file("validation"), resume: false).train()
      #expect(try training(nil, resume: true).trainer.heldOut?.count == 4)
      let changed = try squares()
      try changed.write(#"{"file_name": "red.png", "text": "another"}"#, "validation/metadata.jsonl")
      #expect(
        refusal { try training(changed.file("validation"), resume: true) }.contains(
          "validation names other pictures or texts than the run"))
      try FileManager.default.moveItem(at: other.file("validation"), to: other.file("moved"))
      #expect(refusal { try training(nil, resume: true) }.contains("validation does not exist"))
      #expect(try training(other.file("moved"), resume: true).trainer.heldOut?.count == 4)
      // As if that session had been killed before its first checkpoint.
      #expect(try training(nil, resume: true).trainer.heldOut?.count == 4)
    }

    @Test func aRunThatValidatedIsNotResumedWithoutValidationData() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      try await train(data, run, smallSettings())
      try FileManager.default.removeItem(at: data.file("validation"))
      #expect(
        refusal {
          try TrainingRun(data: data.url, folder: run.url, configuration: smallSettings(), resume: true)
        }
        .contains(
          "validates, and there is nothing to validate with"))
    }

    /// The stop comes after step 8, in front of its validation.
    @Test(arguments: [0, 4]) func aValidationThatWasStoppedIsDoneLater(generated: Int) async throws {
      let (data, whole, run) = (try squares(), try TemporaryFolder(), try TemporaryFolder())
      let settings = smallSettings { $0.training.generatedSamples = generated }
      func validations(_ events: [Trainer.Event]) -> [Int] {
        events.compactMap { if case .validated(let step, _, _, _) = $0 { step } else { nil } }
      }
      try await train(data, whole, settings)
      let before = try await train(data, run, settings, cancelAfter: 8)
      #expect(validations(before) == [4])
      #expect(Checkpoint.latest(in: run.url)?.lastPathComponent == "checkpoint-8")
      let after = try await train(data, run, settings, resume: true)
      #expect(validations(after) == [8, 12] && steps(after) == [9, 10, 11, 12])
      func losses(_ run: TemporaryFolder) -> [Double] {
        RunLog.read(run.file("log.jsonl")).compactMap { $0["validation_loss"]?.number }
      }
      #expect(losses(run) == losses(whole))
      #expect(try weights(run.file("model.safetensors")) == weights(whole.file("model.safetensors")))
    }

    @Test(arguments: [0, 1]) func aValidationThatIsInTheLogIsNotDoneAgain(patience: Int) async throws {
      let (data, whole, run) = (try squares(), try TemporaryFolder(), try TemporaryFolder())
      let settings = smallSettings {
        $0.training.earlyStopPatience = patience
        // No validation is better than the first.
        if patience > 0 { ($0.training.learningRate, $0.training.minLearningRate) = (1e-30, 0) }
      }
      try await train(data, whole, settings)
      try await train(data, run, settings, cancelAfter: 8)
      try await train(data, run, settings, resume: true, cancelAfter: 9)
      // As if the run had been killed after the validation of step 8, and before its next checkpoint.
      try? FileManager.default.removeItem(at: Checkpoint.url(step: 10, in: run.url))
      let last = Checkpoint.url(step: patience > 0 ? 8 : 12, in: run.url)
      let after = try await train(data, run, settings, resume: true)
      #expect(steps(after) == (patience > 0 ? [] : [9, 10, 11, 12]))
      func validations(_ run: TemporaryFolder) -> [[Double?]] {
        RunLog.read(run.file("log.jsonl")).filter { $0["validation_loss"] != nil }.map {
          [$0["step"]?.number, $0["validation_loss"]?.number]
        }
      }
      #expect(validations(run) == validations(whole))
      #expect(try weights(run.file("model.safetensors")) == weights(whole.file("model.safetensors")))
      guard patience == 0 else { return }
      let (state, expected) = (
        try Checkpoint.state(of: last),
        try Checkpoint.state(of: Checkpoint.url(step: 12, in: whole.url))
      )
      #expect(state.bestStep == expected.bestStep && state.bestValidationLoss == expected.bestValidationLoss)
    }

    @Test func tooManyDamagedPicturesToValidateWithEndTheRunWhichGoesOnOnceTheyAreMended() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      let sound = try Data(contentsOf: data.file("validation/red.png"))
      try data.write("no", "validation/red.png")
      let error = await #expect(throws: TrainingError.self) { try await train(data, run, smallSettings()) }
      #expect(
        error?.description.hasPrefix(
          "1 of 4 samples to validate with have missing or damaged pictures, more than")
          == true)
      #expect(Checkpoint.latest(in: run.url)?.lastPathComponent == "checkpoint-4")
      try sound.write(to: data.file("validation/red.png"))
      #expect(steps(try await train(data, run, smallSettings(), resume: true)) == Array(5...12))
    }

    @Test func aValidationWithoutAnyPictureIsNone() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      for name in ["red", "green", "blue", "white"] { try data.write("no", "validation/\(name).png") }
      let error = await #expect(throws: TrainingError.self) {
        try await train(data, run, smallSettings { $0.data.maxDamagedShare = 1 })
      }
      #expect(
        error?.description.hasPrefix(
          "4 of 4 samples to validate with have missing or damaged pictures, which leaves none, such as ")
          == true)
    }

    @Test func picturesCanBeHeldOutByTheirNames() async throws {
      let (folder, run) = (try TemporaryFolder(), try TemporaryFolder())
      var lines: [String] = []
      for index in 0..<40 {
        try folder.writePicture("\(index).png")
        for text in ["one", "two"] { lines.append(#"{"file_name": "\#(index).png", "text": "\#(text)"}"#) }
      }
      try folder.write(lines.joined(separator: "\n"), "metadata.jsonl")
      let settings = smallSettings {
        $0.data.validationShare = 0.3
        $0.training.epochs = 1
      }
      func names(_ dataset: (any Dataset)?) throws -> Set<String> {
        Set(try #require(dataset).all().map(\.picture.name))
      }
      var reading = settings.data
      let data = try TrainingData(folder.url, reading)
      let (training, heldOut) = (try names(data.training), try names(data.validation))
      #expect(training.isDisjoint(with: heldOut) && training.union(heldOut).count == 40)
      #expect((6...18).contains(heldOut.count), "\(heldOut.count)")
      let events = try await train(folder, run, settings)
      guard case .began(let summary)? = events.first else { throw TrainingError("no beginning") }
      #expect(
        summary.validationExamples == 2 * heldOut.count && summary.trainingExamples == 2 * training.count)
      #expect(
        refusal {
          try TrainingRun(
            data: folder.url, folder: TemporaryFolder().url,
            configuration: smallSettings { $0.data.validationShare = 1e-9 }, resume: false)
        }.contains("holds out no picture of"))
      // Where there is other data to validate with, nothing is held out.
      reading.validation = folder.url.path
      #expect(try TrainingData(folder.url, reading).training.all().count == 80)
    }

    // MARK: What else

    @Test func aBatchOfDamagedPicturesIsNoStepThatIsNotFinite() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      for name in ["red", "green", "blue"] { try data.write("no", "train/\(name).png") }
      let events = try await train(
        data, run,
        smallSettings {
          $0.data.maxDamagedShare = 1
          $0.training.batchSize = 1
          $0.training.epochs = 3
          $0.training.maxSkippedSteps = 1
        })
      #expect(events.allSatisfy { if case .skipped = $0 { false } else { true } })
      let state = try Checkpoint.state(of: #require(Checkpoint.latest(in: run.url)))
      #expect(state.step == 12 && state.skippedSteps == 0 && state.damagedPictures == 3)
    }

    @Test func aWriteThatFailsEndsTheRunAtOnce() async throws {
      let (data, run) = (try squares(), try TemporaryFolder())
      let settings = smallSettings {
        $0.training.epochs = 400
        $0.training.validationEvery = 100_000
        $0.training.checkpointEvery = 50
      }
      var last = 0
      let error = await #expect(throws: TrainingError.self) {
        _ = try await TrainingRun(data: data.url, folder: run.url, configuration: settings, resume: false)
          .train {
            guard case .step(let progress) = $0 else { return }
            last = progress.step
            guard last >= 49 else { return }
            if last == 49 {
              // A file where the folder was.
              try? FileManager.default.removeItem(at: run.url)
              try? Data().write(to: run.url)
            }
            usleep(20_000)
          }
      }
      #expect(error?.description.hasPrefix("the checkpoint of step 50 could not be written: ") == true)
      #expect((50..<90).contains(last), "\(last)")
    }
  }
}

import Foundation
import MultiModalModel
import MultiModalPipeline
import Testing
import Torch

@testable import MultiModalTraining

/// Runs share the process-wide random state of dropout, so they take turns.
@Suite(.serialized) struct TrainerTests {
  private var settings: TrainingConfiguration { smallSettings() }

  @Test func trainingLowersTheLossAndLeavesAModelFolder() async throws {
    let data = try squares()
    let run = try TemporaryFolder()
    var settings = settings
    settings.training.epochs = 30
    settings.training.learningRate = 3e-3
    var losses: [Double] = []
    let folder = try await TrainingRun(
      data: data.url, folder: run.url, configuration: settings, resume: false
    ).train {
      if case .validated(_, let loss, _, _) = $0 { losses.append(loss) }
    }
    #expect(losses.count == 15)
    #expect(try #require(losses.last) < 0.5 * #require(losses.first))
    let model = try ModelFolder(folder).model()
    let tokenizer = try ModelFolder(folder).tokenizer()
    #expect(model.configuration.vocabularySize == tokenizer.vocabularySize)
    #expect(try ModelFolder(folder).processor().configuration == settings.image)
  }

  @Test func aResumedRunEndsWithTheWeightsOfAnUnbrokenOne() async throws {
    let data = try squares()
    let whole = try TemporaryFolder()
    let broken = try TemporaryFolder()
    var settings = settings
    settings.training.keepCheckpoints = 1
    settings.training.generatedSamples = 2
    _ = try await TrainingRun(data: data.url, folder: whole.url, configuration: settings, resume: false)
      .train()

    // The task that trains cancels itself in the middle.
    let interrupted = Task { [settings, run = broken.url] in
      _ = try await TrainingRun(data: data.url, folder: run, configuration: settings, resume: false).train {
        event in
        if case .step(let progress) = event, progress.step == 6 { withUnsafeCurrentTask { $0?.cancel() } }
      }
    }
    await #expect(throws: CancellationError.self) { try await interrupted.value }
    #expect(Checkpoint.latest(in: broken.url)?.lastPathComponent == "checkpoint-7")
    // What a run leaves that was killed while it saved, and before it removed the checkpoint before.
    for name in [".checkpoint-9.partial", "checkpoint-3"] { try broken.write("", "\(name)/state.json") }
    _ = try await TrainingRun(data: data.url, folder: broken.url, configuration: settings, resume: true)
      .train()
    let checkpoints = try FileManager.default.contentsOfDirectory(atPath: broken.url.path)
      .filter { $0.contains("checkpoint") }
    let best = try Checkpoint.state(of: Checkpoint.url(step: 12, in: broken.url)).bestStep
    #expect(Set(checkpoints) == ["checkpoint-12", "checkpoint-\(try #require(best))"])

    let expected = try Safetensors.read(whole.url.appendingPathComponent("model.safetensors")).tensors
    let resumed = try Safetensors.read(broken.url.appendingPathComponent("model.safetensors")).tensors
    #expect(expected.keys.sorted() == resumed.keys.sorted())
    for (name, tensor) in expected {
      #expect(try tensor.array(of: Float.self) == #require(resumed[name]).array(of: Float.self), "\(name)")
    }
  }

  @Test func aRunIsNotOverwrittenAndNotResumedFromNothing() async throws {
    let data = try squares()
    let run = try TemporaryFolder()
    var error = #expect(throws: TrainingError.self) {
      try TrainingRun(data: data.url, folder: run.url, configuration: settings, resume: true)
    }
    #expect(error?.description.contains("no checkpoint to resume from") == true)
    _ = try await TrainingRun(data: data.url, folder: run.url, configuration: settings, resume: false).train()
    error = #expect(throws: TrainingError.self) {
      try TrainingRun(data: data.url, folder: run.url, configuration: settings, resume: false)
    }
    #expect(
      error?.description.contains("already: resume the run from the checkpoint, or choose another") == true)
  }

  @Test func aTextThatIsTooLongIsRefusedBeforeTrainingAndNothingIsLeft() throws {
    let data = try squares()
    let run = try TemporaryFolder()
    var settings = settings
    settings.changeModel { $0.maxSeqLen = 3 }
    let error = #expect(throws: TrainingError.self) {
      try TrainingRun(data: data.url, folder: run.url, configuration: settings, resume: false)
    }
    #expect(error?.description.contains("but max_seq_len is 3") == true)
    #expect(try FileManager.default.contentsOfDirectory(atPath: run.url.path) == [])
  }

  @Test func trainingLeavesTheProcesssRandomNumbersAsTheyWere() async throws {
    let (data, run) = (try squares(), try TemporaryFolder())
    func draw() throws -> [Float] { try Tensor.rand([8]).array() }
    try manualSeed(5)
    let (first, second) = (try draw(), try draw())
    try manualSeed(5)
    #expect(try draw() == first)
    #expect((settings.model.family as? GPT4MultiModal.Configuration)?.ffDropout == 0.1)
    try await train(data, run, settings)
    #expect(try draw() == second)
  }

  @Test func aFinishedModelIsNotOverwritten() throws {
    let run = try TemporaryFolder()
    try run.write("{}", "config.json")
    let error = #expect(throws: TrainingError.self) {
      try TrainingRun(data: squares().url, folder: run.url, configuration: settings, resume: false)
    }
    #expect(
      error?.description.hasSuffix("holds config.json already: choose another folder for this one") == true)
  }

  @Test func aRunGoesOnWithItsOwnDataAndASoundCheckpointAlone() async throws {
    let data = try squares()
    let run = try TemporaryFolder()
    _ = try await TrainingRun(data: data.url, folder: run.url, configuration: settings, resume: false).train()
    func refusal(_ data: URL) -> String {
      do {
        _ = try TrainingRun(data: data, folder: run.url, configuration: settings, resume: true)
        return "none"
      } catch { return "\(error)" }
    }
    #expect(refusal(data.url) == "none")
    let other = try squares()
    try other.write(#"{"file_name": "red.png", "text": "another"}"#, "train/metadata.jsonl")
    #expect(refusal(other.url).contains("names other pictures or texts than the run"))

    let latest = try #require(Checkpoint.latest(in: run.url))
    let sound = try Checkpoint.state(of: latest)
    // There is no other to go on from.
    for name in try FileManager.default.contentsOfDirectory(atPath: run.url.path)
    where name.hasPrefix("checkpoint-") && name != latest.lastPathComponent {
      try FileManager.default.removeItem(at: run.file(name))
    }
    let damages: [(inout Checkpoint.State) -> Void] = [
      { $0.step = -5 }, { $0.step = 1_000_000 }, { $0.configuration.training.batchSize = 0 },
      { $0.configuration.training.validationEvery = 0 }, { $0.seconds = 1e300 }, { $0.seconds = -1 },
      { $0.validationsWithoutImprovement = .max }, { $0.skippedSteps = .max }, { $0.skippedInARow = -1 },
      { $0.damagedPictures = .max }, { $0.bestStep = -4 },
    ]
    for damage in damages {
      var state = sound
      damage(&state)
      try JSONEncoder().encode(state).write(to: latest.appendingPathComponent("state.json"))
      try Checkpoint.seal(latest)
      #expect(refusal(data.url) != "none")
    }
  }

  @Test func promptAndPaddingAreNotLearned() async throws {
    let folder = try TemporaryFolder()
    let picture = try Picture(height: 8, width: 8, channels: 3, pixels: Array(repeating: 9, count: 3 * 64))
      .png()
    try picture.write(to: folder.url.appendingPathComponent("a.png"))
    try folder.write(
      #"{"file_name": "a.png", "prompt": "pro", "text": "ab"}"# + "\n"
        + #"{"file_name": "a.png", "text": "a"}"#,
      "metadata.jsonl")
    let tokenizer = try SentencePieceTokenizer.train(
      on: ["pro", "ab", "a"], configuration: .init(vocabularySize: 270))
    var image = ImageProcessor.Configuration()
    image.size = .init(height: 8, width: 8)
    let loader = BatchLoader(
      try ImageFolder(folder.url), count: 2,
      encoder: ExampleEncoder(
        tokenizer: tokenizer, generation: try .init([:], tokenizer: tokenizer),
        configuration: GPT4MultiModal.Configuration()),
      order: SampleOrder(batchSize: 2, shuffleBuffer: 1, bucketBatches: 1, seed: 0),
      processor: try ImageProcessor(configuration: image))
    var batches = loader.prefetch(0..<1, workers: 1)
    let loaded = try #require(try await batches.next())
    let batch = try #require(loaded.parts.first)
    #expect(loaded.damaged.isEmpty && loaded.samples.map(\.text) == ["ab", "a"])
    let prompt = try tokenizer.encode("pro")
    let text = try tokenizer.encodeTarget("ab")
    let short = try tokenizer.encodeTarget("a")
    let length = 1 + prompt.count + text.count
    #expect(batch.text.shape == [2, length])
    let padding = length - 1 - short.count
    let text0 = try [#require(tokenizer.bos)] + prompt + text
    let text1 =
      try [#require(tokenizer.bos)] + short
      + Array(repeating: #require(tokenizer.pad), count: padding)
    #expect(try batch.text.array(of: Int.self) == text0 + text1)
    let ignored = ignoreIndex
    let targets0 = Array(repeating: ignored, count: prompt.count) + text
    let targets1 = short + Array(repeating: ignored, count: padding)
    #expect(try batch.targets.array(of: Int.self) == targets0 + targets1)
    #expect(batch.targetCount == text.count + short.count)
    let mask = Array(repeating: true, count: length) + (0..<length).map { $0 < 1 + short.count }
    #expect(try batch.mask?.array(of: Bool.self) == mask)
  }
}

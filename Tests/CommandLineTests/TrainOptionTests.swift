import Foundation
import Testing

/// What `train` can be told, beside the run itself.
@Suite(.serialized) struct TrainOptionTests {
  private func data(epochs: Int = 4, prompt: String? = nil) throws -> TemporaryFolder {
    let folder = try ColouredSquares.folder(
      colours: 2,
      settings: [
        "training": """
        {"epochs": \(epochs), "batch_size": 2, "learning_rate": 0.004, "warmup_steps": 2, "validation_every": 100000,
         "checkpoint_every": 100000}
        """,
        "distributed": #"{"timeout_seconds": 60}"#,
      ], augmented: false)
    if let prompt {
      for split in ["train", "validation"] {
        let lines = try String(contentsOfFile: folder.path("\(split)/metadata.jsonl"), encoding: .utf8)
        try folder.write(
          lines.replacingOccurrences(of: "}", with: ", \"prompt\": \"\(prompt)\"}"), "\(split)/metadata.jsonl"
        )
      }
    }
    return folder
  }

  private func train(_ folder: TemporaryFolder, _ words: String..., starts: Bool = true) throws
    -> GPT4MM.Result
  {
    let begin = starts ? ["--config", folder.path("config.json")] : []
    return try GPT4MM.finish(
      GPT4MM.process(
        ["train", "--data", folder.url.path, "--out", folder.path("run"), "--threads", "1"] + begin + words))
  }

  @Test func allSettingsArePrintedWithTheirMeanings() throws {
    let folder = try data()
    let plain = try GPT4MM.run("train", "--print-config")
    #expect(plain.code == 0)
    #expect(plain.output.contains("\ntraining.learning_rate=0.001 "))
    #expect(plain.output.contains("# steps in which the learning rate rises\n"))
    let own = try GPT4MM.run(
      "train", "--print-config", "--config", folder.path("config.json"), "--set", "training.beta1=0.8")
    #expect(
      own.output.contains("\ntraining.learning_rate=0.004 ") && own.output.contains("\ntraining.beta1=0.8 "))
  }

  @Test func aDryRunSaysWhatARunBeginsWithAndLeavesNothing() throws {
    let folder = try data()
    let trial = try train(folder, "--dry-run=\(folder.path("batch.png"))", "--set", "training.batch_size=1")
    #expect(trial.code == 0, "\(trial.errors)")
    #expect(trial.errors.contains("2 samples to train on, 2 to validate with"))
    #expect(trial.output.contains("first step: 1 samples of 16 x 16 pixels and up to "))
    #expect(
      trial.output.contains("first loss: 5.") && trial.output.contains("of a model that knows nothing 5."))
    #expect(trial.output.contains(".png: "))
    #expect(FileManager.default.fileExists(atPath: folder.path("batch.png")))
    #expect(!FileManager.default.fileExists(atPath: folder.path("run")))
    let resumed = try train(folder, "--dry-run", "--resume")
    #expect(resumed.code == 2 && resumed.errors.contains("leave --resume out"))
  }

  /// So nothing is left of it either, however it ends.
  @Test func aDryRunMakesNoFile() throws {
    let (folder, temporary) = (try data(), try TemporaryFolder())
    let process = GPT4MM.process(
      ["train", "--data", folder.url.path, "--config", folder.path("config.json"), "--dry-run"])
    process.environment = ProcessInfo.processInfo.environment.merging(["TMPDIR": temporary.url.path]) { $1 }
    process.standardError = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    func names() throws -> [String] {
      try FileManager.default.contentsOfDirectory(atPath: temporary.url.path)
    }
    try process.run()
    var seen: Set<String> = []
    while process.isRunning { seen.formUnion(try names()) }
    #expect(process.terminationStatus == 0)
    #expect(seen.isEmpty, "\(seen)")
  }

  @Test func oneCallBeginsGoesOnAndMakesLonger() throws {
    let folder = try data()
    for (words, said) in [
      (["--resume=auto"], "4 steps\n"), (["--resume=auto"], "4 steps, going on after 4\n"),
      (["--resume=auto", "--epochs", "6"], "6 steps, going on after 4\n"),
    ] {
      let result = try GPT4MM.finish(
        GPT4MM.process(
          [
            "train", "--data", folder.url.path, "--out", folder.path("run"), "--config",
            folder.path("config.json"),
          ]
            + words))
      #expect(result.code == 0 && result.errors.contains(said), "\(result.errors)")
    }
    let resumed = try train(folder, "--resume", "--set", "training.epochs=7", starts: false)
    #expect(resumed.code == 0 && resumed.errors.contains("7 steps, going on after 6"), "\(resumed.errors)")
    let word = try train(folder, "--resume=maybe")
    #expect(word.code == 2 && word.errors.contains("--resume takes no value or auto, got 'maybe'"))
    let kept = try train(folder, "--resume", "--seed", "3", starts: false)
    #expect(kept.code == 2 && kept.errors.contains("leave --seed out"))
  }

  @Test func aSecondRunInTheSameFolderIsRefusedAsLongAsTheFirstLives() throws {
    let folder = try data(epochs: 100_000)
    let first = GPT4MM.process(
      [
        "train", "--data", folder.url.path, "--out", folder.path("run"), "--config",
        folder.path("config.json"),
      ])
    let errors = Pipe()
    first.standardError = errors
    first.standardOutput = FileHandle.nullDevice
    try first.run()
    var seen = ""
    while !seen.contains("samples/s") {
      let more = errors.fileHandleForReading.availableData
      guard !more.isEmpty else { break }
      seen += String(decoding: more, as: UTF8.self)
    }
    for words in [["--resume"], ["--config", folder.path("config.json")]] {
      let second = try GPT4MM.finish(
        GPT4MM.process(["train", "--data", folder.url.path, "--out", folder.path("run")] + words))
      #expect(second.code == 1)
      #expect(
        second.errors.hasSuffix(
          "gpt4mm: \(folder.path("run")) is in use by another run: wait until it ends, or choose another folder\n"
        ),
        "\(second.errors)")
    }
    kill(first.processIdentifier, SIGKILL)
    first.waitUntilExit()
    let after = try train(folder, "--resume", starts: false)
    #expect(after.errors.contains("no checkpoint to resume from"), "\(after.errors)")
  }

  /// Nothing is there to be saved before the first step.
  @Test func whoWaitsForOthersEndsAtOnce() throws {
    let (folder, port) = (try data(), try LocalPort.free())
    let process = GPT4MM.process(
      [
        "train", "--data", folder.url.path, "--out", folder.path("run"), "--config",
        folder.path("config.json"),
      ])
    process.environment = ProcessInfo.processInfo.environment.merging([
      "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "\(port)",
    ]) { $1 }
    process.standardError = FileHandle.nullDevice
    try process.run()
    while process.isRunning, try !LocalPort.isListening(port) { usleep(10_000) }
    let began = Date()
    process.terminate()
    process.waitUntilExit()
    #expect(process.terminationStatus == 130)
    #expect(Date().timeIntervalSince(began) < 30)
  }

  @Test func aModelRemembersItsPrompt() throws {
    let folder = try data(epochs: 60, prompt: "Which? ")
    #expect(try train(folder).code == 0)
    let picture = folder.path("validation/red.png")
    func caption(_ words: String...) throws -> GPT4MM.Result {
      try GPT4MM.finish(
        GPT4MM.process(["caption", "--model", folder.path("run"), "--quiet"] + words + [picture]))
    }
    let plain = try caption()
    #expect(
      plain.output == "\(picture): Which? red\n" && plain.errors.isEmpty, "\(plain.output) \(plain.errors)")
    #expect(try caption("--prompt", "Which? ").output == plain.output)
    let other = try caption("--prompt", "Why?")
    #expect(other.code == 0)
    #expect(
      other.errors
        == "gpt4mm: the model was trained with other prompts than \"Why?\", so its texts may be of no use: it knows \"Which? \"\n"
    )
    #expect(try caption("--prompt", "").errors.contains("other prompts than none"))
  }
}

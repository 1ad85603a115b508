import Foundation
import Testing

/// What becomes of a run that is killed, told to stop, or out of space.
@Suite(.serialized) struct ResilienceTests {
  private static let steps = 240

  private func data(checkpointEvery: Int) throws -> TemporaryFolder {
    try ColouredSquares.folder(
      colours: 4,
      settings: [
        "training": """
        {"epochs": \(Self.steps / 2), "batch_size": 2, "learning_rate": 0.002, "warmup_steps": 5, "ema_decay": 0.9,
         "validation_every": 40, "checkpoint_every": \(checkpointEvery), "keep_checkpoints": 2}
        """
      ])
  }

  private func train(_ folder: TemporaryFolder, _ run: String, resume: Bool) -> Process {
    GPT4MM.process(
      ["train", "--data", folder.url.path, "--out", folder.path(run), "--threads", "1"]
        + (resume ? ["--resume"] : ["--config", folder.path("config.json")]))
  }

  private func names(_ folder: TemporaryFolder, _ run: String) -> [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: folder.path(run))) ?? []
  }

  private func weights(_ folder: TemporaryFolder, _ run: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: folder.path("\(run)/model.safetensors")))
  }

  /// The steps of a log, in order.
  private func steps(_ folder: TemporaryFolder, _ run: String) throws -> [Int] {
    try String(contentsOfFile: folder.path("\(run)/log.jsonl"), encoding: .utf8).split(separator: "\n")
      .compactMap {
        let fields = try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
        return fields?["loss"] == nil ? nil : fields?["step"] as? Int
      }
  }

  @Test func twentyKillsAtRandomMomentsLeaveTheWeightsOfAnUnbrokenRun() throws {
    let folder = try data(checkpointEvery: 2)
    let whole = try GPT4MM.finish(train(folder, "whole", resume: false))
    #expect(whole.code == 0, "\(whole.errors)")

    var generator = SystemRandomNumberGenerator()
    var kills = 0
    var killsInAWrite = 0
    while kills < 20 {
      let hasCheckpoint = names(folder, "broken").contains { $0.hasPrefix("checkpoint-") }
      let process = train(folder, "broken", resume: hasCheckpoint)
      process.standardError = FileHandle.nullDevice
      process.standardOutput = FileHandle.nullDevice
      try process.run()
      // Every other time as soon as a checkpoint is being written; else some time after the process began to train.
      let began = Date()
      let wait = Double.random(in: 0...0.1, using: &generator)
      let before = names(folder, "broken").filter { $0.hasPrefix("checkpoint-") }
      while process.isRunning, Date().timeIntervalSince(began) < 20 {
        let now = names(folder, "broken")
        if kills % 2 == 0, now.contains(where: { $0.hasSuffix(".partial") }) { break }
        if kills % 2 == 1, now.filter({ $0.hasPrefix("checkpoint-") }) != before { break }
      }
      if kills % 2 == 1 { Thread.sleep(forTimeInterval: wait) }
      // A run that came to its end is the unbroken one's equal already.
      guard process.isRunning else { break }
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
      kills += 1
      if names(folder, "broken").contains(where: { $0.hasSuffix(".partial") }) { killsInAWrite += 1 }
    }
    #expect(kills == 20)
    #expect(killsInAWrite > 0)
    let last = try GPT4MM.finish(train(folder, "broken", resume: true))
    #expect(last.code == 0, "\(last.errors)")
    #expect(try weights(folder, "broken") == weights(folder, "whole"))
    #expect(try steps(folder, "broken") == Array(1...Self.steps))
    #expect(!names(folder, "broken").contains { $0.hasSuffix(".partial") })
  }

  @Test(arguments: [SIGTERM, SIGINT, SIGHUP])
  func aRunThatIsToldToStopSavesAndGoesOn(signal: Int32) throws {
    let folder = try data(checkpointEvery: 100_000)
    let whole = try GPT4MM.finish(train(folder, "whole", resume: false))
    #expect(whole.code == 0, "\(whole.errors)")
    let process = train(folder, "broken", resume: false)
    let errors = Pipe()
    process.standardError = errors
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    // The first progress line says that training has begun.
    var seen = Data()
    while !String(decoding: seen, as: UTF8.self).contains("samples/s") {
      let more = errors.fileHandleForReading.availableData
      guard !more.isEmpty else { break }
      seen += more
    }
    kill(process.processIdentifier, signal)
    let rest = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    #expect(process.terminationStatus == 130)
    #expect(
      String(decoding: rest, as: UTF8.self).hasSuffix(
        "with --resume: --out \(folder.path("broken"))\ngpt4mm: interrupted\n"))
    let files = names(folder, "broken")
    let checkpoint = try #require(files.first { $0.hasPrefix("checkpoint-") })
    #expect(!files.contains { $0.hasSuffix(".partial") })

    let refused = try GPT4MM.finish(train(folder, "broken", resume: false))
    #expect(refused.code == 1)
    #expect(refused.errors.contains("holds \(checkpoint) already: resume the run from the checkpoint"))
    let resumed = try GPT4MM.finish(train(folder, "broken", resume: true))
    #expect(resumed.code == 0, "\(resumed.errors)")
    #expect(try weights(folder, "broken") == weights(folder, "whole"))
  }

  /// Nobody reads what it says, or its terminal is gone: the work goes on.
  @Test(arguments: ["2> /dev/full", "2> >(head -c 10 > /dev/null)", "2>&-"])
  func aRunWhoseNotesAreLostGoesOn(errors: String) throws {
    let folder = try data(checkpointEvery: 100_000)
    let process = train(folder, "run", resume: false)
    let words = [GPT4MM.executable.path] + (process.arguments ?? [])
    process.executableURL = URL(fileURLWithPath: "/bin/bash")
    process.arguments = ["-c", #"exec "$@" \#(errors)"#, "bash"] + words
    #expect(try GPT4MM.finish(process).code == 0)
    #expect(names(folder, "run").contains("model.safetensors"))
  }

  @Test func nohupKeepsARunWhenTheTerminalGoes() throws {
    let folder = try data(checkpointEvery: 100_000)
    let process = train(folder, "run", resume: false)
    let words = [GPT4MM.executable.path] + (process.arguments ?? [])
    process.executableURL = URL(fileURLWithPath: "/bin/bash")
    process.arguments = ["-c", #"trap "" HUP; "$@" & sleep 1; kill -HUP $!; wait $!"#, "bash"] + words
    #expect(try GPT4MM.finish(process).code == 0)
  }

  @Test func withoutSpaceARunEndsWithAnErrorAndItsLastCheckpointIsWhole() throws {
    let folder = try data(checkpointEvery: 40)
    let first = train(folder, "run", resume: false)
    first.standardError = FileHandle.nullDevice
    first.standardOutput = FileHandle.nullDevice
    try first.run()
    while first.isRunning, !names(folder, "run").contains(where: { $0.hasPrefix("checkpoint-") }) {}
    kill(first.processIdentifier, SIGKILL)
    first.waitUntilExit()
    let before = names(folder, "run").filter { $0.hasPrefix("checkpoint-") }

    // A file of more than 64 blocks of 1 KiB cannot be written, as on a disk that is full.
    let limited = train(folder, "run", resume: true)
    let words = [GPT4MM.executable.path] + (limited.arguments ?? [])
    limited.executableURL = URL(fileURLWithPath: "/bin/bash")
    limited.arguments = ["-c", #"trap "" XFSZ; ulimit -f 64; exec "$@""#, "bash"] + words
    let full = try GPT4MM.finish(limited)
    #expect(full.code == 1)
    #expect(full.errors.contains("the checkpoint of step"), "\(full.errors)")
    #expect(full.errors.contains("could not be written"), "\(full.errors)")
    #expect(names(folder, "run").filter { $0.contains("checkpoint-") } == before)
    let resumed = try GPT4MM.finish(train(folder, "run", resume: true))
    #expect(resumed.code == 0, "\(resumed.errors)")
  }
}

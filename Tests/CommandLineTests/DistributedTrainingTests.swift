import Foundation
import MultiModalPipeline
import Testing
import Torch

/// One model trained by several processes of this machine.
@Suite(.serialized) struct DistributedTrainingTests {
  private static let steps = 12

  private func data(distributed: String, epochs: Int = 6, checkpointEvery: Int = 3) throws -> TemporaryFolder
  {
    try ColouredSquares.folder(
      colours: 8,
      settings: [
        "training": """
        {"epochs": \(epochs), "batch_size": 4, "learning_rate": 0.002, "warmup_steps": 2, "validation_every": 6,
         "checkpoint_every": \(checkpointEvery), "generated_samples": 8}
        """,
        "distributed": distributed,
      ])
  }

  /// The processes of one run, with torchrun's variables.
  private func processes(_ count: Int, _ folder: TemporaryFolder, _ run: String, resume: Bool = false) throws
    -> [Process]
  {
    let port = try LocalPort.free()
    return (0..<count).map { rank in
      let process = GPT4MM.process(
        ["train", "--data", folder.url.path, "--out", folder.path(run), "--threads", "1"]
          + (resume ? ["--resume"] : ["--config", folder.path("config.json")]))
      var environment = ProcessInfo.processInfo.environment
      if count > 1 {
        environment.merge([
          "RANK": "\(rank)", "LOCAL_RANK": "\(rank)", "WORLD_SIZE": "\(count)", "MASTER_ADDR": "127.0.0.1",
          "MASTER_PORT": "\(port)",
        ]) { $1 }
      }
      process.environment = environment
      return process
    }
  }

  /// Two processes that run, and what the first of them says.
  private func startBoth(_ folder: TemporaryFolder, _ run: String) throws -> ([Process], errors: Pipe) {
    let both = try processes(2, folder, run)
    let errors = Pipe()
    both[0].standardError = errors
    both[1].standardError = FileHandle.nullDevice
    for process in both {
      process.standardOutput = FileHandle.nullDevice
      try process.run()
    }
    return (both, errors)
  }

  /// Runs them to their ends.
  private func finish(_ processes: [Process]) throws -> [(code: Int32, errors: String)] {
    let pipes = try processes.map { process in
      let errors = Pipe()
      process.standardError = errors
      process.standardOutput = FileHandle.nullDevice
      try process.run()
      return errors
    }
    return zip(processes, pipes).map { process, pipe in
      let errors = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      process.waitUntilExit()
      return (process.terminationStatus, errors)
    }
  }

  private func log(_ folder: TemporaryFolder, _ run: String) throws -> [[String: Double]] {
    try String(contentsOfFile: folder.path("\(run)/log.jsonl"), encoding: .utf8).split(separator: "\n")
      .compactMap {
        (try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])?.compactMapValues {
          $0 as? Double
        }
      }
  }

  private func weights(_ folder: TemporaryFolder, _ run: String) throws -> [String: Tensor] {
    try Safetensors.read(URL(fileURLWithPath: folder.path("\(run)/model.safetensors"))).tensors
  }

  private func largestDifference(_ a: [String: Tensor], _ b: [String: Tensor]) throws -> Float {
    var largest: Float = a.keys.sorted() == b.keys.sorted() ? 0 : .infinity
    for (name, tensor) in a {
      let pairs = zip(try tensor.array(of: Float.self), try #require(b[name]).array(of: Float.self))
      largest = max(largest, pairs.map { abs($0 - $1) }.max() ?? 0)
    }
    return largest
  }

  @Test(arguments: [false, true])
  func severalProcessesTakeTheStepsOfOne(shardsOptimizer: Bool) throws {
    let folder = try data(
      distributed:
        #"{"shard_optimizer": \#(shardsOptimizer), "bucket_megabytes": 0.05, "timeout_seconds": 60}"#)
    for count in [1, 2, 4] {
      for outcome in try finish(processes(count, folder, "run\(count)")) {
        #expect(outcome.code == 0, "\(outcome.errors)")
      }
    }
    let expected = try log(folder, "run1")
    #expect(expected.count == Self.steps + 2)
    for count in [2, 4] {
      let entries = try log(folder, "run\(count)")
      #expect(entries.count == expected.count)
      for (entry, other) in zip(entries, expected) {
        for key in ["step", "loss", "gradient_norm", "validation_loss", "exact_match"] {
          let (a, b) = (entry[key], other[key])
          #expect((a == nil) == (b == nil))
          // The first step is of the same weights; later ones add up what rounds differently.
          let tolerance = entry["step"] == 1 ? 1e-6 : 1e-4
          #expect(
            abs((a ?? 0) - (b ?? 0)) <= tolerance * max(1, abs(b ?? 0)),
            "\(key) of \(count): \(entry) \(other)")
        }
      }
      #expect(try largestDifference(weights(folder, "run\(count)"), weights(folder, "run1")) < 1e-3)
    }
  }

  @Test func aLostProcessEndsTheOthersAndTheRunGoesOnWithAnotherNumber() throws {
    let folder = try data(distributed: #"{"shard_optimizer": true, "timeout_seconds": 20}"#, epochs: 2000)
    let (both, errors) = try startBoth(folder, "run")
    while both[0].isRunning,
      !((try? FileManager.default.contentsOfDirectory(atPath: folder.path("run"))) ?? [])
        .contains(where: { $0.hasPrefix("checkpoint-") })
    {}
    kill(both[1].processIdentifier, SIGKILL)
    let lost = Date()
    let said = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    both.forEach { $0.waitUntilExit() }
    #expect(Date().timeIntervalSince(lost) < 25)
    #expect(both[0].terminationStatus == 1)
    #expect(said.contains("one of them ended"), "\(said)")
    #expect(said.contains("--resume"), "\(said)")

    // The rest of so long a run is not waited for.
    let alone = try processes(1, folder, "run", resume: true)[0]
    let more = Pipe()
    alone.standardError = more
    alone.standardOutput = FileHandle.nullDevice
    try alone.run()
    var seen = ""
    while !seen.contains("samples/s") {
      let data = more.fileHandleForReading.availableData
      guard !data.isEmpty else { break }
      seen += String(decoding: data, as: UTF8.self)
    }
    #expect(seen.contains("going on after"), "\(seen)")
    alone.interrupt()
    _ = more.fileHandleForReading.readDataToEndOfFile()
    alone.waitUntilExit()
    #expect(alone.terminationStatus == 130)
  }

  /// Runs a process until its log has a step, and stops it.
  /// - Returns: the losses up to that step
  private func losses(of process: Process, _ folder: TemporaryFolder, _ run: String, to step: Double) throws
    -> [Double]
  {
    func entries() -> [[String: Double]] { ((try? log(folder, run)) ?? []).filter { $0["loss"] != nil } }
    process.standardError = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    while process.isRunning, entries().last?["step"] ?? 0 < step { usleep(10_000) }
    process.interrupt()
    process.waitUntilExit()
    return entries().compactMap { $0["step"] ?? 0 <= step ? $0["loss"] : nil }
  }

  @Test(arguments: [SIGKILL, SIGSTOP]) func nothingThatWasLearnedIsLostWithAProcess(signal: Int32) throws {
    let folder = try data(distributed: #"{"timeout_seconds": 5}"#, epochs: 2000, checkpointEvery: 100_000)
    let (both, errors) = try startBoth(folder, "run")
    while both[0].isRunning, ((try? log(folder, "run")) ?? []).count < 8 { usleep(1000) }
    kill(both[1].processIdentifier, signal)
    let said = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    both[0].waitUntilExit()
    kill(both[1].processIdentifier, SIGKILL)
    both[1].waitUntilExit()
    #expect(said.contains("with --resume they go on from the newest checkpoint"), "\(said)")
    let reached = try #require(try log(folder, "run").last { $0["loss"] != nil }?["step"])
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path("run"))
    #expect(names.contains("checkpoint-\(Int(reached))"), "\(reached): \(names)")
    // As if nothing had happened.
    let resumed = try losses(of: processes(1, folder, "run", resume: true)[0], folder, "run", to: reached + 5)
    let whole = try losses(of: processes(1, folder, "whole")[0], folder, "whole", to: reached + 5)
    #expect(resumed.count == Int(reached) + 5 && whole.count == resumed.count)
    #expect(zip(resumed, whole).allSatisfy { abs($0 - $1) <= 1e-3 * max(1, $1) }, "\(resumed) \(whole)")
  }

  @Test func aStopOfOneProcessStopsAllAtTheSameStep() throws {
    let folder = try data(distributed: #"{"timeout_seconds": 20}"#, epochs: 2000)
    let (both, errors) = try startBoth(folder, "run")
    var seen = ""
    while !seen.contains("samples/s") {
      let data = errors.fileHandleForReading.availableData
      guard !data.isEmpty else { break }
      seen += String(decoding: data, as: UTF8.self)
    }
    kill(both[1].processIdentifier, SIGTERM)
    _ = errors.fileHandleForReading.readDataToEndOfFile()
    both.forEach { $0.waitUntilExit() }
    #expect(both.map(\.terminationStatus) == [130, 130])
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path("run"))
    #expect(names.contains { $0.hasPrefix("checkpoint-") } && !names.contains { $0.hasSuffix(".partial") })
  }

  /// Nobody waits for the time-out, neither for what the other was to send nor for the group's threads.
  @Test func aStopBesideAProcessThatHangsEndsWithinSeconds() throws {
    let folder = try data(distributed: #"{"timeout_seconds": 300}"#, epochs: 20000)
    let (both, errors) = try startBoth(folder, "run")
    var seen = ""
    while !seen.contains("samples/s") {
      let data = errors.fileHandleForReading.availableData
      guard !data.isEmpty else { break }
      seen += String(decoding: data, as: UTF8.self)
    }
    kill(both[1].processIdentifier, SIGSTOP)
    defer {
      kill(both[1].processIdentifier, SIGKILL)
      both[1].waitUntilExit()
    }
    Thread.sleep(forTimeInterval: 1)
    kill(both[0].processIdentifier, SIGTERM)
    let asked = Date()
    let said = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    both[0].waitUntilExit()
    #expect(Date().timeIntervalSince(asked) < 60)
    #expect(both[0].terminationStatus == 1)
    #expect(said.contains("hangs") && said.contains("interrupted") && said.contains("--resume"), "\(said)")
  }

  @Test(arguments: ["train", "validation"]) func allProcessesNeedTheSameData(part: String) throws {
    let (folder, other) = (try data(distributed: #"{"timeout_seconds": 20}"#), try data(distributed: "{}"))
    let lines = try String(contentsOfFile: other.path("\(part)/metadata.jsonl"), encoding: .utf8)
    try other.write(lines.replacingOccurrences(of: "\"red\"", with: "\"another\""), "\(part)/metadata.jsonl")
    let both = try processes(2, folder, "run")
    both[1].arguments = both[1].arguments?.map { $0 == folder.url.path ? other.url.path : $0 }
    let outcomes = try finish(both)
    #expect(outcomes.allSatisfy { $0.code == 1 })
    #expect(
      outcomes[1].errors.contains(
        "\(part) names other pictures or texts than on the first process's machine"),
      "\(outcomes[1].errors)")
  }

  @Test func aBatchSmallerThanTheNumberOfProcessesIsRefused() throws {
    let folder = try ColouredSquares.folder(colours: 8, settings: ["training": #"{"batch_size": 1}"#])
    let outcomes = try finish(processes(2, folder, "run"))
    #expect(outcomes.allSatisfy { $0.code == 1 })
    #expect(outcomes[0].errors.contains("give each at least one"), "\(outcomes[0].errors)")
  }
}

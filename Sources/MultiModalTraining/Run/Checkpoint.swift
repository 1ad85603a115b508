import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

/// A training run's whole state in a folder: weights, optimizer, moving average, tokenizer, and the step reached, from which
/// with the seed follow the learning rate, the place in the data and the random numbers.
///
/// A checkpoint is written beside its final name and renamed when complete, so what is there is whole. Checksums of its files
/// lie with it, by which damage is found.
struct Checkpoint {
  struct State: Codable, Equatable, Sendable {
    /// Steps done, those left out too.
    var step = 0
    var bestValidationLoss = Double.greatestFiniteMagnitude
    /// Where the best validation was.
    var bestStep: Int?
    var validationsWithoutImprovement = 0
    /// Steps in a row that were left out because they were not finite, and all of them.
    var skippedInARow = 0
    var skippedSteps = 0
    /// Pictures that were missing or damaged in one epoch, and which that was.
    var damagedPictures = 0
    var damagedEpoch = 0
    /// Ended before the last step, for want of improvement.
    var isStopped = false
    /// Seconds spent training, over all sessions.
    var seconds = 0.0
    var configuration: TrainingConfiguration
    /// How texts begin and end, by the names of transformers' `GenerationConfig`; nil where the model's configuration and the
    /// tokenizer say it.
    var generation: [String: JSONValue]?
    /// Of the training samples' names and texts.
    var dataFingerprint: String?
    /// The same of those to validate with.
    var validationFingerprint: String?
    /// A validation is due at this step, and was not done before the run was stopped.
    var isValidationDue: Bool?

    /// Changes the settings of a run that goes on from here. Those in its folder may have been changed since.
    /// - Throws: `TrainingError` for a setting that must stay.
    mutating func goOn(in run: URL, _ change: (inout TrainingConfiguration) throws -> Void) throws {
      try configuration.validate()
      // An older checkpoint may be gone on from than the one that chose which to keep.
      if let best = bestStep, best != step, access(Checkpoint.url(step: best, in: run).path, F_OK) != 0 {
        (bestStep, bestValidationLoss) = (nil, .greatestFiniteMagnitude)
      }
      let file = run.appendingPathComponent(TrainingConfiguration.fileName)
      if access(file.path, F_OK) == 0 {
        try changeSettings { $0 = try TrainingConfiguration(contentsOf: file) }
      }
      // It may have been done since, before a kill.
      if isValidationDue == true, let loss = RunRecord.validationLoss(ofStep: step, in: run) {
        note(validationLoss: loss)
      }
      try changeSettings(change)
    }

    /// Notes this step's validation.
    /// - Returns: whether it is better than ever before
    @discardableResult mutating func note(validationLoss loss: Double) -> Bool {
      isValidationDue = nil
      guard loss < bestValidationLoss else {
        validationsWithoutImprovement += 1
        let patience = configuration.training.earlyStopPatience
        isStopped = patience > 0 && validationsWithoutImprovement >= patience
        return false
      }
      (bestValidationLoss, bestStep, validationsWithoutImprovement) = (loss, step, 0)
      return true
    }

    private mutating func changeSettings(_ change: (inout TrainingConfiguration) throws -> Void) throws {
      let before = configuration
      try change(&configuration)
      try configuration.check(goingOnFrom: before)
      // The same data in another place are no other setting.
      var moved = before
      moved.data.validation = configuration.data.validation
      if configuration != moved { (isStopped, validationsWithoutImprovement) = (false, 0) }
    }
  }

  /// What is written: copies, which training does not change.
  struct Snapshot: Sendable {
    let state: State
    let parameters: [(String, Tensor)]
    /// By `AdamW.State`'s parts and parameter.
    let optimizer: [(String, Tensor)]
    /// Empty without a moving average.
    let average: [(String, Tensor)]
    let tokenizer: TokenizerFiles
  }

  static let parametersName = "model.safetensors"
  static let averageName = "average.safetensors"
  private static let optimizerName = "optimizer.safetensors"
  private static let stateName = "state.json"
  private static let checksumsName = "checksums.json"
  private static let prefix = "checkpoint-"
  private static let partialPrefix = ".checkpoint-"

  static func url(step: Int, in run: URL) -> URL { run.appendingPathComponent("\(prefix)\(step)") }

  /// The newest checkpoint in a run's folder.
  static func latest(in run: URL) -> URL? { steps(in: run).max().map { url(step: $0, in: run) } }

  private static func steps(in run: URL) -> [Int] {
    names(in: run).compactMap { $0.hasPrefix(prefix) ? Int($0.dropFirst(prefix.count)) : nil }
  }

  private static func names(in run: URL) -> [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: run.path)) ?? []
  }

  // MARK: Writing

  /// Writes a checkpoint, and removes those that are not to be kept and what a killed run left unfinished.
  static func write(_ snapshot: Snapshot, in run: URL) throws {
    let files = FileManager.default
    let state = snapshot.state
    let final = url(step: state.step, in: run)
    let partial = run.appendingPathComponent("\(partialPrefix)\(state.step).partial")
    try? files.removeItem(at: partial)
    do {
      // A resumed run comes to the same state, so what is there already is right.
      if !files.fileExists(atPath: final.path) {
        try AtomicFile.makeFolder(partial)
        let file = { (name: String) in partial.appendingPathComponent(name) }
        try Safetensors.write(snapshot.parameters, to: file(parametersName))
        try Safetensors.write(snapshot.optimizer, to: file(optimizerName))
        if !snapshot.average.isEmpty { try Safetensors.write(snapshot.average, to: file(averageName)) }
        try snapshot.tokenizer.write(to: partial)
        try AtomicFile.write(JSONEncoder().encode(state), to: file(stateName))
        try seal(partial)
        try AtomicFile.rename(partial, to: final)
      }
    } catch {
      try? files.removeItem(at: partial)
      throw TrainingError("the checkpoint of step \(state.step) could not be written: \(error)")
    }
    removeOld(keeping: state, in: run)
  }

  /// What cannot be removed does no harm, so it ends no training.
  private static func removeOld(keeping state: State, in run: URL) {
    let newest = steps(in: run).sorted().suffix(state.configuration.training.keepCheckpoints)
    for step in steps(in: run) where !newest.contains(step) && step != state.bestStep {
      // Under another name first: a part of a checkpoint must not look like one.
      let old = run.appendingPathComponent("\(partialPrefix)\(step).partial")
      try? AtomicFile.rename(url(step: step, in: run), to: old)
    }
    removePartial(in: run, prefix: partialPrefix)
  }

  /// Removes what a killed run left unfinished: checkpoints and any other file. While a run goes on, others may be about to be
  /// finished.
  static func removePartial(in run: URL, prefix: String = ".") {
    for name in names(in: run) where name.hasPrefix(prefix) && name.hasSuffix(".partial") {
      try? FileManager.default.removeItem(at: run.appendingPathComponent(name))
    }
  }

  // MARK: Damage

  /// Notes what its files add up to.
  static func seal(_ url: URL) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    try AtomicFile.write(encoder.encode(checksums(of: url)), to: url.appendingPathComponent(checksumsName))
  }

  /// - Throws: `TrainingError` for a checkpoint whose files are not as they were written.
  static func verify(_ url: URL) throws {
    let file = url.appendingPathComponent(checksumsName)
    // Those of earlier versions have none.
    guard access(file.path, F_OK) == 0 else { return }
    let noted = try? JSONDecoder().decode([String: String].self, from: InputFile.json(file))
    let found = try checksums(of: url)
    guard let noted else {
      throw TrainingError("\(url.path) is damaged: its \(checksumsName) cannot be read")
    }
    if let wrong = Set(noted.keys).union(found.keys).sorted().first(where: { noted[$0] != found[$0] }) {
      throw TrainingError("\(url.path) is damaged: its \(wrong) is not as it was written")
    }
  }

  private static func checksums(of url: URL) throws -> [String: String] {
    try Dictionary(
      uniqueKeysWithValues: names(in: url).filter { $0 != checksumsName }.map {
        ($0, String(try CRC32.checksum(of: url.appendingPathComponent($0)), radix: 16))
      })
  }

  /// The newest checkpoint that is as it was written; nil where there is none at all. Newer ones get another name.
  /// - Parameter warn: gets what is wrong with them
  /// - Throws: `TrainingError` when none is sound.
  static func newestSound(in run: URL, warn: (String) -> Void) throws -> URL? {
    var damaged: [(url: URL, error: any Error)] = []
    for url in steps(in: run).sorted(by: >).map({ url(step: $0, in: run) }) {
      do {
        try verify(url)
        _ = try state(of: url)
      } catch {
        damaged.append((url, error))
        continue
      }
      for (other, error) in damaged {
        let aside = run.appendingPathComponent("damaged-\(other.lastPathComponent)")
        try? FileManager.default.removeItem(at: aside)
        try AtomicFile.rename(other, to: aside)
        warn(
          "\(error): it is now named \(aside.lastPathComponent), and the run goes on from \(url.lastPathComponent)"
        )
      }
      return url
    }
    if let error = damaged.first?.error { throw error }
    return nil
  }

  // MARK: Reading

  /// First and second moments and step counts, by `AdamW.State`'s parts and parameter.
  static func tensors(of state: [String: AdamW.State]) -> [(String, Tensor)] {
    state.sorted { $0.key < $1.key }.flatMap { name, state in
      [
        ("first_moment.\(name)", state.firstMoment), ("second_moment.\(name)", state.secondMoment),
        ("step.\(name)", state.step),
      ]
    }
  }

  static func optimizerTensors(of url: URL) throws -> [String: Tensor] {
    try Safetensors.read(url.appendingPathComponent(optimizerName)).tensors
  }

  static func state(of url: URL) throws -> State {
    let state: State
    do {
      state = try JSONDecoder().decode(
        State.self, from: Data(contentsOf: url.appendingPathComponent(stateName)))
    } catch {
      throw TrainingError("\(url.path) is no checkpoint of this program: \(error.localizedDescription)")
    }
    let counts = [
      state.step, state.validationsWithoutImprovement, state.skippedInARow, state.skippedSteps,
      state.damagedPictures, state.bestStep ?? 0,
    ]
    guard counts.allSatisfy({ (0...1 << 40).contains($0) }), (0...1e12).contains(state.seconds) else {
      throw TrainingError("\(url.path) is a damaged checkpoint: its \(stateName) has numbers that cannot be")
    }
    return state
  }
}

/// Writes checkpoints while training goes on, one after the other.
final class CheckpointWriter: Sendable {
  private let run: URL
  private let outcome = Outcome<Void>()
  private let queue = DispatchQueue(label: "checkpoints")

  init(_ run: URL) { self.run = run }

  /// Waits for the checkpoint before, and begins to write this one.
  /// - Throws: `TrainingError` when the one before could not be written.
  func write(_ snapshot: Checkpoint.Snapshot) async throws {
    try await finish()
    queue.async { [run, outcome] in
      outcome.set(Result { try Checkpoint.write(snapshot, in: run) })
    }
  }

  /// - Throws: `TrainingError` when a checkpoint could not be written; does not wait for one that is being written.
  func check() throws { _ = try outcome.get() }

  /// Waits until all is written.
  func finish() async throws {
    await withCheckedContinuation { done in queue.async { done.resume() } }
    try check()
  }

  /// The same, and blocks its thread.
  func finishBlocking() throws {
    queue.sync {}
    try check()
  }
}

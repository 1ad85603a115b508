import Foundation
import MultiModalPipeline
import Torch

/// A training run's whole state in a folder: weights, optimizer, tokenizer, random state and the step reached.
///
/// A checkpoint is written beside its final name and renamed when complete, so what is there is whole.
struct Checkpoint {
  struct State: Codable, Equatable {
    /// Steps done.
    var step = 0
    var bestValidationLoss = Double.greatestFiniteMagnitude
    /// Seconds spent training, over all sessions.
    var seconds = 0.0
    var configuration: TrainingConfiguration
    /// Of the training pictures' names and texts.
    var dataFingerprint: String?
  }

  private static let prefix = "checkpoint-"

  /// The newest checkpoint in a run's folder.
  static func latest(in run: URL) -> URL? {
    let steps = names(in: run).compactMap { $0.hasPrefix(prefix) ? Int($0.dropFirst(prefix.count)) : nil }
    return steps.max().map { run.appendingPathComponent("\(prefix)\($0)") }
  }

  private static func names(in run: URL) -> [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: run.path)) ?? []
  }

  /// Writes a checkpoint and removes all others, those that a killed run left unfinished too.
  static func save(
    _ state: State, parameters: ParameterStore, optimizer: AdamW, tokenizer: Tokenizer, in run: URL
  ) throws {
    let files = FileManager.default
    let final = run.appendingPathComponent("\(prefix)\(state.step)")
    let partial = run.appendingPathComponent(".\(prefix)\(state.step).partial")
    try? files.removeItem(at: partial)
    do {
      try AtomicFile.makeFolder(partial)
      try Safetensors.write(parameters.tensors(), to: partial.appendingPathComponent("model.safetensors"))
      var moments: [(String, Tensor)] = []
      for (name, state) in optimizer.state.sorted(by: { $0.key < $1.key }) {
        moments.append(("first_moment.\(name)", state.firstMoment))
        moments.append(("second_moment.\(name)", state.secondMoment))
        moments.append(("step.\(name)", state.step))
      }
      moments.append(("random_state", try Generator.default().state()))
      try Safetensors.write(moments, to: partial.appendingPathComponent("optimizer.safetensors"))
      try AtomicFile.write(tokenizer.modelData, to: partial.appendingPathComponent(ModelFolder.tokenizerName))
      try AtomicFile.write(JSONEncoder().encode(state), to: partial.appendingPathComponent("state.json"))
      if files.fileExists(atPath: final.path) { try files.removeItem(at: final) }
      try files.moveItem(at: partial, to: final)
      for name in names(in: run)
      where name != final.lastPathComponent && (name.hasPrefix(prefix) || name.hasPrefix(".\(prefix)")) {
        try files.removeItem(at: run.appendingPathComponent(name))
      }
    } catch {
      try? files.removeItem(at: partial)
      throw error
    }
  }

  /// Puts a checkpoint's weights, moments and random state in place.
  static func load(_ url: URL, parameters: ParameterStore, optimizer: AdamW) throws {
    _ = try parameters.load(Safetensors.read(url.appendingPathComponent("model.safetensors")).tensors)
    let saved = try Safetensors.read(url.appendingPathComponent("optimizer.safetensors")).tensors
    var states: [String: AdamW.State] = [:]
    for name in optimizer.state.keys {
      guard let first = saved["first_moment.\(name)"], let second = saved["second_moment.\(name)"],
        let step = saved["step.\(name)"]
      else {
        throw TrainingError("\(url.path) has no optimizer state of \(name): it belongs to another model")
      }
      states[name] = AdamW.State(firstMoment: first, secondMoment: second, step: step)
    }
    try optimizer.restore(states)
    if let random = saved["random_state"] { try Generator.default().setState(random.clone()) }
  }

  static func state(of url: URL) throws -> State {
    do {
      return try JSONDecoder().decode(
        State.self, from: Data(contentsOf: url.appendingPathComponent("state.json")))
    } catch {
      throw TrainingError("\(url.path) is no checkpoint of this program: \(error.localizedDescription)")
    }
  }
}

import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

extension Trainer {
  /// Copies of all that a checkpoint holds. Every process takes part; the first gets it, the others nil.
  func snapshot() throws -> Checkpoint.Snapshot? {
    let states = try withoutGradients { try gatheredOptimizerState() }
    guard isFirst else { return nil }
    func copies(_ tensors: [(String, Tensor)]) throws -> [(String, Tensor)] {
      try tensors.map { ($0.0, try device == .cpu ? $0.1.detach().clone() : $0.1.detach().to(device: .cpu)) }
    }
    return Checkpoint.Snapshot(
      state: state, parameters: try copies(model.parameters.tensors()),
      optimizer: try copies(Checkpoint.tensors(of: states)),
      average: try copies(average.map { $0.values.sorted { $0.key < $1.key } } ?? []),
      tokenizer: bundle.tokenizer.files)
  }

  /// Writes a checkpoint of the last whole step where another process is lost and the first has all that belongs to it.
  func saveAlone(_ writer: CheckpointWriter?) async throws {
    guard state.step > 0, state.skippedInARow == 0, processes?.sharesState == false,
      let snapshot = try snapshot()
    else { return }
    try await writer?.write(snapshot)
  }

  /// The optimizer's whole state, where each process keeps a share of it.
  private func gatheredOptimizerState() throws -> [String: AdamW.State] {
    guard let processes else { return optimizer.state }
    var states: [String: AdamW.State] = optimizer.state
    for parameter in learned {
      guard let owner = processes.owner(of: parameter) else { continue }
      let state =
        try states[parameter.name]
        ?? AdamW.State(
          firstMoment: Tensor(uninitialized: parameter.shape, device: device),
          secondMoment: Tensor(uninitialized: parameter.shape, device: device),
          step: Tensor(uninitialized: [], device: device))
      for tensor in [state.firstMoment, state.secondMoment, state.step] {
        try processes.group.broadcast_(tensor, from: owner)
      }
      if isFirst { states[parameter.name] = state }
    }
    return states
  }

  /// Puts the weights in place that are the result, and adds adapters to them.
  /// - Parameters:
  ///   - checkpoint: whose weights they are; nil for the last ones, or their moving average
  ///   - adapters: a folder that gets the adapters alone, where there are some
  func finish(with checkpoint: URL? = nil, adapters: URL? = nil) throws {
    if let checkpoint { try load(checkpoint) } else { try average?.exchange() }
    average = nil
    guard settings.lora.rank > 0 else { return }
    if let adapters {
      try AdapterFolder.write(
        model.parameters, rank: settings.lora.rank, alpha: settings.lora.alpha, to: adapters)
    }
    try model.parameters.mergeAdapters()
  }

  /// Puts a checkpoint's weights, or their moving average, in place.
  private func load(_ checkpoint: URL) throws {
    try Checkpoint.verify(checkpoint)
    var tensors = try Safetensors.read(checkpoint.appendingPathComponent(Checkpoint.parametersName)).tensors
    if settings.emaDecay > 0 {
      tensors.merge(
        try Safetensors.read(checkpoint.appendingPathComponent(Checkpoint.averageName)).tensors
      ) { $1 }
    }
    _ = try model.parameters.load(tensors)
  }

  /// Puts a checkpoint's weights, optimizer state and moving average in place; of the state, what this process keeps.
  /// - Parameter checkpoint: of the first process, from which the others get it
  func restore(from checkpoint: URL?) throws {
    if let checkpoint {
      _ = try model.parameters.load(
        Safetensors.read(checkpoint.appendingPathComponent(Checkpoint.parametersName)).tensors)
    }
    let group = processes?.group
    try Self.share(model.parameters, group)
    let saved = try checkpoint.map(Checkpoint.optimizerTensors) ?? [:]
    let averages =
      try average == nil
      ? [:]
      : checkpoint.map { try Safetensors.read($0.appendingPathComponent(Checkpoint.averageName)).tensors }
        ?? [:]
    func part(_ name: String, of tensors: [String: Tensor], shape: [Int]) throws -> Tensor {
      if let checkpoint, tensors[name].map({ $0.shape == shape }) != true {
        throw TrainingError("\(checkpoint.path) has no optimizer state \(name): it belongs to another model")
      }
      guard let group else { return try tensors[name] ?? .zeros(shape) }
      let shared = try Tensor(uninitialized: shape, device: device)
      if let own = tensors[name] { try shared.copy_(own) }
      try group.broadcast_(shared, from: 0)
      return shared
    }
    var states: [String: AdamW.State] = [:]
    var averaged: [String: Tensor] = [:]
    for parameter in learned {
      let name = parameter.name
      let state = AdamW.State(
        firstMoment: try part("first_moment.\(name)", of: saved, shape: parameter.shape),
        secondMoment: try part("second_moment.\(name)", of: saved, shape: parameter.shape),
        step: try part("step.\(name)", of: saved, shape: []))
      if optimizer.state[name] != nil { states[name] = state }
      if average != nil { averaged[name] = try part(name, of: averages, shape: parameter.shape) }
    }
    try optimizer.restore(states)
    try average?.restore(averaged)
  }
}

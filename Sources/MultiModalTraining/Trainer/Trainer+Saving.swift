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

  /// Writes the run's model folder, and its adapters alone where it learned adapters.
  func export() throws {
    if settings.export == .best, let best = state.bestStep, best != state.step {
      try load(Checkpoint.url(step: best, in: run))
    } else {
      try average?.exchange()
    }
    if settings.lora.rank > 0 {
      try AdapterFolder.write(
        model.parameters, rank: settings.lora.rank, alpha: settings.lora.alpha,
        to: run.appendingPathComponent("adapter"))
      try model.parameters.mergeAdapters()
    }
    let minutes = Int((state.seconds / 60).rounded())
    let loss =
      state.bestStep == nil
      ? "" : String(format: " and reached a validation loss of %.4f", state.bestValidationLoss)
    try ModelFolder.write(
      model, tokenizer: bundle.tokenizer, processor: bundle.processor, generation: bundle.generation, to: run,
      dtype: settings.weights.dtype,
      readme: """
        # A model that writes texts for pictures

        Trained by `gpt4mm train` on \(trainingExamples) samples for \(state.step) steps of \
        \(settings.batchSize * settings.gradientAccumulationSteps) samples (\(minutes) minutes)\(loss).

            gpt4mm caption --model . PICTURE      (with --prompt TEXT where it was trained with prompts)

        """)
  }

  /// Puts a checkpoint's weights, or their moving average, in place.
  private func load(_ checkpoint: URL) throws {
    try Checkpoint.verify(checkpoint)
    var tensors = try Safetensors.read(checkpoint.appendingPathComponent(Checkpoint.parametersName)).tensors
    if average != nil {
      tensors.merge(
        try Safetensors.read(checkpoint.appendingPathComponent(Checkpoint.averageName)).tensors
      ) { $1 }
    }
    _ = try model.parameters.load(tensors)
  }
}

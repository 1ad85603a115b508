import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

/// A training run in a folder: a ``Trainer`` with all that surrounds it.
///
/// The folder holds checkpoints, the log, TensorBoard's events, the report and, at the end, the model. A run that was
/// interrupted goes on from its newest checkpoint. Where no model is given to begin with, one is made, with a vocabulary of the
/// training texts. Several processes train one model when each makes a run with its place in a `ProcessGroup`; the first of them
/// writes.
public final class TrainingRun {
  let trainer: Trainer
  private let folder: URL
  private let lock: RunLock?
  private let warnings: [String]
  private let writer: CheckpointWriter
  private var record: RunRecord?

  /// - Parameters:
  ///   - data: a folder with `train` and, where there is one, `validation`, each a dataset; or one dataset, for training without
  ///     validation
  ///   - validation: a dataset to validate with, instead of the one in `data`; a run that goes on knows its own
  ///   - folder: where checkpoints and the model go
  ///   - resume: go on from the run's newest sound checkpoint, with its configuration; else the run's folder must not have one.
  ///     Of several processes the first one's counts
  ///   - change: what to change of the configuration of a run that goes on, such as its epochs
  ///   - base: a model folder whose weights, tokenizer and picture sizes the run begins with
  ///   - group: the processes that train this model together
  ///   - progress: gets the samples that were read through before training begins
  /// - Throws: an error in the user's words, before anything is trained.
  public convenience init(
    data: URL, validation: URL? = nil, folder: URL, configuration: TrainingConfiguration, resume: Bool,
    change: (inout TrainingConfiguration) throws -> Void = { _ in }, from base: URL? = nil,
    group: ProcessGroup? = nil, device: Device = .cpu, progress: @escaping (_ samples: Int) -> Void = { _ in }
  ) throws {
    let start = try RunStart(
      run: folder, given: configuration, validation: validation, resume: resume, change: change, base: base,
      group: group)
    let data = try TrainingData(data, start.state.configuration.data)
    try self.init(start, data, folder, group, device, progress)
  }

  /// The same with datasets of any kind, which a run that goes on must be given again.
  /// - Parameter validation: what to validate with; nil for what the configuration says
  public convenience init(
    on training: any Dataset, validation: (any Dataset)? = nil, folder: URL,
    configuration: TrainingConfiguration, resume: Bool,
    change: (inout TrainingConfiguration) throws -> Void = { _ in }, from base: URL? = nil,
    group: ProcessGroup? = nil, device: Device = .cpu, progress: @escaping (_ samples: Int) -> Void = { _ in }
  ) throws {
    let start = try RunStart(
      run: folder, given: configuration, validation: nil, resume: resume, change: change, base: base,
      group: group)
    let data = try TrainingData(training, validation: validation, start.state.configuration.data)
    try self.init(start, data, folder, group, device, progress)
  }

  private init(
    _ start: RunStart, _ data: TrainingData, _ folder: URL, _ group: ProcessGroup?, _ device: Device,
    _ progress: @escaping (Int) -> Void
  ) throws {
    trainer = try Self.trainer(start, data, group, device, progress)
    let step = trainer.state.step
    guard (0...trainer.schedule.steps).contains(step) else {
      throw TrainingError(
        "\(folder.path) is at step \(step), but \(trainer.settings.epochs) epochs end at step "
          + "\(trainer.schedule.steps): train for more")
    }
    if start.isResumed { try trainer.restore(from: start.checkpoint) }
    self.folder = folder
    (lock, warnings, writer) = (start.lock, start.warnings, CheckpointWriter(folder))
    if trainer.isFirst {
      try trainer.configuration.write(to: folder)
      Checkpoint.removePartial(in: folder)
      record = try RunRecord(folder, step: step)
    }
  }

  private static func trainer(
    _ start: RunStart, _ data: TrainingData, _ group: ProcessGroup?, _ device: Device,
    _ progress: @escaping (Int) -> Void
  ) throws -> Trainer {
    let read = try RunData(data, start, group: group, progress: progress)
    let bundle = try ModelBundle(
      model: start.model(read.state.configuration, group: group, device: device), tokenizer: read.tokenizer,
      processor: ImageProcessor(configuration: read.state.configuration.image), generation: read.generation)
    return try Trainer(
      bundle, data, training: read.training, validation: read.validation, read.state, group: group)
  }

  /// Whether there is a run to go on with.
  public static func canResume(_ folder: URL) -> Bool { Checkpoint.latest(in: folder) != nil }

  /// Trains to the end, or until the task is cancelled, in any of the processes: then the checkpoint is written before
  /// `CancellationError` is thrown.
  /// - Returns: the model folder.
  public func train(report: (Trainer.Event) -> Void = { _ in }) async throws -> URL {
    if trainer.isFirst { for warning in warnings { report(.warning(warning)) } }
    try await trainer.train(saving: writer) { event in
      report(event)
      for warning in note(event) { report(.warning(warning)) }
    }
    try finish()
    return folder
  }

  /// Writes what is left to be written. The other processes hear that the first is still at it, also when they were told to stop.
  private func finish() throws {
    // Nothing else is done with the run meanwhile.
    nonisolated(unsafe) let run = self
    let finish = { @Sendable in
      try run.writer.finishBlocking()
      try run.export()
      return true
    }
    _ = try trainer.processes.map { try $0.group.shared(slow: finish) } ?? finish()
  }

  /// Takes the first step of a new run, and says what came of it. Nothing is written.
  public static func tryFirstStep(
    data: URL, validation: URL? = nil, configuration: TrainingConfiguration, from base: URL? = nil,
    group: ProcessGroup? = nil, device: Device = .cpu, progress: @escaping (_ samples: Int) -> Void = { _ in }
  ) async throws -> Trainer.Trial {
    let start = try RunStart(
      run: nil, given: configuration, validation: validation, resume: false, change: { _ in }, base: base,
      group: group)
    let data = try TrainingData(data, start.state.configuration.data)
    return try await trainer(start, data, group, device, progress).tryFirstStep()
  }

  /// - Returns: what went wrong
  private func note(_ event: Trainer.Event) -> [String] {
    // In its place: a copy's history, which grows with the run, would be copied at every step.
    guard var warnings = record?.add(event) else { return [] }
    guard case .validated(_, _, let evaluation, _) = event else { return warnings }
    do {
      try record?.writeReport(
        summary: summary, examples: Array(zip(trainer.heldOut?.jobs ?? [], evaluation?.results ?? [])),
        limits: trainer.bundle.processor.configuration.limits)
    } catch { warnings.append("\(error)") }
    return warnings
  }

  private var summary: [(String, String)] {
    let (state, summary) = (trainer.state, trainer.beginning)
    let loss =
      state.bestStep.map { String(format: "%.4f, at step %d", state.bestValidationLoss, $0) } ?? "none"
    return [
      ("Step", "\(state.step) of \(summary.steps)"), ("Best validation loss", loss),
      ("Training samples", "\(summary.trainingExamples)"),
      ("Validation samples", "\(summary.validationExamples)"),
      ("Parameters", "\(summary.parameters)"), ("Learned parameters", "\(summary.learnedParameters)"),
      ("Processes", "\(summary.processes)"),
      ("Time", Duration.seconds(state.seconds).formatted(.time(pattern: .hourMinuteSecond))),
    ]
  }

  /// Writes the run's model folder, and its adapters alone where it learned adapters.
  private func export() throws {
    let (state, settings) = (trainer.state, trainer.settings)
    let best = settings.export == .best ? state.bestStep : nil
    try trainer.finish(
      with: best.flatMap { $0 == state.step ? nil : Checkpoint.url(step: $0, in: folder) },
      adapters: folder.appendingPathComponent("adapter"))
    let minutes = Int((state.seconds / 60).rounded())
    let loss =
      state.bestStep == nil
      ? "" : String(format: " and reached a validation loss of %.4f", state.bestValidationLoss)
    try ModelFolder.write(
      trainer.bundle, to: folder, dtype: settings.weights.dtype,
      readme: """
        # A model that writes texts for pictures

        Trained by `gpt4mm train` on \(trainer.trainingExamples) samples for \(state.step) steps of \
        \(trainer.samplesPerStep) samples (\(minutes) minutes)\(loss).

            gpt4mm caption --model . PICTURE      (with --prompt TEXT where it was trained with prompts)

        """)
  }
}

import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

/// Trains a model on pictures and texts, and leaves a model folder.
///
/// The run's folder holds checkpoints, the log, TensorBoard's events, the report and, at the end, the model. A run that was
/// interrupted goes on from its newest checkpoint. Several processes train one model when each makes a trainer with its
/// place in a `ProcessGroup`; the first of them writes.
///
/// Dropout draws from LibTorch's default generator, which each step leaves as it was: the random numbers of whoever shares
/// the process do not change.
public final class Trainer {
  let configuration: TrainingConfiguration
  let run: URL
  let bundle: ModelBundle
  let learned: [Parameter]
  let optimizer: AdamW
  let average: MovingAverage?
  let step: TrainingStep
  let training: BatchLoader
  let trainingExamples: Int
  let heldOut: HeldOut?
  let schedule: LearningRateSchedule
  let processes: DataParallel?
  let device: Device
  private let writer: CheckpointWriter
  private let lock: RunLock?
  private let warnings: [String]
  var state: Checkpoint.State
  var record: RunRecord?

  var model: any ImageToTextModel { bundle.model }
  var settings: TrainingConfiguration.Training { configuration.training }
  var isFirst: Bool { processes?.group.rank ?? 0 == 0 }

  /// - Parameters:
  ///   - data: a folder with `train` and, where there is one, `validation`, each a dataset; or one dataset, for training without
  ///     validation
  ///   - validation: a dataset to validate with, instead of the one in `data`; a run that goes on knows its own
  ///   - run: where checkpoints and the model go
  ///   - resume: go on from the run's newest sound checkpoint, with its configuration; else the run's folder must not have one.
  ///     Of several processes the first one's counts
  ///   - change: what to change of the configuration of a run that goes on, such as its epochs
  ///   - base: a model folder whose weights, tokenizer and picture sizes the run begins with
  ///   - group: the processes that train this model together
  ///   - progress: gets the samples that were read through before training begins
  /// - Throws: an error in the user's words, before anything is trained.
  public init(
    data: URL, validation: URL? = nil, run: URL, configuration given: TrainingConfiguration, resume: Bool,
    change: (inout TrainingConfiguration) throws -> Void = { _ in }, from base: URL? = nil,
    group: ProcessGroup? = nil, device: Device = .cpu,
    progress: (_ samples: Int) -> Void = { _ in }
  ) throws {
    let setup = try TrainerSetup(
      run: run, given: given, validation: validation, resume: resume, change: change, base: base,
      group: group,
      device: device)
    (lock, warnings) = (setup.lock, setup.warnings)
    var state = setup.state
    let source = try TrainingData(
      data, validation: state.validation.map(URL.init(fileURLWithPath:)),
      heldOutShare: state.configuration.data.validationShare)
    let read = try setup.read(source, state: &state, progress: progress)
    configuration = state.configuration
    let settings = configuration.training
    bundle = try ModelBundle(
      model: setup.model(configuration), tokenizer: read.tokenizer,
      processor: ImageProcessor(configuration: configuration.image), generation: read.generation)
    let (model, processor) = (bundle.model, bundle.processor)
    learned = model.parameters.trainable.filter(\.value.requiresGrad)
    processes = try group.map { [learned, configuration] in
      try DataParallel($0, learned: learned, settings: configuration.distributed)
    }
    let (decayed, others) = Self.decayGroups(learned)
    let own = { [processes] (parameters: [Parameter]) in
      parameters.filter { processes?.ownsState(of: $0) ?? true }
    }
    optimizer = try AdamW(
      groups: [
        ParameterGroup(parameters: own(decayed), weightDecay: settings.weightDecay),
        ParameterGroup(parameters: own(others), weightDecay: 0),
      ], beta1: settings.beta1, beta2: settings.beta2)
    average = settings.emaDecay > 0 ? try MovingAverage(learned, decay: settings.emaDecay) : nil
    try setup.restore(optimizer, average, learned: learned)

    model.checkpointsActivations = settings.activationCheckpointing
    step = TrainingStep(
      model, optimizer, precision: settings.precision, clipNorm: settings.clipNorm,
      labelSmoothing: settings.labelSmoothing, processes: processes, device: device)
    (training, heldOut) = try setup.loaders(source, read, processor: processor, configuration: configuration)
    trainingExamples = read.training.count
    schedule = LearningRateSchedule(
      shape: settings.schedule, peak: settings.learningRate, minimum: settings.minLearningRate,
      warmupSteps: settings.warmupSteps,
      steps: settings.epochs * training.batchesPerEpoch / settings.gradientAccumulationSteps)
    guard schedule.steps > 0 else {
      throw TrainingError(
        "\(settings.epochs) epochs of \(training.batchesPerEpoch) batches make no step of "
          + "gradient_accumulation_steps \(settings.gradientAccumulationSteps): lower it or train for more epochs"
      )
    }
    guard (0...schedule.steps).contains(state.step) else {
      throw TrainingError(
        "\(run.path) is at step \(state.step), but \(settings.epochs) epochs end at step \(schedule.steps): train for more"
      )
    }
    self.state = state
    self.run = run
    self.device = device
    writer = CheckpointWriter(run)
    if isFirst {
      try configuration.write(to: run)
      Checkpoint.removePartial(in: run)
      record = try RunRecord(run, step: state.step)
    }
  }

  /// Whether there is a run to go on with.
  public static func canResume(_ run: URL) -> Bool { Checkpoint.latest(in: run) != nil }

  /// Matrices decay; vectors, embeddings and learned positions do not.
  static func decayGroups(_ parameters: [Parameter]) -> (decayed: [Parameter], others: [Parameter]) {
    (parameters.filter { $0.role == .weight }, parameters.filter { $0.role != .weight })
  }

  // MARK: Training

  /// Trains to the end, or until the task is cancelled, in any of the processes: then the checkpoint is written before
  /// `CancellationError` is thrown.
  /// - Returns: the model folder.
  public func train(report: (Event) -> Void = { _ in }) async throws -> URL {
    let steps = schedule.steps
    let accumulation = settings.gradientAccumulationSteps
    if isFirst {
      for warning in warnings { report(.warning(warning)) }
      report(.began(beginning))
      if step.precision != settings.precision {
        report(
          .warning(
            "computing in float32: this CPU does not multiply \(settings.precision.rawValue), and without such instructions "
              + "that takes many times as long"))
      }
    }
    var clock = TrainingClock(secondsBefore: state.seconds)
    var loader = training.prefetch(
      state.step * accumulation..<max(state.step, steps) * accumulation, workers: configuration.data.workers)
    do {
      if state.isValidationDue == true { try await conclude(isCancelled: false, report) }
      while state.step < steps, !state.isStopped {
        var batches: [LoadedBatch] = []
        while batches.count < accumulation, let batch = try await clock.waiting({ try await loader.next() }) {
          batches.append(batch)
        }
        try await take(batches, &clock, report)
      }
      await loader.finish()
      try await writer.finish()
    } catch {
      await loader.finish()
      // An error of the last writing is not lost behind a cancellation.
      if error is CancellationError { try await writer.finish() } else { try? await writer.finish() }
      throw error
    }
    if isFirst { try export() }
    try processes?.group.barrier()
    return run
  }

  /// What training begins or goes on with.
  var beginning: Summary {
    Summary(
      trainingExamples: trainingExamples, validationExamples: heldOut?.count ?? 0,
      parameters: model.parameters.count, learnedParameters: learned.reduce(0) { $0 + $1.count },
      decayedParameters: Self.decayGroups(learned).decayed.reduce(0) { $0 + $1.count }, steps: schedule.steps,
      firstStep: state.step, processes: processes?.group.size ?? 1)
  }

  /// One step, and what is due after it.
  private func take(
    _ batches: [LoadedBatch], _ clock: inout TrainingClock, _ report: (Event) -> Void
  ) async throws {
    try writer.check()
    let damaged = batches.flatMap(\.damaged)
    var totals = [
      Double(batches.reduce(0) { $0 + ($1.batch?.targetCount ?? 0) }), Double(damaged.count),
      Task.isCancelled ? 1 : 0,
    ]
    if let processes { totals = try processes.sum(totals) }
    if totals[1] > 0 { try leaveOut(try gathered(damaged), report) }

    state.step += 1
    // Without any picture there is nothing to learn from.
    if totals[0] > 0 { try learn(batches, targetCount: Int(totals[0]), &clock, report) }
    if state.step % settings.validationEvery == 0 || state.step == schedule.steps {
      state.isValidationDue = true
    }
    try await conclude(isCancelled: totals[2] > 0, report)
  }

  private func learn(
    _ batches: [LoadedBatch], targetCount: Int, _ clock: inout TrainingClock, _ report: (Event) -> Void
  ) throws {
    // What a step draws follows from its number, so there is no random state to save.
    let number = state.step - 1
    let rate = schedule(number)
    let seed = SplitMix64(seed: settings.seed, place: number, processes?.group.rank ?? 0).state
    let (loss, norm) = try withSeed(seed, on: device) {
      try step(batches.map(\.batch), targetCount: targetCount, learningRate: rate)
    }
    clock.tick()
    state.seconds = clock.seconds
    guard loss.isFinite, norm?.isFinite ?? true else {
      return try skip(try gathered(batches.flatMap(\.samples).map(\.picture.place)), report)
    }
    state.skippedInARow = 0
    try average?.update()
    note(
      Progress(
        step: state.step, steps: schedule.steps, epoch: epoch(at: state.step), loss: loss,
        learningRate: rate,
        gradientNorm: norm ?? .nan,
        samplesPerSecond: clock.stepsPerSecond
          * Double(configuration.training.batchSize * settings.gradientAccumulationSteps),
        waitingShare: clock.waitingShare, memory: ProcessMemory.residentBytes,
        bytesSent: processes?.bytesPerStep ?? 0), report)
  }

  /// What is due after a step: validation and a checkpoint. One that ends the run is written too.
  private func conclude(isCancelled: Bool, _ report: (Event) -> Void) async throws {
    var ending: (any Error)? = isCancelled ? CancellationError() : nil
    var isBest = false
    if ending == nil, state.isValidationDue == true {
      do {
        isBest = try await validate(report)
        state.isValidationDue = nil
      } catch let error as AgreedEnding { ending = error.reason }
    }
    if state.isStopped, isFirst {
      report(.stoppedEarly(step: state.step, bestStep: state.bestStep ?? state.step))
    }
    let isLast = state.step == schedule.steps
    // While steps are left out, a checkpoint would push out the last good one.
    let isDue = state.step % settings.checkpointEvery == 0 && state.skippedInARow == 0
    if isDue || isLast || isBest || ending != nil || state.isStopped {
      if let snapshot = try snapshot() {
        try await writer.write(snapshot)
        report(.saved(step: state.step))
      }
    }
    if let ending { throw ending }
  }

  func epoch(at step: Int) -> Double {
    Double(step * settings.gradientAccumulationSteps) / Double(training.batchesPerEpoch)
  }

  private func note(_ progress: Progress, _ report: (Event) -> Void) {
    guard isFirst else { return }
    report(.step(progress))
    for warning in record?.add(progress) ?? [] { report(.warning(warning)) }
  }
}

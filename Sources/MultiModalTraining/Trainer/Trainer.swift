import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

/// Trains a model on pictures and texts. ``TrainingRun`` does so in a folder, from which it can go on after an interruption.
///
///     let trainer = try Trainer(bundle, on: dataset, configuration: configuration)
///     try await trainer.train()
///     try ModelFolder.write(trainer.bundle, to: folder)
///
/// Dropout draws from LibTorch's default generator, which each step leaves as it was: the random numbers of whoever shares
/// the process do not change.
public final class Trainer {
  /// What is trained. Its generation settings know the prompts of the training texts.
  public let bundle: ModelBundle
  let configuration: TrainingConfiguration
  let learned: [Parameter]
  let optimizer: AdamW
  /// Nil without one, and at the end, when it is the weights.
  var average: MovingAverage?
  let step: TrainingStep
  let training: BatchLoader
  let trainingExamples: Int
  let heldOut: HeldOut?
  let schedule: LearningRateSchedule
  let processes: DataParallel?
  var state: Checkpoint.State

  var model: any ImageToTextModel { bundle.model }
  var settings: TrainingConfiguration.Training { configuration.training }
  var device: Device { model.parameters.device }
  var isFirst: Bool { processes?.group.rank ?? 0 == 0 }

  /// Reads through the samples once, and gets ready for the first step.
  /// - Parameters:
  ///   - bundle: whose model is trained where it is, with the weights that it has
  ///   - validation: what to validate with; nil for what the configuration says
  ///   - configuration: how; the bundle takes the place of what it says of model, pictures and tokenizer
  ///   - progress: gets the samples that were read through
  /// - Throws: an error in the user's words for samples or settings that cannot be trained with.
  public convenience init(
    _ bundle: ModelBundle, on training: any Dataset, validation: (any Dataset)? = nil,
    configuration: TrainingConfiguration = TrainingConfiguration(),
    progress: @escaping (_ samples: Int) -> Void = { _ in }
  ) throws {
    var configuration = configuration
    configuration.model = ModelConfiguration(bundle.model.configuration)
    configuration.image = bundle.processor.configuration
    try configuration.validate()
    let data = try TrainingData(training, validation: validation, configuration.data)
    let encoder = ExampleEncoder(bundle)
    var reader = DatasetReader(nil, progress: progress)
    let summary = try reader.read(data.training, by: encoder)
    guard summary.count > 0 else { throw data.emptyTraining }
    try self.init(
      bundle, data, training: summary,
      validation: reader.readValidation(of: data, by: encoder, configuration.training),
      Checkpoint.State(configuration: configuration))
  }

  /// - Parameter group: the processes that train the model together, each with all samples
  init(
    _ bundle: ModelBundle, _ data: TrainingData, training summary: DatasetSummary,
    validation: DatasetReader.Validation?, _ state: Checkpoint.State, group: ProcessGroup? = nil
  ) throws {
    (configuration, self.state) = (state.configuration, state)
    let settings = state.configuration.training
    var generation = bundle.generation
    generation.prompts = summary.prompts?.sorted()
    self.bundle = try ModelBundle(
      model: bundle.model, tokenizer: bundle.tokenizer, processor: bundle.processor, generation: generation)
    let model = bundle.model
    learned = try Self.prepare(model.parameters, settings, group)
    processes = try group.map { [learned] in
      try DataParallel($0, learned: learned, settings: state.configuration.distributed)
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
    model.checkpointsActivations = settings.activationCheckpointing
    step = TrainingStep(
      model, optimizer, precision: settings.precision, clipNorm: settings.clipNorm,
      labelSmoothing: settings.labelSmoothing, processes: processes, device: model.parameters.device)
    trainingExamples = summary.count
    training = try BatchLoader(
      data.training, count: summary.count, self.bundle, state.configuration, group: group)
    heldOut = data.validation.flatMap { [bundle = self.bundle] dataset in
      validation.map {
        HeldOut(
          loader: BatchLoader(
            inOrder: dataset, count: $0.summary.count, bundle, batchSize: settings.batchSize, group: group),
          count: $0.summary.count, jobs: $0.jobs)
      }
    }
    schedule = try LearningRateSchedule(settings, batchesPerEpoch: training.batchesPerEpoch)
  }

  // MARK: Training

  /// Trains to the end, or until the task is cancelled. The model has learned adapters added then, and the moving average of its
  /// weights where it has one. The best validation's weights are kept by a ``TrainingRun`` alone.
  public func train(report: (Event) -> Void = { _ in }) async throws {
    try await train(saving: nil, report: report)
    try finish()
  }

  /// Trains to the end, or until the task is cancelled, in any of the processes: then a checkpoint is written before
  /// `CancellationError` is thrown. In the end the last checkpoint may still be about to be written.
  func train(saving writer: CheckpointWriter?, report: (Event) -> Void) async throws {
    let steps = schedule.steps
    let accumulation = settings.gradientAccumulationSteps
    // The first process tells what all do.
    func tell(_ event: Event) { if isFirst { report(event) } }
    tell(.began(beginning))
    if step.precision != settings.precision {
      tell(
        .warning(
          "computing in float32: this CPU does not multiply \(settings.precision.rawValue), and without such instructions "
            + "that takes many times as long"))
    }
    var clock = TrainingClock(secondsBefore: state.seconds)
    var loader = training.prefetch(
      state.step * accumulation..<max(state.step, steps) * accumulation, workers: configuration.data.workers)
    do {
      if state.isValidationDue == true {
        try await clock.pausing { try await conclude(isCancelled: false, writer, tell) }
      }
      while state.step < steps, !state.isStopped {
        var batches: [LoadedBatch]? = []
        do {
          for _ in 0..<accumulation {
            if let batch = try await clock.waiting({ try await loader.next() }) { batches?.append(batch) }
          }
        } catch is CancellationError { batches = nil }
        try writer?.check()
        let isCancelled = try takeWhole(batches, &clock, tell)
        try await clock.pausing { try await conclude(isCancelled: isCancelled, writer, tell) }
      }
      await loader.finish()
    } catch {
      await loader.finish()
      if error is LostProcessError { try? await saveAlone(writer) }
      // An error of the last writing is not lost behind a cancellation.
      if error is CancellationError { try await writer?.finish() } else { try? await writer?.finish() }
      throw error
    }
  }

  /// What training begins or goes on with.
  var beginning: Summary {
    Summary(
      trainingExamples: trainingExamples, validationExamples: heldOut?.count ?? 0,
      parameters: model.parameters.count, learnedParameters: learned.reduce(0) { $0 + $1.count },
      decayedParameters: Self.decayGroups(learned).decayed.reduce(0) { $0 + $1.count }, steps: schedule.steps,
      firstStep: state.step, processes: processes?.group.size ?? 1)
  }

  /// One step, or where another process is lost none: nothing is learned before all have given what they have, unless the
  /// optimizer's state is shared out.
  private func takeWhole(
    _ batches: [LoadedBatch]?, _ clock: inout TrainingClock, _ report: (Event) -> Void
  ) throws -> Bool {
    let before = state
    do {
      return try take(batches, &clock, report)
    } catch let error as LostProcessError {
      state = before
      throw error
    }
  }

  /// One step; none where a process has no batches.
  /// - Parameter batches: nil where the task was cancelled before they were there
  /// - Returns: whether the task of a process was cancelled
  private func take(
    _ batches: [LoadedBatch]?, _ clock: inout TrainingClock, _ report: (Event) -> Void
  ) throws -> Bool {
    let areThere = batches != nil
    let batches = batches ?? []
    let damaged = batches.flatMap(\.damaged)
    var totals = [
      Double(batches.reduce(0) { $0 + $1.targetCount }), Double(damaged.count),
      Task.isCancelled ? 1 : 0, areThere ? 0 : 1,
    ]
    if let processes { totals = try processes.sum(totals) }
    if totals[3] > 0 { return true }
    if totals[1] > 0 { try leaveOut(try gathered(damaged), report) }

    state.step += 1
    // Without any picture there is nothing to learn from.
    if totals[0] > 0 { try learn(batches, targetCount: Int(totals[0]), &clock, report) }
    if state.step % settings.validationEvery == 0 || state.step == schedule.steps {
      state.isValidationDue = true
    }
    return totals[2] > 0
  }

  private func learn(
    _ batches: [LoadedBatch], targetCount: Int, _ clock: inout TrainingClock, _ report: (Event) -> Void
  ) throws {
    let number = state.step - 1
    let (loss, norm) = try take(number, batches, targetCount: targetCount)
    clock.tick()
    state.seconds = clock.seconds
    guard loss.isFinite, norm?.isFinite ?? true else {
      return try skip(try gathered(batches.flatMap(\.samples).map(\.picture.place)), report)
    }
    state.skippedInARow = 0
    try average?.update()
    report(
      .step(
        Progress(
          step: state.step, steps: schedule.steps, epoch: epoch(at: state.step), loss: loss,
          learningRate: schedule(number), gradientNorm: norm ?? .nan,
          samplesPerSecond: clock.stepsPerSecond
            * Double(samplesPerStep),
          waitingShare: clock.waitingShare, memory: ProcessMemory.residentBytes,
          bytesSent: processes?.bytesPerStep ?? 0)))
  }

  /// A step of that number, from 0. What it draws follows from the number, so there is no random state to save.
  func take(_ number: Int, _ batches: [LoadedBatch], targetCount: Int) throws -> (
    loss: Double, gradientNorm: Double?
  ) {
    let seed = SplitMix64(seed: settings.seed, place: number, processes?.group.rank ?? 0).state
    return try withSeed(seed, on: device) {
      try step(batches.flatMap(\.parts), targetCount: targetCount, learningRate: schedule(number))
    }
  }

  /// What is due after a step: validation and a checkpoint. One that ends the run is written too.
  private func conclude(
    isCancelled: Bool, _ writer: CheckpointWriter?, _ report: (Event) -> Void
  ) async throws {
    var ending: (any Error)? = isCancelled ? CancellationError() : nil
    var isBest = false
    if ending == nil, state.isValidationDue == true {
      do {
        isBest = try await validate(report)
        state.isValidationDue = nil
      } catch let error as AgreedEnding { ending = error.reason }
    }
    if state.isStopped {
      report(.stoppedEarly(step: state.step, bestStep: state.bestStep ?? state.step))
    }
    let isLast = state.step == schedule.steps
    // While steps are left out, a checkpoint would push out the last good one.
    let isDue = state.step % settings.checkpointEvery == 0 && state.skippedInARow == 0
    if let saved = writer, isDue || isLast || isBest || ending != nil || state.isStopped,
      let snapshot = try snapshot()
    {
      try await saved.write(snapshot)
      report(.saved(step: state.step))
    }
    if let ending { throw ending }
  }

  /// Of all processes together.
  var samplesPerStep: Int { training.batchSize * settings.gradientAccumulationSteps }

  func epoch(at step: Int) -> Double {
    Double(step * settings.gradientAccumulationSteps) / Double(training.batchesPerEpoch)
  }
}

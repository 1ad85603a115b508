import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

/// Trains a model on a folder of pictures and texts, and leaves a model folder.
///
/// The run's folder holds the checkpoint, the tokenizer and, at the end, the model. A run that was interrupted goes
/// on from its checkpoint.
public final class Trainer {
  /// What a run tells while it goes.
  public enum Event: Sendable {
    case began(Summary)
    case step(Progress)
    case validated(step: Int, loss: Double, isBest: Bool)
    case saved(step: Int)
  }

  public struct Summary: Sendable {
    public let trainingExamples: Int
    public let validationExamples: Int
    public let parameters: Int
    public let decayedParameters: Int
    public let steps: Int
    /// The step that a resumed run goes on from; 0 for a new one.
    public let firstStep: Int
  }

  public struct Progress: Sendable {
    /// Steps done and in all.
    public let step: Int
    public let steps: Int
    public let epoch: Double
    public let loss: Double
    public let learningRate: Double
    /// Before clipping.
    public let gradientNorm: Double
    public let samplesPerSecond: Double
    /// The part of the time that was spent waiting for pictures and texts; near 0 while their loading keeps up.
    public let waitingShare: Double
  }

  private let configuration: TrainingConfiguration
  private let run: URL
  private let tokenizer: Tokenizer
  private let processor: ImageProcessor
  private let model: GPT4MultiModal
  private let optimizer: AdamW
  private let step: TrainingStep
  private let training: BatchLoader
  private let validation: BatchLoader?
  private let schedule: LearningRateSchedule
  private var state: Checkpoint.State

  /// - Parameters:
  ///   - data: a folder with `train/` and, where there is one, `validation/`, each with pictures and a
  ///     `metadata.jsonl`; or such a folder itself, for training without validation
  ///   - run: where checkpoints and the model go
  ///   - resume: go on from the run's checkpoint, with its configuration; else the run's folder must not have one
  /// - Throws: an error in the user's words, before anything is trained.
  public init(
    data: URL, run: URL, configuration given: TrainingConfiguration, resume: Bool, device: Device = .cpu
  )
    throws
  {
    let latest = Checkpoint.latest(in: run)
    if !resume {
      for name in [latest?.lastPathComponent, ModelFolder.configurationName, ModelFolder.weightsName]
        .compactMap({ $0 })
      where FileManager.default.fileExists(atPath: run.appendingPathComponent(name).path) {
        throw TrainingError(
          "\(run.path) holds \(name) already: "
            + (latest == nil ? "" : "add --resume to go on from the checkpoint, or ") + "choose another --out"
        )
      }
    }
    if resume, latest == nil {
      throw TrainingError("\(run.path) has no checkpoint to resume from: leave --resume out to begin a run")
    }
    var state = try latest.map(Checkpoint.state) ?? Checkpoint.State(configuration: given)
    try state.configuration.validate()
    let settings = state.configuration.training

    let hasSplits = FileManager.default.fileExists(atPath: data.appendingPathComponent("train").path)
    let folder = try ImageFolder(hasSplits ? data.appendingPathComponent("train") : data)
    let held = data.appendingPathComponent("validation")
    let validationFolder =
      hasSplits && FileManager.default.fileExists(atPath: held.path) ? try ImageFolder(held) : nil

    let fingerprint = folder.fingerprint
    guard state.dataFingerprint ?? fingerprint == fingerprint else {
      throw TrainingError(
        "\(folder.url.path) names other pictures or texts than the run in \(run.path) began with: resume with the "
          + "same data, or begin a new run with another --out")
    }
    state.dataFingerprint = fingerprint
    let tokenizer =
      try latest.map { try Tokenizer(contentsOf: $0.appendingPathComponent(ModelFolder.tokenizerName)) }
      ?? Self.trainTokenizer(on: folder, settings: state.configuration.tokenizer)
    state.configuration.model.numTokens = tokenizer.vocabularySize
    let configuration = state.configuration
    let processor = try ImageProcessor(configuration: configuration.image)
    try manualSeed(settings.seed)
    model = try GPT4MultiModal(
      configuration.model, contents: latest == nil ? .random(Generator(seed: settings.seed)) : .uninitialized,
      device: device)
    for parameter in model.parameters.trainable { try parameter.value.requiresGrad_() }
    let (decayed, others) = Self.decayGroups(model.parameters.trainable)
    optimizer = try AdamW(
      groups: [
        AdamW.Group(parameters: decayed, weightDecay: settings.weightDecay),
        AdamW.Group(parameters: others, weightDecay: 0),
      ], beta1: settings.beta1, beta2: settings.beta2)

    model.checkpointsActivations = settings.activationCheckpointing
    step = TrainingStep(
      model, optimizer, precision: settings.precision, clipNorm: settings.clipNorm, device: device)

    let augmentation = try configuration.image.outputSize.flatMap { size in
      try configuration.augmentation.map {
        try PictureAugmentation($0, height: size.height, width: size.width)
      }
    }
    func loader(_ folder: ImageFolder, augmented: Bool) throws -> BatchLoader {
      try BatchLoader(
        folder, tokenizer: tokenizer, processor: processor,
        augmentation: augmented ? augmentation : nil,
        maxSeqLen: configuration.model.maxSeqLen, batchSize: settings.batchSize, seed: settings.seed)
    }
    training = try loader(folder, augmented: true)
    validation = try validationFolder.map { try loader($0, augmented: false) }
    schedule = LearningRateSchedule(
      peak: settings.learningRate, minimum: settings.minLearningRate, warmupSteps: settings.warmupSteps,
      steps: settings.epochs * training.stepsPerEpoch / settings.gradientAccumulationSteps)
    guard schedule.steps > 0 else {
      throw TrainingError(
        "gradient_accumulation_steps \(settings.gradientAccumulationSteps) is more than the "
          + "\(settings.epochs * training.stepsPerEpoch) batches of all epochs: lower it or train for more epochs"
      )
    }
    guard (0...schedule.steps).contains(state.step) else {
      throw TrainingError(
        "\(run.path) has a damaged checkpoint: it is at step \(state.step) of \(schedule.steps)")
    }
    if let latest { try Checkpoint.load(latest, parameters: model.parameters, optimizer: optimizer) }
    self.configuration = configuration
    self.tokenizer = tokenizer
    self.processor = processor
    self.state = state
    self.run = run
    try AtomicFile.makeFolder(run)
  }

  /// Matrices decay; vectors, embeddings and learned positions do not.
  static func decayGroups(_ parameters: [Parameter]) -> (decayed: [Parameter], others: [Parameter]) {
    func decays(_ parameter: Parameter) -> Bool {
      parameter.shape.count == 2 && !parameter.name.hasSuffix("emb.weight")
    }
    return (parameters.filter(decays), parameters.filter { !decays($0) })
  }

  /// Trains to the end, or until the task is cancelled: then the checkpoint is written before `CancellationError`
  /// is thrown.
  /// - Returns: the model folder.
  public func train(report: (Event) -> Void = { _ in }) async throws -> URL {
    let steps = schedule.steps
    report(
      .began(
        Summary(
          trainingExamples: training.exampleCount, validationExamples: validation?.exampleCount ?? 0,
          parameters: model.parameters.count,
          decayedParameters: optimizer.groups[0].parameters.reduce(0) { $0 + $1.value.count }, steps: steps,
          firstStep: state.step)))
    let settings = configuration.training
    let samplesPerStep = min(settings.batchSize, training.exampleCount) * settings.gradientAccumulationSteps
    let began = ContinuousClock.now
    let before = state.seconds
    let first = state.step
    var waited = 0.0
    func timed<Result>(_ body: () async throws -> Result) async rethrows -> Result {
      let asked = ContinuousClock.now
      defer { waited += (ContinuousClock.now - asked) / .seconds(1) }
      return try await body()
    }
    var loader = Prefetcher(state.step..<max(state.step, steps)) {
      [training, accumulation = settings.gradientAccumulationSteps] step in
      try (step * accumulation..<(step + 1) * accumulation).map { try training.batch(step: $0) }
    }
    do {
      while let batches = try await timed({ try await loader.next() }) {
        let rate = schedule(state.step)
        let (loss, norm) = try step(batches, learningRate: rate)
        guard loss.isFinite, let norm, norm.isFinite else {
          throw TrainingError(
            "the loss at step \(state.step + 1) is not finite: lower the learning rate, or look for wrong data; what "
              + "was saved before is untouched")
        }
        state.step += 1
        let seconds = (ContinuousClock.now - began) / .seconds(1)
        state.seconds = before + seconds
        report(
          .step(
            Progress(
              step: state.step, steps: steps,
              epoch: Double(state.step * settings.gradientAccumulationSteps) / Double(training.stepsPerEpoch),
              loss: loss, learningRate: rate, gradientNorm: norm,
              samplesPerSecond: Double((state.step - first) * samplesPerStep) / seconds,
              waitingShare: waited / seconds)))
        if state.step % settings.validationEvery == 0 || state.step == steps { try validate(report) }
        if state.step % settings.checkpointEvery == 0 || state.step == steps || Task.isCancelled {
          try save(report)
        }
        try Task.checkCancellation()
      }
    } catch {
      await loader.finish()
      throw error
    }
    return try export()
  }

  private func validate(_ report: (Event) -> Void) throws {
    guard let validation else { return }
    var total = 0.0
    var tokens = 0.0
    try withoutGradients {
      for range in validation.batchesInOrder() {
        let batch = try validation.batch(of: range)
        let count = Double(batch.targetCount)
        total += Double(try step.loss(batch).item(Float.self)) * count
        tokens += count
      }
    }
    let loss = total / tokens
    let isBest = loss < state.bestValidationLoss
    if isBest { state.bestValidationLoss = loss }
    report(.validated(step: state.step, loss: loss, isBest: isBest))
  }

  private func save(_ report: (Event) -> Void) throws {
    try Checkpoint.save(
      state, parameters: model.parameters, optimizer: optimizer, tokenizer: tokenizer, in: run)
    report(.saved(step: state.step))
  }

  /// Writes the run's model folder.
  private func export() throws -> URL {
    let minutes = Int((state.seconds / 60).rounded())
    let loss =
      validation == nil
      ? "" : String(format: " and reached a validation loss of %.4f", state.bestValidationLoss)
    try ModelFolder.write(
      model, tokenizer: tokenizer, processor: processor, to: run,
      dtype: configuration.training.weights.dtype,
      readme: """
        # A GPT4MultiModal model

        Trained by `gpt4mm train` on \(training.exampleCount) pictures for \(configuration.training.epochs) epochs \
        (\(state.step) steps, \(minutes) minutes)\(loss).

            gpt4mm caption --model . PICTURE

        """)
    return run
  }

  private static func trainTokenizer(on folder: ImageFolder, settings: TrainingConfiguration.Vocabulary)
    throws
    -> Tokenizer
  {
    try Tokenizer.train(
      on: folder.samples.flatMap { [$0.prompt, $0.text].compactMap { $0 } },
      configuration: .init(vocabularySize: settings.vocabularySize, type: settings.type))
  }
}

import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

/// What a run begins or goes on with. The first process reads it, and the others get it from there: they need the data, and
/// nothing of the run's folder.
struct TrainerSetup {
  let state: Checkpoint.State
  /// What went wrong and ends nothing.
  let warnings: [String]
  /// Of the first process, for as long as the run's folder is in use.
  let lock: RunLock?
  private let run: URL
  private let group: ProcessGroup?
  private let device: Device
  /// Where the first process finds weights and optimizer of a run that goes on.
  private let latest: URL?
  private let base: URL?
  private let isResumed: Bool
  /// Of a run that goes on or begins with a model; others make theirs from the texts.
  private let tokenizerFiles: TokenizerFiles?

  private var isFirst: Bool { group?.rank ?? 0 == 0 }

  /// - Parameter change: the configuration of a run that goes on
  init(
    run: URL, given: TrainingConfiguration, validation: URL?, resume: Bool,
    change: (inout TrainingConfiguration) throws -> Void, base: URL?, group: ProcessGroup?, device: Device
  ) throws {
    self.run = run
    self.group = group
    self.device = device
    self.base = base
    let isFirst = group?.rank ?? 0 == 0
    lock = isFirst ? try RunLock(run) : nil
    var warnings: [String] = []
    latest = isFirst ? try Self.checkpoint(in: run, resume: resume) { warnings.append($0) } : nil
    self.warnings = warnings
    struct Start: Codable {
      var state: Checkpoint.State
      var tokenizer: TokenizerFiles?
      var isResumed: Bool
    }
    let latest = self.latest
    func start() throws -> Start {
      var start = Start(
        state: try latest.map(Checkpoint.state) ?? .init(configuration: given), isResumed: latest != nil)
      start.state.validation = validation?.standardizedFileURL.path ?? start.state.validation
      if let latest {
        start.tokenizer = try TokenizerFiles(contentsOf: latest)
        try start.state.goOn(in: run, change)
      } else if let base {
        try Self.take(ModelFolder(base), into: &start.state.configuration)
        start.state.generation = try ModelFolder(base).bundledGeneration()
        start.tokenizer = try TokenizerFiles(contentsOf: base)
      }
      return start
    }
    let shared = try group.map { try $0.shared(start()) } ?? start()
    state = shared.state
    tokenizerFiles = shared.tokenizer
    isResumed = shared.isResumed
    try state.configuration.validate()
    let processes = group?.size ?? 1
    guard state.configuration.training.batchSize >= processes else {
      throw TrainingError(
        "training.batch_size is \(state.configuration.training.batchSize), the samples of all processes together, but there "
          + "are \(processes) processes: give each at least one")
    }
  }

  /// The checkpoint to go on from; nil for a new run.
  private static func checkpoint(in run: URL, resume: Bool, warn: (String) -> Void) throws -> URL? {
    guard !resume else {
      guard let newest = try Checkpoint.newestSound(in: run, warn: warn) else {
        throw TrainingError("\(run.path) has no checkpoint to resume from: begin a run instead")
      }
      return newest
    }
    let latest = Checkpoint.latest(in: run)
    for name in [latest?.lastPathComponent, ModelFolder.configurationName, ModelFolder.weightsName]
      .compactMap({ $0 })
    where FileManager.default.fileExists(atPath: run.appendingPathComponent(name).path) {
      throw TrainingError(
        "\(run.path) holds \(name) already: "
          + (latest == nil ? "" : "resume the run from the checkpoint, or ")
          + "choose another folder for this one")
    }
    return nil
  }

  /// A model's own settings, in the place of a configuration that leaves them out.
  private static func take(_ base: ModelFolder, into configuration: inout TrainingConfiguration) throws {
    guard try base.precision() == nil else {
      throw TrainingError("\(base.url.path) is quantised: begin with the folder it was made from")
    }
    let plain = TrainingConfiguration()
    let model = ModelConfiguration(try base.configuration())
    var given = configuration.model
    given.family.vocabularySize = model.family.vocabularySize
    guard configuration.model == plain.model || given == model else {
      throw TrainingError(
        "the settings of \"model\" are others than those of \(base.url.path), with whose weights training begins: leave "
          + "\"model\" out")
    }
    configuration.model = model
    configuration.image = try base.processor().configuration
  }

  // MARK: Data

  /// What reading through the data gave.
  struct Reading {
    let tokenizer: any Tokenizer
    let generation: GenerationSettings
    let training: DatasetSummary
    let validation: DatasetSummary?
    let heldOutTexts: [Evaluation.Job]
  }

  /// Texts that a vocabulary is made from at most; more make it no better.
  private static let vocabularyTexts = 1_000_000

  /// Reads through all samples, makes a vocabulary where there is none, and checks that every text fits.
  func read(_ data: TrainingData, state: inout Checkpoint.State, progress: (Int) -> Void) throws -> Reading {
    let configuration = state.configuration
    var done = 0
    func advance() {
      done += 1
      if done % 10_000 == 0 { progress(done) }
    }
    var texts = Reservoir<String>(count: Self.vocabularyTexts, seed: configuration.training.seed)
    var training = DatasetSummary()
    try data.training.forEach { sample in
      training.add(sample)
      advance()
      guard tokenizerFiles == nil, isFirst else { return }
      for text in [sample.prompt, sample.text].compactMap({ $0 }) { texts.add(text) }
    }
    guard training.count > 0 else { throw TrainingError("\(data.training.name) names no picture") }
    guard training.count >= configuration.training.batchSize || group == nil else {
      throw TrainingError(
        "\(data.training.name) has \(training.count) samples, fewer than training.batch_size "
          + "\(configuration.training.batchSize)")
    }
    try check(data.training, training.fingerprint, against: state.dataFingerprint)
    state.dataFingerprint = training.fingerprint
    let tokenizer = try first { [texts = texts.elements, tokenizerFiles] in
      try tokenizerFiles
        ?? SentencePieceTokenizer.train(
          on: texts,
          configuration: .init(
            vocabularySize: configuration.tokenizer.vocabularySize, type: configuration.tokenizer.type)
        ).files
    }.tokenizer(run.path)
    let family = configuration.model.family
    // A base model's head may have more rows than its tokenizer has tokens.
    if tokenizerFiles == nil || !family.mayExceedTokenizer || tokenizer.vocabularySize > family.vocabularySize
    {
      state.configuration.model.family.vocabularySize = tokenizer.vocabularySize
    }
    var generation =
      try state.generation.map { try GenerationSettings($0, tokenizer: tokenizer) }
      ?? GenerationSettings(family, tokenizer)
    generation.prompts = training.prompts?.sorted()
    let encoder = ExampleEncoder(
      tokenizer: tokenizer, generation: generation, configuration: configuration.model.family)
    // The texts of a run that goes on were seen to fit.
    if !isResumed {
      _ = try first {
        try data.training.forEach { _ = try encoder($0) }
        return true
      }
    }
    let validates = try first { data.validation != nil }
    guard validates == (data.validation != nil) else {
      throw TrainingError(
        "\(data.training.name): there is something to validate with \(validates ? "" : "here, and not ")on the first "
          + "process's machine\(validates ? ", and nothing here" : ""): all need the same data")
    }
    guard validates || state.validationFingerprint == nil else {
      throw TrainingError(
        "the run in \(run.path) validates, and there is nothing to validate with: give the data that it validated with before"
      )
    }
    var validation: DatasetSummary?
    var heldOut = HeldOutTexts(
      count: configuration.training.generatedSamples, seed: configuration.training.seed)
    if let dataset = data.validation {
      var summary = DatasetSummary()
      try dataset.forEach { sample in
        summary.add(sample)
        heldOut.add(sample)
        _ = try encoder(sample)
        advance()
      }
      guard summary.count > 0 else { throw data.emptyValidation(dataset) }
      try check(dataset, summary.fingerprint, against: state.validationFingerprint)
      state.validationFingerprint = summary.fingerprint
      validation = summary
    }
    return Reading(
      tokenizer: tokenizer, generation: generation, training: training, validation: validation,
      heldOutTexts: heldOut.jobs)
  }

  /// What the first process makes, however long that takes, in every process.
  private func first<Value: Codable & Sendable>(_ make: @escaping @Sendable () throws -> Value) throws
    -> Value
  {
    try group.map { try $0.shared(slow: make) } ?? make()
  }

  /// - Throws: `TrainingError` where a dataset is another one than the run began with, or than the first process reads.
  private func check(_ dataset: any Dataset, _ fingerprint: String, against known: String?) throws {
    let expected = try group.map { try $0.shared(known ?? fingerprint) } ?? known ?? fingerprint
    guard expected == fingerprint else {
      throw TrainingError(
        "\(dataset.name) names other pictures or texts than "
          + (isResumed
            ? "the run in \(run.path) began with: resume with the same data, or begin a new run in another folder"
            : "on the first process's machine: all need the same data"))
    }
  }

  func loaders(
    _ data: TrainingData, _ read: Reading, processor: ImageProcessor, configuration: TrainingConfiguration
  ) throws -> (training: BatchLoader, heldOut: HeldOut?) {
    let settings = configuration.training
    let encoder = ExampleEncoder(
      tokenizer: read.tokenizer, generation: read.generation,
      configuration: configuration.model.family)
    let augmentation = try configuration.image.outputSize.flatMap { size in
      try configuration.augmentation.map {
        try PictureAugmentation($0, height: size.height, width: size.width)
      }
    }
    let place = (rank: group?.rank ?? 0, processes: group?.size ?? 1)
    let training = BatchLoader(
      data.training, count: read.training.count, encoder: encoder,
      order: SampleOrder(
        batchSize: min(settings.batchSize, read.training.count),
        shuffleBuffer: configuration.data.shuffleBuffer,
        bucketBatches: configuration.data.bucketBatches, seed: settings.seed),
      processor: processor, augmentation: augmentation, rank: place.rank, processes: place.processes)
    guard let dataset = data.validation, let summary = read.validation else { return (training, nil) }
    let validation = BatchLoader(
      dataset, count: summary.count, encoder: encoder,
      order: SampleOrder(
        batchSize: settings.batchSize, shuffleBuffer: 1, bucketBatches: 1, seed: settings.seed),
      processor: processor, keepsRest: true, rank: place.rank, processes: place.processes)
    return (training, HeldOut(loader: validation, count: summary.count, jobs: read.heldOutTexts))
  }

  // MARK: Model

  /// The model with its weights in place, and gradients for what is learned.
  func model(_ configuration: TrainingConfiguration) throws -> any ImageToTextModel {
    let settings = configuration.training
    let isLoaded = latest != nil || base != nil || !isFirst
    let contents = ParameterStore.Contents.random(try Generator(seed: settings.seed))
    let model = try configuration.model.family.makeModel(
      contents: isLoaded ? .uninitialized : contents, dtype: .float32, device: device)
    let parameters = model.parameters
    if isFirst, latest == nil, let base {
      _ = try parameters.load(
        Dictionary(uniqueKeysWithValues: ModelFolder(base).model().parameters.tensors()))
    }
    for parameter in parameters.trainable { try parameter.value.requiresGrad_() }
    try freeze(settings.freeze, of: parameters)
    let lora = settings.lora
    if lora.rank > 0 {
      try parameters.addAdapters(rank: lora.rank, alpha: lora.alpha, layers: lora.layers, contents: contents)
    }
    if let latest {
      _ = try parameters.load(
        Safetensors.read(latest.appendingPathComponent(Checkpoint.parametersName)).tensors)
    }
    try withoutGradients {
      for parameter in parameters.parameters { try group?.broadcast_(parameter.value.detach(), from: 0) }
    }
    return model
  }

  private func freeze(_ parts: [String], of parameters: ParameterStore) throws {
    for part in parts {
      let frozen = parameters.trainable.filter { $0.name == part || $0.name.hasPrefix(part + ".") }
      guard !frozen.isEmpty else {
        let known = Set(parameters.parameters.compactMap { $0.name.split(separator: ".").first }).sorted()
        throw TrainingError(
          "training.freeze names \(part), which no parameter's name begins with: give \(known.joined(separator: ", ")) or "
            + "a longer name, as 'gpt4mm inspect' lists them")
      }
      for parameter in frozen { try parameter.value.requiresGrad_(false) }
    }
    guard parameters.trainable.contains(where: { $0.value.requiresGrad }) else {
      throw TrainingError("training.freeze leaves nothing to learn")
    }
  }

  /// Puts the checkpoint's optimizer state and moving average in place; of the state, what this process keeps.
  func restore(_ optimizer: AdamW, _ average: MovingAverage?, learned: [Parameter]) throws {
    guard isResumed else { return }
    let saved = try latest.map(Checkpoint.optimizerTensors) ?? [:]
    let averages =
      try average == nil
      ? [:]
      : latest.map { try Safetensors.read($0.appendingPathComponent(Checkpoint.averageName)).tensors } ?? [:]
    func part(_ name: String, of tensors: [String: Tensor], shape: [Int]) throws -> Tensor {
      if isFirst, tensors[name].map({ $0.shape == shape }) != true {
        throw TrainingError("\(run.path) has no optimizer state \(name): it belongs to another model")
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

/// Some elements of many, each as likely as any other (Vitter's algorithm R).
struct Reservoir<Element> {
  private(set) var elements: [Element] = []
  private let count: Int
  private var seen = 0
  private var generator: SplitMix64

  init(count: Int, seed: UInt64) {
    self.count = count
    generator = SplitMix64(seed: seed)
  }

  mutating func add(_ element: Element) {
    seen += 1
    if elements.count < count {
      elements.append(element)
    } else {
      let place = Int.random(in: 0..<seen, using: &generator)
      if place < count { elements[place] = element }
    }
  }
}

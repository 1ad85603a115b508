import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

/// What a run begins or goes on with. The first process reads it, and the others get it from there: they need the data, and
/// nothing of the run's folder.
struct RunStart {
  /// What messages call the run.
  let name: String
  let state: Checkpoint.State
  /// What went wrong and ends nothing.
  let warnings: [String]
  /// Of the first process, for as long as the run's folder is in use; nil without one.
  let lock: RunLock?
  let isResumed: Bool
  /// Where the first process finds weights and optimizer of a run that goes on.
  let checkpoint: URL?
  /// Of a run that goes on or begins with a model; others make theirs from the texts.
  let tokenizerFiles: TokenizerFiles?
  private let base: URL?

  /// - Parameters:
  ///   - run: nil for one that leaves nothing
  ///   - validation: a dataset to validate with, instead of what the configuration says
  ///   - change: the configuration of a run that goes on
  init(
    run: URL?, given: TrainingConfiguration, validation: URL?, resume: Bool,
    change: (inout TrainingConfiguration) throws -> Void, base: URL?, group: ProcessGroup?
  ) throws {
    self.base = base
    name = run?.path ?? base?.path ?? "a new run"
    let folder = group?.rank ?? 0 == 0 ? run : nil
    lock = try folder.map(RunLock.init)
    var warnings: [String] = []
    let latest = try folder.flatMap { try Self.checkpoint(in: $0, resume: resume) { warnings.append($0) } }
    checkpoint = latest
    self.warnings = warnings
    struct Start: Codable {
      var state: Checkpoint.State
      var tokenizer: TokenizerFiles?
      var isResumed: Bool
    }
    func start() throws -> Start {
      var start = Start(
        state: try latest.map(Checkpoint.state) ?? .init(configuration: given), isResumed: latest != nil)
      if let latest, let folder {
        start.tokenizer = try TokenizerFiles(contentsOf: latest)
        try start.state.goOn(in: folder) {
          try change(&$0)
          $0.data.takeValidation(validation)
        }
        return start
      }
      start.state.configuration.data.takeValidation(validation)
      if let base {
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

  // MARK: Model

  /// The model with the weights that a new run begins with, in the first process; the others get them from there, and so does a
  /// run that goes on from its checkpoint.
  func model(_ configuration: TrainingConfiguration, group: ProcessGroup?, device: Device) throws
    -> any ImageToTextModel
  {
    let isFirst = group?.rank ?? 0 == 0
    let isNew = isFirst && !isResumed
    let model = try configuration.model.family.makeModel(
      contents: isNew && base == nil
        ? .random(Generator(seed: configuration.training.seed)) : .uninitialized,
      dtype: .float32, device: device)
    if isNew, let base {
      _ = try model.parameters.load(
        Dictionary(uniqueKeysWithValues: ModelFolder(base).model().parameters.tensors()))
    }
    return model
  }
}

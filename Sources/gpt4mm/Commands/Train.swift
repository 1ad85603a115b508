import Foundation
import MultiModalPipeline
import MultiModalTraining
import Torch

extension Command {
  static let train = Command(
    name: "train", summary: "Train a model on pictures and texts, in one process or in several.",
    options: [
      Option(
        "data", "PATH",
        "a folder with train/ and validation/, or one dataset: a folder with pictures and a metadata.jsonl or metadata.csv, "
          + ".tar or .tar.gz shards, or a list of pictures and texts (.tsv)"),
      Option("validation", "PATH", "a dataset to validate with, instead of the one in --data"),
      Option(
        "config", "FILE",
        "model, pictures, augmentation, tokenizer, data and training settings, as in a recipe"),
      Option("out", "DIR", "where checkpoints, log, report and the finished model go"),
      Option("from", "DIR", "begin with this model folder's weights, tokenizer and picture sizes"),
      Option(
        "resume", optional: "auto",
        "go on from the newest checkpoint in --out; =auto begins where there is none, as restarts need it"),
      Option(
        "epochs", "N", "instead of the configuration's; with --resume a finished run can be made longer"),
      Option("batch-size", "N", "instead of the configuration's; of all processes together"),
      Option("learning-rate", "X", "instead of the configuration's"),
      Option("seed", "N", "instead of the configuration's"),
      Option(
        "set", "KEY=VALUE", "any other setting, such as training.warmup_steps=50; may be given several times"),
      Option(
        "dry-run", optional: "FILE.png",
        "take the first step only and say sizes, memory and loss; draw its pictures into FILE.png"),
      Option("print-config", "print all settings with their values and meanings, and end"),
      Shared.device, Shared.threads,
    ],
    details:
      "A line of metadata.jsonl is {\"file_name\": ..., \"text\": ..., \"prompt\": ...}; prompt may be left out, and text may be "
      + "a list. Ctrl-C and SIGTERM write a checkpoint and end. --out gets log.jsonl, report.html and TensorBoard's events. "
      + "Under torchrun, mpirun or srun the processes train one model together.",
    examples: [
      "gpt4mm train --data runs/emoji-data --config Examples/recipes/emoji/config.json --out runs/emoji",
      "gpt4mm train --data runs/emoji-data --out runs/emoji --resume",
      "gpt4mm train --data runs/emoji-data --config config.json --set training.learning_rate=3e-4 --dry-run=batch.png",
      "mpirun -np 2 gpt4mm train --data shards --config config.json --out run --threads 1",
    ]
  ) { arguments in
    if arguments.flag("print-config") { return try printConfiguration(arguments) }
    if arguments.flag("dry-run") { return try await dryRun(arguments) }
    let out = try url(arguments.required("out"))
    let resume = try resumes(arguments, out)
    let configuration = try resume ? runConfiguration(arguments, out) : configuration(arguments)
    let (device, group) = try processGroup(arguments, configuration)
    var display = TrainingDisplay(rank: group?.rank)
    let run = try run(
      arguments, in: out, configuration, resume: resume, group: group, device: device, display)
    Interruption.shared.savesFromNow()
    do {
      _ = try await run.train { display.show($0) }
    } catch let error as CancellationError {
      display.end()
      if display.isFirst {
        display.note("to go on from the last step, call it again with --resume: --out \(out.path)")
      }
      throw error
    } catch let error as LostProcessError {
      throw TrainingError("\(error); with --resume they go on from the newest checkpoint")
    }
    guard display.isFirst else { return }
    display.end()
    Terminal.print(out.path)
  }

  private static func run(
    _ arguments: Arguments, in folder: URL, _ configuration: TrainingConfiguration, resume: Bool,
    group: ProcessGroup?, device: Device, _ display: TrainingDisplay
  ) throws -> TrainingRun {
    try TrainingRun(
      data: data(arguments, display), validation: arguments.string("validation").map(url), folder: folder,
      configuration: configuration, resume: resume, change: { try change(&$0, arguments) },
      from: arguments.string("from").map(url), group: group, device: device
    ) { if display.isFirst { display.note("\($0) samples read") } }
  }

  private static func data(_ arguments: Arguments, _ display: TrainingDisplay) throws -> URL {
    let data = try url(arguments.required("data"))
    if display.isFirst { display.note("Reading \(data.path)") }
    return data
  }

  // MARK: Settings

  private static func resumes(_ arguments: Arguments, _ out: URL) throws -> Bool {
    switch arguments.string("resume") {
    case nil: return false
    case "auto": return TrainingRun.canResume(out)
    case "":
      if let given = ["config", "from", "batch-size", "seed"].first(where: { arguments.string($0) != nil }) {
        throw UsageError("--resume goes on with the run's own settings: leave --\(given) out")
      }
      return true
    case let other?: throw UsageError("--resume takes no value or auto, got '\(other)'")
    }
  }

  /// What a new run is made with.
  private static func configuration(_ arguments: Arguments) throws -> TrainingConfiguration {
    guard let path = arguments.string("config") else {
      throw UsageError("'train' needs --config FILE, such as Examples/recipes/emoji/config.json")
    }
    var configuration = try TrainingConfiguration(contentsOf: url(path), settings: arguments.strings("set"))
    try replace(&configuration, arguments)
    return configuration
  }

  /// What the run was made with that goes on, where its folder is seen: all processes need its time-out before they meet.
  private static func runConfiguration(_ arguments: Arguments, _ run: URL) throws -> TrainingConfiguration {
    let file = run.appendingPathComponent(TrainingConfiguration.fileName)
    var configuration = (try? TrainingConfiguration(contentsOf: file)) ?? TrainingConfiguration()
    try change(&configuration, arguments)
    return configuration
  }

  private static func change(_ configuration: inout TrainingConfiguration, _ arguments: Arguments) throws {
    try configuration.set(arguments.strings("set"))
    try replace(&configuration, arguments)
  }

  private static func replace(_ configuration: inout TrainingConfiguration, _ arguments: Arguments) throws {
    if let epochs = try arguments.int("epochs") { configuration.training.epochs = epochs }
    if let size = try arguments.int("batch-size") { configuration.training.batchSize = size }
    if let rate = try arguments.double("learning-rate") {
      configuration.training.learningRate = rate
      configuration.training.minLearningRate = min(rate, configuration.training.minLearningRate)
    }
    if let seed = try arguments.unsigned("seed") { configuration.training.seed = seed }
    do {
      try configuration.validate()
    } catch let error as TrainingError {
      throw UsageError(error.description)
    }
  }

  private static func printConfiguration(_ arguments: Arguments) throws {
    var configuration = TrainingConfiguration()
    if arguments.string("config") != nil {
      configuration = try Self.configuration(arguments)
    } else {
      try change(&configuration, arguments)
    }
    let settings = try configuration.settings().map { ("\($0.name)=\($0.value)", $0.meaning) }
    let width = settings.map(\.0.count).filter { $0 < 48 }.max() ?? 0
    for (setting, meaning) in settings {
      Terminal.print(meaning.isEmpty ? setting : "\(setting.padded(to: width))  # \(meaning)")
    }
  }

  // MARK: Dry run

  private static func dryRun(_ arguments: Arguments) async throws {
    if arguments.flag("resume") { throw UsageError("--dry-run begins a run: leave --resume out") }
    let file = arguments.string("dry-run").flatMap { $0.isEmpty ? nil : url($0) }
    if let file { try AtomicFile.check(file) }
    let configuration = try configuration(arguments)
    let (device, group) = try processGroup(arguments, configuration)
    var display = TrainingDisplay(rank: group?.rank)
    let trial = try await TrainingRun.tryFirstStep(
      data: data(arguments, display), validation: arguments.string("validation").map(url),
      configuration: configuration, from: arguments.string("from").map(url), group: group, device: device
    ) { [display] in if display.isFirst { display.note("\($0) samples read") } }
    guard display.isFirst else { return }
    display.show(.began(trial.summary))
    if !trial.damaged.isEmpty { display.show(.damaged(step: 1, pictures: trial.damaged)) }
    for sample in trial.samples {
      Terminal.print("\(sample.picture.name): \(sample.prompt ?? "")\(sample.text)")
    }
    let sizes = configuration.image.outputSizes
    let size =
      sizes.first.map { "\(sizes.count > 1 ? "up to " : "")\($0.height) x \($0.width) pixels" } ?? "pictures"
    Terminal.print(
      String(
        format: "first step: %d samples of %@ and up to %d tokens, %.2f s, %.2f GB of memory",
        trial.sampleCount, size, trial.longestText, trial.seconds, Double(trial.memory) / 1e9))
    Terminal.print(
      String(format: "first loss: %.3f; of a model that knows nothing %.3f", trial.loss, trial.lossOfChance))
    if let file, let picture = trial.picture {
      try AtomicFile.write(picture.png(), to: file)
      Terminal.print("its pictures as the model sees them: \(file.path)")
    }
  }

  /// This process's place among those that a launcher started, and its device: each takes a GPU of its own.
  private static func processGroup(_ arguments: Arguments, _ configuration: TrainingConfiguration) throws -> (
    Device, ProcessGroup?
  ) {
    guard let place = try ProcessGroupConfiguration(environment: ProcessInfo.processInfo.environment) else {
      return (try Shared.machine(arguments), nil)
    }
    let device = try Shared.machine(arguments, localRank: place.localRank)
    let group = try ProcessGroup(
      place, device: device, timeout: .seconds(configuration.distributed.timeoutSeconds))
    // Processes of one machine share its cores.
    let names = try group.allGather(bytes: Data(ProcessInfo.processInfo.hostName.utf8))
    if arguments.string("threads") == nil, ProcessInfo.processInfo.environment["OMP_NUM_THREADS"] == nil {
      let neighbours = names.count { $0 == names[group.rank] }
      try LibTorch.setThreads(max(1, LibTorch.threads / neighbours))
    }
    return (device, group)
  }
}

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
        "a folder with train/ and validation/, or one dataset: a folder with pictures and a metadata.jsonl, .tar shards, or "
          + "a list of pictures and texts (.tsv)"),
      Option("validation", "PATH", "a dataset to validate with, instead of the one in --data"),
      Option(
        "config", "FILE",
        "model, pictures, augmentation, tokenizer, data and training settings, as in a recipe"),
      Option("out", "DIR", "where checkpoints, log, report and the finished model go"),
      Option("from", "DIR", "begin with this model folder's weights, tokenizer and picture sizes"),
      Option("resume", "go on from the newest checkpoint in --out"),
      Option("epochs", "N", "instead of the configuration's"),
      Option("batch-size", "N", "instead of the configuration's; of all processes together"),
      Option("learning-rate", "X", "instead of the configuration's"),
      Option("seed", "N", "instead of the configuration's"),
      Shared.device, Shared.threads,
    ],
    details:
      "A line of metadata.jsonl is {\"file_name\": ..., \"text\": ..., \"prompt\": ...}; prompt may be left out, and text may be "
      + "a list. Ctrl-C and SIGTERM write a checkpoint and end. --out gets log.jsonl, report.html and TensorBoard's events. "
      + "Under torchrun, mpirun or srun the processes train one model together.",
    examples: [
      "gpt4mm train --data runs/emoji-data --config Examples/recipes/emoji/config.json --out runs/emoji",
      "gpt4mm train --data runs/emoji-data --out runs/emoji --resume",
      "mpirun -np 2 gpt4mm train --data shards --config config.json --out run --threads 1",
    ], savesWhenInterrupted: true
  ) { arguments in
    let data = try url(arguments.required("data"))
    let out = try url(arguments.required("out"))
    let resume = arguments.flag("resume")
    let settings = ["config", "from", "epochs", "batch-size", "learning-rate", "seed"]
    if resume, let given = settings.first(where: { arguments.string($0) != nil }) {
      throw UsageError("--resume goes on with the run's own settings: leave --\(given) out")
    }
    let configuration = try configuration(arguments, resume: resume)
    let (device, group) = try processGroup(arguments, configuration)
    var display = TrainingDisplay(rank: group?.rank)
    if display.isFirst { display.note("Reading \(data.path)") }
    let trainer = try Trainer(
      data: data, validation: arguments.string("validation").map(url), run: out, configuration: configuration,
      resume: resume, from: arguments.string("from").map(url), group: group, device: device
    ) { if display.isFirst { display.note("\($0) samples read") } }
    do {
      _ = try await trainer.train { display.show($0) }
    } catch let error as CancellationError {
      display.end()
      if display.isFirst {
        display.note("to go on from the last step, call it again with --resume: --out \(out.path)")
      }
      throw error
    } catch let error as TorchError where group != nil {
      throw TrainingError("\(error); with --resume they go on from the newest checkpoint")
    }
    guard display.isFirst else { return }
    display.end()
    Terminal.print(out.path)
  }

  private static func configuration(_ arguments: Arguments, resume: Bool) throws -> TrainingConfiguration {
    var configuration = TrainingConfiguration()
    if let path = arguments.string("config") {
      configuration = try TrainingConfiguration(contentsOf: url(path))
    } else if !resume {
      throw UsageError("'train' needs --config FILE, such as Examples/recipes/emoji/config.json")
    }
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
    return configuration
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

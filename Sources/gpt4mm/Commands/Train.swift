import Foundation
import MultiModalPipeline
import MultiModalTraining
import Torch

extension Command {
  static let train = Command(
    name: "train", summary: "Train a model on a folder of pictures and texts.",
    options: [
      Option("data", "DIR", "a folder with train/ and validation/, each with pictures and a metadata.jsonl"),
      Option(
        "config", "FILE", "model, pictures, augmentation, tokenizer and training settings, as in a recipe"),
      Option("out", "DIR", "where checkpoints and the finished model go"),
      Option("resume", "go on from the newest checkpoint in --out"),
      Option("epochs", "N", "instead of the configuration's"),
      Option("batch-size", "N", "instead of the configuration's"),
      Option("learning-rate", "X", "instead of the configuration's"),
      Option("seed", "N", "instead of the configuration's"),
      Option("log", "FILE", "append a JSON line per step and validation"),
      Shared.device, Shared.threads,
    ],
    details:
      "A line of metadata.jsonl is {\"file_name\": ..., \"text\": ..., \"prompt\": ...}; prompt may be left out. "
      + "Ctrl-C writes a checkpoint and ends.",
    examples: [
      "gpt4mm train --data runs/emoji-data --config Examples/recipes/emoji/config.json --out runs/emoji",
      "gpt4mm train --data runs/emoji-data --out runs/emoji --resume",
    ], savesWhenInterrupted: true
  ) { arguments in
    let data = try url(arguments.required("data"))
    let out = try url(arguments.required("out"))
    let resume = arguments.flag("resume")
    let settings = ["config", "epochs", "batch-size", "learning-rate", "seed"]
    if resume, let given = settings.first(where: { arguments.string($0) != nil }) {
      throw UsageError("--resume goes on with the run's own settings: leave --\(given) out")
    }
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
    let device = try Shared.machine(arguments)
    var log = try arguments.string("log").map(JSONLog.init)
    Terminal.note("Reading \(data.path)")
    let trainer = try Trainer(
      data: data, run: out, configuration: configuration, resume: resume, device: device)
    var bar = ProgressBar()
    var first = 0
    var waitingShare = 0.0
    let folder = try await trainer.train { event in
      switch event {
      case .began(let summary):
        first = summary.firstStep
        Terminal.note(
          """
          \(summary.trainingExamples) pictures to train on, \(summary.validationExamples) to validate with
          \(summary.parameters) parameters, \(summary.decayedParameters) of them with weight decay
          \(summary.steps) steps\(first > 0 ? ", going on after \(first)" : "")
          """)
      case .step(let progress):
        log?.append([
          "step": Double(progress.step), "loss": progress.loss, "learning_rate": progress.learningRate,
          "gradient_norm": progress.gradientNorm,
        ])
        waitingShare = progress.waitingShare
        bar.update(
          progress.step, of: progress.steps,
          details: String(
            format: "epoch %.1f  loss %.3f  lr %.1e  %.0f samples/s", progress.epoch, progress.loss,
            progress.learningRate, progress.samplesPerSecond), first: first)
      case .validated(let step, let loss, let isBest):
        log?.append(["step": Double(step), "validation_loss": loss])
        bar.pause()
        Terminal.note(
          String(format: "step %d: validation loss %.4f%@", step, loss, isBest ? ", the best so far" : ""))
      case .saved: break
      }
    }
    bar.pause()
    if waitingShare > 0.05 {
      Terminal.note(
        String(
          format:
            "%.0f %% of the time was spent waiting for pictures: they are read slower than they are learned from",
          100 * waitingShare))
    }
    Terminal.print(folder.path)
  }
}

/// One JSON object a line.
private struct JSONLog {
  private let handle: FileHandle
  private let path: String
  private var isLost = false

  init(_ path: String) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND, 0o644)
    guard descriptor >= 0 else {
      throw TrainingError("\(path) cannot be written: \(String(cString: strerror(errno)))")
    }
    handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    self.path = path
  }

  /// A log that cannot be written ends no training, but is not lost without a word.
  mutating func append(_ fields: [String: Double]) {
    guard !isLost, let line = try? Shared.encode(fields) else { return }
    do {
      try handle.write(contentsOf: Data((line + "\n").utf8))
    } catch {
      isLost = true
      Terminal.note("gpt4mm: \(path) cannot be written any more: training goes on without the log")
    }
  }
}

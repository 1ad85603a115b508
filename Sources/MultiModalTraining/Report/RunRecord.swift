import Foundation
import MultiModalPipeline

/// What a run leaves to be looked at: `log.jsonl`, TensorBoard's events in `tensorboard`, and `report.html`. What cannot be
/// written ends no training: it is said once.
struct RunRecord {
  private let run: URL
  private var log: RunLog
  private var board: TensorBoardWriter
  private var history: RunHistory

  private static let logName = "log.jsonl"
  /// Pictures in the report.
  private static let shownExamples = 24

  /// - Parameter step: what was noted of later steps goes, because a resumed run takes them again
  init(_ run: URL, step: Int) throws {
    self.run = run
    var history = RunHistory()
    log = try RunLog(run.appendingPathComponent(Self.logName), keepingStepsUpTo: step) { history.add($0) }
    self.history = history
    board = try TensorBoardWriter(folder: run.appendingPathComponent("tensorboard"), keepingStepsUpTo: step)
  }

  /// What the run's log says of a step's validation; nil where it says nothing.
  static func validationLoss(ofStep step: Int, in run: URL) -> Double? {
    RunLog.number("validation_loss", ofStep: step, in: run.appendingPathComponent(logName))
  }

  /// - Returns: what went wrong
  mutating func add(_ event: Trainer.Event) -> [String] {
    switch event {
    case .step(let progress): add(progress)
    case .skipped(let step, let samples): add("skipped", samples, step: step)
    case .damaged(let step, let pictures): add("damaged", pictures, step: step)
    case .validated(let step, let loss, let evaluation, _):
      add(validationLoss: loss, metrics: evaluation?.metrics, step: step)
    case .began, .saved, .stoppedEarly, .warning: []
    }
  }

  private mutating func add(_ progress: Trainer.Progress) -> [String] {
    let sent = ("bytes_sent", "speed/bytes_sent", Double(progress.bytesSent))
    return add(
      (progress.bytesSent > 0 ? [sent] : []) + [
        ("loss", "train/loss", progress.loss),
        ("learning_rate", "train/learning_rate", progress.learningRate),
        ("gradient_norm", "train/gradient_norm", progress.gradientNorm),
        ("epoch", "train/epoch", progress.epoch),
        ("samples_per_second", "speed/samples_per_second", progress.samplesPerSecond),
        ("waiting_share", "speed/waiting_share", progress.waitingShare),
        ("memory_bytes", "speed/memory_bytes", Double(progress.memory)),
      ], step: progress.step)
  }

  private mutating func add(validationLoss: Double, metrics: TextMetrics?, step: Int) -> [String] {
    var values = [
      ("validation_loss", "validation/loss", validationLoss),
      ("perplexity", "validation/perplexity", exp(validationLoss)),
    ]
    for (name, value) in metrics?.values ?? [] { values.append((name, "validation/\(name)", value)) }
    return add(values, step: step)
  }

  /// - Parameters:
  ///   - event: what happened: `skipped` or `damaged`
  ///   - ids: to what
  private mutating func add(_ event: String, _ ids: [String], step: Int) -> [String] {
    append(["event": .string(event), "ids": .strings(ids)], step: step)
  }

  func writeReport(
    summary: [(String, String)], examples: [(Evaluation.Job, Evaluation.Result)], limits: PictureLimits
  ) throws {
    let shown = examples.prefix(Self.shownExamples).compactMap { job, result in
      (try? job.picture.decoded(longestSide: 160, limits: limits).jpeg(quality: 85)).map {
        TrainingReport.Example(
          jpeg: $0, prompt: result.prompt, expected: result.expected, generated: result.generated)
      }
    }
    try TrainingReport(
      title: run.lastPathComponent, summary: summary,
      history: history, examples: shown
    ).write(to: run.appendingPathComponent("report.html"))
  }

  private mutating func add(_ values: [(key: String, tag: String, value: Double)], step: Int) -> [String] {
    let fields = Dictionary(uniqueKeysWithValues: values.map { ($0.key, RunLog.Value.number($0.value)) })
    return append(fields, step: step)
      + tried { try board.add(values.map { ($0.tag, $0.value) }, step: step) }
  }

  private mutating func append(_ fields: [String: RunLog.Value], step: Int) -> [String] {
    let line = fields.merging(
      ["step": .number(Double(step)), "time": .string(Date.now.ISO8601Format())]) { $1 }
    history.add(line)
    return tried { try log.append(line) }
  }

  private func tried(_ body: () throws -> Void) -> [String] {
    do {
      try body()
      return []
    } catch { return ["\(error): training goes on without it"] }
  }
}

import Foundation
import MultiModalModel
import MultiModalPipeline
import MultiModalTraining
import Torch

extension Command {
  static let evaluate = Command(
    name: "evaluate", summary: "Caption a folder of pictures and compare with its texts.",
    options: [
      Option("model", "DIR", default: "Models/emoji", "the model folder"),
      Option(
        "data", "DIR",
        "a folder with pictures and a metadata.jsonl or metadata.csv, .tar or .tar.gz shards, or a list of pictures and texts "
          + "(.tsv)"),
      Option("batch-size", "N", default: "16", "pictures that are captioned together"),
      Option("beams", "N", "search with N beams (default: what the model says, or 1)"),
      Option(
        "output", "FILE",
        "write each picture's prompt, true texts, generated text and confidence as JSON lines"),
      Option("loss", "also the mean cross-entropy per token of the folder's texts"),
      Shared.precision, Shared.device, Shared.threads, Shared.json,
    ], examples: ["gpt4mm evaluate --model Models/emoji --data runs/emoji-data/test-views"]
  ) { arguments in
    let beams = try arguments.int("beams")
    var asked = GenerationOptions()
    asked.numBeams = beams ?? 1
    try Shared.check(asked)
    let batchSize = try arguments.positive("batch-size")
    let precision = try Shared.precision(arguments)
    let output = arguments.string("output").map(url)
    if let output { try AtomicFile.check(output) }
    let dataset = try Datasets.open(url(arguments.required("data")))
    let device = try Shared.machine(arguments)
    let captioner = try Captioner(
      contentsOf: url(arguments.required("model")), precision: precision, device: device)
    var request = captioner.defaultRequest
    if let beams { request.options.numBeams = beams }
    var bar = ProgressBar()
    let began = ContinuousClock.now
    var seconds = 0.0  // until the last picture is read, without the metrics' own time
    let evaluation = try await Evaluation.run(
      captioner, on: dataset, request: request, batchSize: batchSize
    ) { done, count in
      seconds = (ContinuousClock.now - began) / .seconds(1)
      bar.update(done, of: count, details: "captioned")
    }
    bar.pause()
    if let warning = evaluation.warning { Terminal.note(warning) }
    // The figures are printed whatever becomes of the file.
    let written = Result {
      let lines = try evaluation.results.map { try Shared.encode($0) + "\n" }.joined()
      if let output { try AtomicFile.write(Data(lines.utf8), to: output) }
    }
    let metrics = evaluation.metrics
    var loss: Double?
    if arguments.flag("loss") {
      loss = try await Evaluation.loss(
        of: ModelFolder(url(arguments.required("model"))), on: dataset, precision: precision,
        device: device
      ) { done, count in bar.update(done, of: count, details: "compared") }
      bar.pause()
    }
    if arguments.flag("json") {
      Terminal.print(try Shared.encode(Report(evaluation, loss: loss, seconds: seconds)))
    } else {
      for line in lines(evaluation, loss: loss) { Terminal.print(line) }
      Terminal.note(
        String(
          format: "%.1f pictures per second, %d at once", Double(evaluation.results.count) / seconds,
          batchSize))
    }
    try written.get()
  }

  /// The figures of all pictures and, where there are several prompts, of each.
  private static func lines(_ evaluation: Evaluation, loss: Double?) -> [String] {
    let (exact, errors) = (evaluation.intervals.exactMatch, evaluation.intervals.characterErrorRate)
    let prompts = evaluation.metricsByPrompt
    return [
      line(evaluation.metrics) + (loss.map { String(format: ", loss %.4f", $0) } ?? ""),
      String(
        format: "with a probability of 95 %%: exact match %.1f to %.1f %%, character errors %.1f to %.1f %%",
        100 * exact.lowerBound, 100 * exact.upperBound, 100 * errors.lowerBound, 100 * errors.upperBound),
    ] + (prompts.count > 1 ? prompts.map { "\"\($0.prompt)\": \(line($0.metrics))" } : [])
  }

  private static func line(_ metrics: TextMetrics) -> String {
    String(
      format: "%d pictures: exact match %.1f %%, token F1 %.1f %%, ROUGE-L %.1f %%, BLEU-4 %.1f %%, "
        + "CIDEr %.2f, character errors %.1f %%, word errors %.1f %%", metrics.count,
      100 * metrics.exactMatch, 100 * metrics.tokenF1, 100 * metrics.rougeL, 100 * metrics.bleu4,
      metrics.cider, 100 * metrics.characterErrorRate, 100 * metrics.wordErrorRate)
  }

  /// The metrics and, beside them, their intervals, the time taken, and what there is of the others.
  private struct Report: Encodable {
    let metrics: TextMetrics
    let intervals: MetricIntervals
    let prompts: [String: TextMetrics]?
    let loss: Double?
    let seconds: Double

    init(_ evaluation: Evaluation, loss: Double?, seconds: Double) {
      (metrics, intervals) = (evaluation.metrics, evaluation.intervals)
      let byPrompt = evaluation.metricsByPrompt
      prompts = byPrompt.count > 1 ? Dictionary(uniqueKeysWithValues: byPrompt.map { ($0, $1) }) : nil
      (self.loss, self.seconds) = (loss, seconds)
    }

    enum CodingKeys: String, CodingKey { case intervals, prompts, loss, seconds }

    func encode(to encoder: any Encoder) throws {
      try metrics.encode(to: encoder)
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encode(intervals, forKey: .intervals)
      try container.encodeIfPresent(prompts, forKey: .prompts)
      try container.encodeIfPresent(loss, forKey: .loss)
      try container.encode(seconds, forKey: .seconds)
    }
  }
}

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
        "a folder with pictures and a metadata.jsonl, .tar shards, or a list of pictures and texts (.tsv)"),
      Option("beams", "N", "search with N beams (default: what the model says, or 1)"),
      Option("output", "FILE", "write each picture's true texts and generated text as JSON lines"),
      Option("loss", "also the mean cross-entropy per token of the folder's texts"),
      Shared.precision, Shared.device, Shared.threads, Shared.json,
    ], examples: ["gpt4mm evaluate --model Models/emoji --data runs/emoji-data/test-views"]
  ) { arguments in
    let beams = try arguments.int("beams")
    var asked = GenerationOptions()
    asked.numBeams = beams ?? 1
    try Shared.check(asked)
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
    let evaluation = try await Evaluation.run(captioner, on: dataset, request: request) { done, count in
      bar.update(done, of: count, details: "captioned")
    }
    bar.pause()
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
    Terminal.print(
      arguments.flag("json")
        ? try Shared.encode(Report(metrics: metrics, loss: loss))
        : String(
          format: "%d pictures: exact match %.1f %%, token F1 %.1f %%, ROUGE-L %.1f %%, BLEU-4 %.1f %%, "
            + "CIDEr %.2f, character errors %.1f %%, word errors %.1f %%", metrics.count,
          100 * metrics.exactMatch, 100 * metrics.tokenF1, 100 * metrics.rougeL, 100 * metrics.bleu4,
          metrics.cider, 100 * metrics.characterErrorRate, 100 * metrics.wordErrorRate)
          + (loss.map { String(format: ", loss %.4f", $0) } ?? ""))
    try written.get()
  }

  /// The metrics, and the loss where it was asked for, beside each other.
  private struct Report: Encodable {
    let metrics: TextMetrics
    let loss: Double?

    enum CodingKeys: String, CodingKey { case loss }

    func encode(to encoder: any Encoder) throws {
      try metrics.encode(to: encoder)
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encodeIfPresent(loss, forKey: .loss)
    }
  }
}

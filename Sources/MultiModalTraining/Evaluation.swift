import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

/// How well a model's texts agree with those of a dataset.
public struct Evaluation: Sendable {
  /// A text and what it was compared with.
  public struct Result: Sendable, Codable {
    /// Its name in the dataset.
    public let picture: String
    /// What the text begins with, as the dataset says.
    public let prompt: String?
    /// The dataset's texts for this picture and prompt.
    public let expected: [String]
    /// The model's text.
    public let generated: String
    /// How sure the model is: the mean of its tokens' probabilities.
    public let confidence: Double
  }

  /// Of all pictures.
  public let metrics: TextMetrics
  /// Where the metrics lie for other pictures of the same kind, with a probability of 95 %.
  public let intervals: MetricIntervals
  /// Of each picture.
  public let results: [Result]

  init(results: [Result]) {
    self.results = results
    metrics = TextMetrics(results)
    intervals = MetricIntervals(
      generated: results.map(\.generated), references: results.map(\.expected))
  }

  /// The metrics of the pictures that share a prompt, in the prompts' order; `""` for those without one.
  public var metricsByPrompt: [(prompt: String, metrics: TextMetrics)] {
    Dictionary(grouping: results) { $0.prompt ?? "" }.sorted { $0.key < $1.key }
      .map { ($0.key, TextMetrics($0.value)) }
  }

  /// A sentence where one text is written for pictures whose texts differ; nil elsewhere.
  public var warning: String? {
    guard let text = results.first?.generated, results.allSatisfy({ $0.generated == text }),
      Set(results.map(\.expected)).count > 1
    else { return nil }
    return
      "the model writes the same text for all \(results.count) pictures, \"\(text)\": train it for longer, or see whether "
      + "pictures and texts belong together"
  }

  /// Captions every picture of a dataset. A picture that occurs several times with the same prompt is captioned once and
  /// compared with all its texts.
  /// - Parameter report: gets the pictures done and in all
  /// - Throws: `TrainingError` for a dataset without samples, or the error of a part that cannot be used.
  public static func run(
    _ captioner: Captioner, on dataset: any Dataset, request: Captioner.Request? = nil,
    batchSize: Int = 16,
    report: (_ done: Int, _ count: Int) -> Void = { _, _ in }
  ) async throws -> Evaluation {
    let jobs = try jobs(of: dataset)
    try check(dataset, count: jobs.count, batchSize: batchSize)
    return Evaluation(
      results: try await results(
        of: jobs, by: captioner, request ?? captioner.defaultRequest, batchSize: batchSize,
        damaged: { throw $0 }, report: { report($0, jobs.count) }))
  }

  /// - Parameters:
  ///   - request: but for its prompt, which each picture brings
  ///   - damaged: gets the error of a picture that cannot be used; what it throws ends the work, else there is no text
  ///   - report: gets the pictures done
  static func results(
    of jobs: [Job], by captioner: Captioner, _ request: Captioner.Request, batchSize: Int,
    damaged: (PictureError) throws -> Void, report: (_ done: Int) -> Void = { _ in }
  ) async throws -> [Result] {
    var results: [Result] = []
    var waiting = jobs[...]
    var request = request
    try await captioner.caption(batchSize: batchSize) {
      guard let job = waiting.popFirst() else { return nil }
      request.prompt = job.prompt
      return job.picture.input(request, limits: captioner.processor.configuration.limits)
    } report: { captions in
      let job = jobs[results.count]
      var caption: Captioner.Caption?
      do { caption = try captions.get().first } catch let error as PictureError { try damaged(error) }
      results.append(
        Result(
          picture: job.picture.name, prompt: job.prompt, expected: job.texts, generated: caption?.text ?? "",
          confidence: caption?.confidence ?? 0))
      report(results.count)
    }
    return results
  }

  /// A picture, its prompt, and all texts that are right for both.
  struct Job: Sendable {
    let picture: StoredPicture
    let prompt: String?
    var texts: [String]
  }

  /// Samples of one picture and prompt as one, in the order in which they first come.
  static func jobs(of dataset: any Dataset) throws -> [Job] {
    var all = HeldOutTexts(count: .max, seed: 0)
    try dataset.forEach { all.add($0) }
    return all.jobs
  }

  /// - Throws: `TrainingError` where there is nothing to compare.
  private static func check(_ dataset: any Dataset, count: Int, batchSize: Int) throws {
    guard count > 0 else { throw TrainingError("\(dataset.name) names no picture to evaluate with") }
    guard batchSize > 0 else { throw TrainingError("the batch size must be at least 1, got \(batchSize)") }
  }

  /// The mean cross-entropy per token of a dataset's texts.
  /// - Parameters:
  ///   - precision: what to compute in; what the folder's weights were quantised for, or float32, when nil
  ///   - report: gets the samples done and in all
  /// - Throws: `TrainingError` for a dataset without samples, or the error of a part that cannot be used.
  public static func loss(
    of model: ModelFolder, on dataset: any Dataset, precision: Precision? = nil, device: Device = .cpu,
    batchSize: Int = 16, report: (_ done: Int, _ count: Int) -> Void = { _, _ in }
  ) async throws -> Double {
    var count = 0
    try dataset.forEach { _ in count += 1 }
    try check(dataset, count: count, batchSize: batchSize)
    let bundle = try model.bundle(precision: precision, device: device)
    let loader = BatchLoader(inOrder: dataset, count: count, bundle, batchSize: batchSize)
    var batches = loader.prefetch(0..<loader.batchesPerEpoch, workers: 4)
    var total = MeanLoss()
    var done = 0
    try await batches.forEach { loaded in
      if let damaged = loaded.damaged.first { throw TrainingError(damaged) }
      for part in loaded.parts {
        total += try MeanLoss(of: part) { try TrainingStep.loss(bundle.model, $0, device: device) }
      }
      done += loaded.samples.count
      try Task.checkCancellation()
      report(done, count)
    }
    return total.value
  }
}

extension TextMetrics {
  fileprivate init(_ results: [Evaluation.Result]) {
    self.init(generated: results.map(\.generated), references: results.map(\.expected))
  }
}

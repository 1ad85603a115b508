import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

/// How well a model's texts agree with those of an image folder.
public struct Evaluation: Sendable {
  public struct Result: Sendable, Codable {
    public let picture: String
    /// The folder's texts for this picture and prompt.
    public let expected: [String]
    public let generated: String
  }

  public let metrics: TextMetrics
  public let results: [Result]

  /// Captions every picture of a folder. A picture that occurs several times with the same prompt is captioned once and
  /// compared with all its texts.
  /// - Parameter report: gets the pictures done and in all
  public static func run(
    _ captioner: Captioner, on folder: ImageFolder, request: Captioner.Request = .init(), batchSize: Int = 16,
    report: (_ done: Int, _ count: Int) -> Void = { _, _ in }
  ) async throws -> Evaluation {
    var results: [Result] = []
    // Pictures of one prompt share a batch.
    let groups = Dictionary(grouping: jobs(of: folder.samples), by: \.prompt)
    let count = groups.values.map(\.count).reduce(0, +)
    for (prompt, jobs) in groups.sorted(by: { $0.key ?? "" < $1.key ?? "" }) {
      var request = request
      request.prompt = prompt
      for start in stride(from: 0, to: jobs.count, by: batchSize) {
        let batch = jobs[start..<min(start + batchSize, jobs.count)]
        let pictures = try batch.map { try captioner.processor($0.picture) }
        for (job, captions) in zip(batch, try await captioner.caption(pictures, request)) {
          results.append(
            Result(
              picture: job.picture.lastPathComponent, expected: job.texts,
              generated: captions.first?.text ?? ""))
        }
        try Task.checkCancellation()
        report(results.count, count)
      }
    }
    return Evaluation(
      metrics: TextMetrics(generated: results.map(\.generated), references: results.map(\.expected)),
      results: results)
  }

  /// A picture, its prompt, and all texts that are right for both.
  struct Job {
    let picture: URL
    let prompt: String?
    var texts: [String]
  }

  /// Samples of one picture and prompt as one, in the order in which they first come.
  static func jobs(of samples: [ImageFolder.Sample]) -> [Job] {
    struct Key: Hashable {
      let picture: URL
      let prompt: String?
    }
    var jobs: [Job] = []
    var places: [Key: Int] = [:]
    for sample in samples {
      let key = Key(picture: sample.picture.standardizedFileURL, prompt: sample.prompt)
      if let place = places[key] {
        jobs[place].texts.append(sample.text)
      } else {
        places[key] = jobs.count
        jobs.append(Job(picture: sample.picture, prompt: sample.prompt, texts: [sample.text]))
      }
    }
    return jobs
  }

  /// The mean cross-entropy per token of a folder's texts.
  /// - Parameters:
  ///   - precision: what to compute in; what the folder's weights were quantised for, or float32, when nil
  ///   - report: gets the pictures done and in all
  public static func loss(
    of model: ModelFolder, on folder: ImageFolder, precision: Precision? = nil, device: Device = .cpu,
    batchSize: Int = 16, report: (_ done: Int, _ count: Int) -> Void = { _, _ in }
  ) throws -> Double {
    let network = try model.model(precision: precision ?? model.precision() ?? .float32, device: device)
    let loader = try BatchLoader(
      folder, tokenizer: model.tokenizer(), processor: model.processor(), augmentation: nil,
      maxSeqLen: network.configuration.maxSeqLen, batchSize: batchSize, seed: 0)
    var total = 0.0
    var tokens = 0
    for range in loader.batchesInOrder() {
      let batch = try loader.batch(of: range)
      let loss = try withoutGradients { try TrainingStep.loss(network, batch, device: device) }
      total += Double(try loss.item(Float.self)) * Double(batch.targetCount)
      tokens += batch.targetCount
      try Task.checkCancellation()
      report(range.upperBound, folder.samples.count)
    }
    return total / Double(tokens)
  }
}

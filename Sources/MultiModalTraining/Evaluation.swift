import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

/// How well a model's texts agree with those of an image folder.
public struct Evaluation: Sendable {
  public struct Result: Sendable, Codable {
    public let picture: String
    public let expected: String
    public let generated: String
  }

  public let metrics: TextMetrics
  public let results: [Result]

  /// Captions every picture of a folder.
  /// - Parameter report: gets the pictures done and in all
  public static func run(
    _ captioner: Captioner, on folder: ImageFolder, request: Captioner.Request = .init(), batchSize: Int = 16,
    report: (_ done: Int, _ count: Int) -> Void = { _, _ in }
  ) async throws -> Evaluation {
    var results: [Result] = []
    // Pictures of one prompt share a batch.
    let groups = Dictionary(grouping: folder.samples, by: \.prompt)
    for (prompt, samples) in groups.sorted(by: { $0.key ?? "" < $1.key ?? "" }) {
      var request = request
      request.prompt = prompt
      for start in stride(from: 0, to: samples.count, by: batchSize) {
        let batch = samples[start..<min(start + batchSize, samples.count)]
        let pictures = try batch.map { try captioner.processor($0.picture) }
        for (sample, captions) in zip(batch, try await captioner.caption(pictures, request)) {
          results.append(
            Result(
              picture: sample.picture.lastPathComponent, expected: sample.text,
              generated: captions.first?.text ?? ""))
        }
        try Task.checkCancellation()
        report(results.count, folder.samples.count)
      }
    }
    return Evaluation(
      metrics: TextMetrics(generated: results.map(\.generated), expected: results.map(\.expected)),
      results: results)
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

import Foundation
import MultiModalPipeline

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
}

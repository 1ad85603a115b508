import MultiModalPipeline
import Torch

/// Reads through datasets before training, every sample once. Of several processes each sees to a share of the texts.
struct DatasetReader {
  /// What a dataset to validate with comes to.
  struct Validation {
    let summary: DatasetSummary
    /// Pictures for which texts are generated.
    let jobs: [Evaluation.Job]
  }

  private let group: ProcessGroup?
  private let progress: (_ samples: Int) -> Void
  private var done = 0

  init(_ group: ProcessGroup?, progress: @escaping (_ samples: Int) -> Void) {
    (self.group, self.progress) = (group, progress)
  }

  /// - Parameters:
  ///   - encoder: sees that every text fits; nil where they are known to
  ///   - body: gets every sample
  mutating func read(
    _ dataset: any Dataset, by encoder: ExampleEncoder?, _ body: (Sample) -> Void = { _ in }
  ) throws -> DatasetSummary {
    let (rank, processes) = (group?.rank ?? 0, group?.size ?? 1)
    var summary = DatasetSummary()
    try dataset.forEach { sample in
      if let encoder, summary.count % processes == rank { _ = try encoder(sample) }
      summary.add(sample)
      body(sample)
      done += 1
      if done % 10_000 == 0 { progress(done) }
    }
    return summary
  }

  /// - Returns: nil where there is nothing to validate with
  /// - Throws: `TrainingError` for a dataset without samples.
  mutating func readValidation(
    of data: TrainingData, by encoder: ExampleEncoder, _ settings: TrainingConfiguration.Training
  ) throws -> Validation? {
    guard let dataset = data.validation else { return nil }
    var drawn = HeldOutTexts(count: settings.generatedSamples, seed: settings.seed)
    let summary = try read(dataset, by: encoder) { drawn.add($0) }
    guard summary.count > 0 else { throw data.emptyValidation(dataset) }
    return Validation(summary: summary, jobs: drawn.jobs)
  }
}

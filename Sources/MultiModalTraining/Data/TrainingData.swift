import Foundation

/// What a run trains on and, where there is one, validates with.
struct TrainingData: Sendable {
  let training: any Dataset
  let validation: (any Dataset)?

  /// - Parameter url: a folder with `train` and perhaps `validation`, as folders or as `train.tsv` or `train.tar`; or a dataset
  init(_ url: URL, validation: URL? = nil) throws {
    let parts = try Datasets.parts(of: url)
    training = try Datasets.open(parts?.training ?? url)
    self.validation = try (validation ?? parts?.validation).map(Datasets.open)
  }
}

import Foundation

/// What a run trains on and, where there is one, validates with.
struct TrainingData: Sendable {
  let training: any Dataset
  let validation: (any Dataset)?

  /// - Parameter url: a folder with `train` and perhaps `validation`, as folders or as `train.tsv` or `train.tar`; or a dataset
  init(_ url: URL, validation: URL? = nil) throws {
    func split(_ name: String) -> URL? {
      ["", ".tsv", ".tar"].map { url.appendingPathComponent(name + $0) }
        .first { FileManager.default.fileExists(atPath: $0.path) }
    }
    if let train = split("train") {
      training = try Datasets.open(train)
      self.validation = try (validation ?? split("validation")).map(Datasets.open)
    } else {
      training = try Datasets.open(url)
      self.validation = try validation.map(Datasets.open)
    }
  }
}

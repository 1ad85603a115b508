import Foundation
import Torch

/// What is trained on and, where there is one, validated with.
struct TrainingData: Sendable {
  let training: any Dataset
  let validation: (any Dataset)?
  /// Of the pictures, where these are held out of the training data; else 0.
  private let heldOutShare: Double

  /// - Parameters:
  ///   - url: a folder with `train` and perhaps `validation`, as folders, lists (.tsv) or archives (.tar, .tar.gz); or a dataset
  ///   - settings: say what is validated with instead of the one in it, or where there is none
  init(_ url: URL, _ settings: TrainingConfiguration.DataReading = .init()) throws {
    let parts = try Datasets.parts(of: url)
    let beside = settings.validation.isEmpty ? try parts?.validation.map(Datasets.open) : nil
    try self.init(Datasets.open(parts?.training ?? url), validation: beside, settings)
  }

  /// - Parameters:
  ///   - validation: instead of what the settings say
  ///   - settings: say what is validated with where there is no such dataset
  init(_ all: any Dataset, validation: (any Dataset)?, _ settings: TrainingConfiguration.DataReading) throws {
    let path = settings.validation
    let validation =
      try validation ?? (path.isEmpty ? nil : Datasets.open(URL(fileURLWithPath: path)))
    heldOutShare = validation == nil ? settings.validationShare : 0
    let holdsOut = heldOutShare > 0
    training = holdsOut ? DatasetPart(all, share: heldOutShare, isHeldOut: false) : all
    self.validation = holdsOut ? DatasetPart(all, share: heldOutShare, isHeldOut: true) : validation
  }

  /// What is wrong with data to train on that are none.
  var emptyTraining: TrainingError {
    TrainingError(
      heldOutShare > 0
        ? "data.validation_share \(heldOutShare) leaves no picture of \(training.name) to train on: lower it or give more"
        : "\(training.name) names no picture")
  }

  /// What is wrong with data to validate with that are none.
  func emptyValidation(_ dataset: any Dataset) -> TrainingError {
    TrainingError(
      heldOutShare > 0
        ? "data.validation_share \(heldOutShare) holds out no picture of \(dataset.name): raise it"
        : "\(dataset.name) names no picture")
  }
}

extension TrainingConfiguration.DataReading {
  /// Names what is validated with so that it is found from any folder.
  /// - Parameter url: instead of what they say
  mutating func takeValidation(_ url: URL?) {
    let path = url?.path ?? validation
    if !path.isEmpty { validation = URL(fileURLWithPath: path).standardizedFileURL.path }
  }
}

/// The pictures of a dataset that are held out, or the others, with all samples of each. Which they are follows from their
/// names alone, so adding pictures moves none.
private struct DatasetPart: Dataset {
  private let whole: any Dataset
  private let share: Double
  private let isHeldOut: Bool

  init(_ whole: any Dataset, share: Double, isHeldOut: Bool) {
    (self.whole, self.share, self.isHeldOut) = (whole, share, isHeldOut)
  }

  var name: String { whole.name }
  var shardCount: Int { whole.shardCount }

  func samples(ofShard shard: Int) throws -> () throws -> Sample? {
    let next = try whole.samples(ofShard: shard)
    return {
      while let sample = try next() {
        var generator = SplitMix64(seed: 0, name: sample.picture.plainName)
        if (Double.random(in: 0..<1, using: &generator) < share) == isHeldOut { return sample }
      }
      return nil
    }
  }
}

import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

/// Pictures and texts as the model takes them.
public struct Batch: Sendable {
  /// [batch, channels, height, width]
  public let images: Tensor
  /// int64 [batch, length], padded on the right
  public let text: Tensor
  /// bool [batch, length], true for a real token; nil when all are
  public let mask: Tensor?
  /// int64 [batch, length - 1], ignoreIndex for prompt and padding
  public let targets: Tensor
  /// How many targets count.
  public let targetCount: Int

  /// - Parameter targetCount: how many of `targets` are not `ignoreIndex`
  public init(images: Tensor, text: Tensor, mask: Tensor?, targets: Tensor, targetCount: Int) {
    self.images = images
    self.text = text
    self.mask = mask
    self.targets = targets
    self.targetCount = targetCount
  }
}

/// A batch, and what became of its samples.
struct LoadedBatch: Sendable {
  /// A part for each size of its pictures, the size of its first picture first; none when no picture could be used.
  let parts: [Batch]
  /// The samples in it.
  let samples: [Sample]
  /// What was left out because its picture is missing or damaged, with the reason.
  let damaged: [String]

  /// How many targets count.
  var targetCount: Int { parts.reduce(0) { $0 + $1.targetCount } }
}

/// Makes the batch of any number from the number and a seed alone, so that a resumed run sees the same data.
struct BatchLoader: Sendable {
  private let planner: BatchPlanner
  private let encoder: ExampleEncoder
  private let processor: ImageProcessor
  private let augmentation: PictureAugmentation?
  private let seed: UInt64
  /// What of each batch this process decodes.
  private let rank: Int
  private let processes: Int
  /// Samples of a batch, of all processes together; there may be fewer than the settings say.
  let batchSize: Int
  /// Of all processes together.
  let batchesPerEpoch: Int

  /// - Parameters:
  ///   - count: of the dataset's samples
  ///   - augmentation: nil to see the pictures as they are
  ///   - keepsRest: whether the last samples of an epoch make a smaller batch, or none
  init(
    _ dataset: any Dataset, count: Int, encoder: ExampleEncoder, order: SampleOrder,
    processor: ImageProcessor,
    augmentation: PictureAugmentation? = nil, keepsRest: Bool = false, rank: Int = 0, processes: Int = 1
  ) {
    batchSize = order.batchSize
    let full = count / batchSize
    batchesPerEpoch = keepsRest && count % batchSize > 0 ? full + 1 : full
    planner = BatchPlanner(dataset, encoder: encoder, order: order, batchesPerEpoch: batchesPerEpoch)
    self.processor = processor
    self.augmentation = augmentation
    self.encoder = encoder
    seed = order.seed
    self.rank = rank
    self.processes = processes
  }

  /// The batches that a bundle's model learns from, of its processor's pictures as views.
  init(
    _ dataset: any Dataset, count: Int, _ bundle: ModelBundle, _ configuration: TrainingConfiguration,
    group: ProcessGroup?
  ) throws {
    let augmentation = try configuration.image.outputSize.flatMap { size in
      try configuration.augmentation.map {
        try PictureAugmentation($0, height: size.height, width: size.width)
      }
    }
    self.init(
      dataset, count: count, encoder: ExampleEncoder(bundle),
      order: SampleOrder(
        batchSize: min(configuration.training.batchSize, count),
        shuffleBuffer: configuration.data.shuffleBuffer, bucketBatches: configuration.data.bucketBatches,
        seed: configuration.training.seed),
      processor: bundle.processor, augmentation: augmentation, rank: group?.rank ?? 0,
      processes: group?.size ?? 1)
  }

  /// All samples in the order of storage, as they are.
  init(
    inOrder dataset: any Dataset, count: Int, _ bundle: ModelBundle, batchSize: Int,
    group: ProcessGroup? = nil
  ) {
    self.init(
      dataset, count: count, encoder: ExampleEncoder(bundle),
      order: SampleOrder(batchSize: batchSize, shuffleBuffer: 1, bucketBatches: 1, seed: 0),
      processor: bundle.processor, keepsRest: true, rank: group?.rank ?? 0, processes: group?.size ?? 1)
  }

  /// Makes batches ahead of their use.
  /// - Parameters:
  ///   - numbers: counted over all epochs
  ///   - workers: batches that are made at once
  func prefetch(_ numbers: Range<Int>, workers: Int) -> Prefetcher<LoadedBatch> {
    Prefetcher(numbers, ahead: workers) { [planner] in
      try await planner.batch($0)
    } make: {
      try load($0, batch: $1)
    }
  }

  /// Decodes, encodes and joins this process's part of a batch.
  private func load(_ number: Int, batch: [PlannedSample]) throws -> LoadedBatch {
    let epoch = number / max(1, batchesPerEpoch)
    let part = batch[rank * batch.count / processes..<(rank + 1) * batch.count / processes]
    let longestSide = processor.configuration.outputSize.map { 4 * max($0.height, $0.width) }
    var usable: [(example: Example, image: ProcessedImage)] = []
    var damaged: [String] = []
    for planned in part {
      let example = try planned.example(by: encoder)
      do {
        let picture = try example.sample.picture.decoded(
          longestSide: longestSide, limits: processor.configuration.limits)
        var generator = SplitMix64(seed: seed, place: epoch, example.index)
        let image =
          try augmentation.map { try processor($0(picture, using: &generator)) } ?? processor(picture)
        usable.append((example, image))
      } catch let error as PictureError {
        damaged.append("\(error)")
      }
    }
    var parts: [Batch] = []
    var rest = usable
    while let first = rest.first?.image {
      try parts.append(collate(rest.filter { $0.image.hasSize(of: first) }))
      rest.removeAll { $0.image.hasSize(of: first) }
    }
    return LoadedBatch(parts: parts, samples: usable.map(\.example.sample), damaged: damaged)
  }

  /// - Parameter usable: pictures of one size
  private func collate(_ usable: [(example: Example, image: ProcessedImage)]) throws -> Batch {
    let examples = usable.map(\.example)
    let images = try Tensor.cat(usable.map { try Tensor($0.image) })
    let length = examples.map(\.tokens.count).max() ?? 0
    var text: [Int] = []
    var mask: [Bool] = []
    var targets: [Int] = []
    for example in examples {
      let count = example.tokens.count
      text += example.tokens + Array(repeating: encoder.generation.padding, count: length - count)
      mask += (0..<length).map { $0 < count }
      targets += (1..<length).map {
        (example.given..<count).contains($0) ? example.tokens[$0] : ignoreIndex
      }
    }
    return Batch(
      images: images,
      text: try Tensor(text, shape: [examples.count, length]),
      mask: mask.contains(false) ? try Tensor(mask, shape: [examples.count, length]) : nil,
      targets: try Tensor(targets, shape: [examples.count, length - 1]),
      targetCount: targets.count { $0 != ignoreIndex })
  }
}

/// Reads which samples make a batch. Numbers that follow each other are read on; any other is found by reading its epoch
/// from the beginning, without decoding pictures.
private actor BatchPlanner {
  private let dataset: any Dataset
  private let encoder: ExampleEncoder
  private let order: SampleOrder
  private let batchesPerEpoch: Int
  private var stream: ExampleStream?
  private var next = 0

  init(_ dataset: any Dataset, encoder: ExampleEncoder, order: SampleOrder, batchesPerEpoch: Int) {
    self.dataset = dataset
    self.encoder = encoder
    self.order = order
    self.batchesPerEpoch = batchesPerEpoch
  }

  /// - Throws: `TrainingError` when the dataset has fewer samples than it had.
  func batch(_ number: Int) throws -> [PlannedSample] {
    let (epoch, place) = number.quotientAndRemainder(dividingBy: batchesPerEpoch)
    if stream == nil || number != next || place == 0 {
      stream = ExampleStream(dataset, encoder: encoder, order: order, epoch: epoch)
      for _ in 0..<place {
        _ = try stream?.nextBatch()
        try Task.checkCancellation()
      }
    }
    guard let batch = try stream?.nextBatch() else {
      throw TrainingError(
        "\(dataset.name) has fewer samples than before: it was changed while it was read")
    }
    next = number + 1
    return batch
  }
}

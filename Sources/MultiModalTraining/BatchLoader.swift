import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

/// Pictures and texts as the model takes them.
public struct Batch: Sendable {
  public let images: Tensor  // [batch, 3, height, width]
  public let text: Tensor  // int64 [batch, length], padded on the right
  public let mask: Tensor?  // bool [batch, length], true for a real token; nil when all are
  public let targets: Tensor  // int64 [batch, length - 1], GPT4MultiModal.ignored for prompt and padding
  /// How many targets count.
  public let targetCount: Int

  /// - Parameter targetCount: how many of `targets` are not `GPT4MultiModal.ignored`
  public init(images: Tensor, text: Tensor, mask: Tensor?, targets: Tensor, targetCount: Int) {
    self.images = images
    self.text = text
    self.mask = mask
    self.targets = targets
    self.targetCount = targetCount
  }
}

/// Makes the batch of any step from the step's number and a seed alone, so that a resumed run sees the same data.
struct BatchLoader: Sendable {
  /// A picture with its text as token ids.
  private struct Example: Sendable {
    let picture: Picture
    let tokens: [Int]
    /// Tokens that are given and not learned: BOS and the prompt.
    let given: Int
  }

  private let examples: [Example]
  private let processor: ImageProcessor
  private let augmentation: PictureAugmentation?
  private let pad: Int
  private let batchSize: Int
  private let seed: UInt64

  /// Decodes every picture once and keeps it, no larger than four times what the model takes.
  /// - Parameter augmentation: nil to see the pictures as they are
  init(
    _ folder: ImageFolder, tokenizer: Tokenizer, processor: ImageProcessor,
    augmentation: PictureAugmentation?,
    maxSeqLen: Int, batchSize: Int, seed: UInt64
  ) throws {
    let longestSide = processor.configuration.outputSize.map { 4 * max($0.height, $0.width) }
    examples = try folder.samples.map { sample in
      try Task.checkCancellation()
      let given = try tokenizer.encodePrompt(sample.prompt)
      let tokens = try given + tokenizer.encode(sample.text, addEOS: true)
      guard tokens.count <= maxSeqLen else {
        throw TrainingError(
          "the text of \(sample.picture.path) has \(tokens.count) tokens, but max_seq_len is \(maxSeqLen): shorten "
            + "it or raise max_seq_len")
      }
      return Example(
        picture: try Picture(
          contentsOf: sample.picture, longestSide: longestSide, limits: processor.configuration.limits),
        tokens: tokens, given: given.count)
    }
    self.processor = processor
    self.augmentation = augmentation
    pad = tokenizer.pad
    self.batchSize = min(batchSize, examples.count)
    self.seed = seed
  }

  var exampleCount: Int { examples.count }
  var stepsPerEpoch: Int { examples.count / batchSize }

  /// The batch of a training step: each epoch runs through the examples in an order of its own.
  func batch(step: Int) throws -> Batch {
    let epoch = step / stepsPerEpoch
    var order = Array(examples.indices)
    var shuffler = SplitMix64(seed: seed &+ UInt64(epoch) &* 0x9E37_79B9)
    order.shuffle(using: &shuffler)
    let first = (step % stepsPerEpoch) * batchSize
    return try collate(
      order[first..<first + batchSize].map { examples[$0] }, drawing: seed ^ UInt64(step) << 20)
  }

  /// All examples once, in order; the last batch may be smaller.
  func batchesInOrder() -> [Range<Int>] {
    stride(from: 0, to: examples.count, by: batchSize).map { $0..<min($0 + batchSize, examples.count) }
  }

  func batch(of range: Range<Int>) throws -> Batch { try collate(Array(examples[range]), drawing: seed) }

  private func collate(_ examples: [Example], drawing seed: UInt64) throws -> Batch {
    var generator = SplitMix64(seed: seed)
    var pixels: [Float] = []
    var size = (height: 0, width: 0)
    for example in examples {
      let image =
        try augmentation.map { try processor($0(example.picture, using: &generator)) }
        ?? processor(example.picture)
      pixels += image.values
      size = (image.height, image.width)
    }
    let length = examples.map(\.tokens.count).max() ?? 0
    var text: [Int] = []
    var mask: [Bool] = []
    var targets: [Int] = []
    for example in examples {
      let count = example.tokens.count
      text += example.tokens + Array(repeating: pad, count: length - count)
      mask += (0..<length).map { $0 < count }
      targets += (1..<length).map {
        (example.given..<count).contains($0) ? example.tokens[$0] : GPT4MultiModal.ignored
      }
    }
    return Batch(
      images: try Tensor(pixels, shape: [examples.count, 3, size.height, size.width]),
      text: try Tensor(text, shape: [examples.count, length]),
      mask: mask.contains(false) ? try Tensor(mask, shape: [examples.count, length]) : nil,
      targets: try Tensor(targets, shape: [examples.count, length - 1]),
      targetCount: targets.count { $0 != GPT4MultiModal.ignored })
  }
}

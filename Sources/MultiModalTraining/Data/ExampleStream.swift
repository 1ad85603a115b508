import MultiModalModel
import Torch
import MultiModalPipeline

/// A sample with its text as token ids.
struct Example: Sendable {
  let sample: Sample
  let tokens: [Int]
  /// Tokens that are given and not learned: BOS and the prompt.
  let given: Int
  /// Its place in the epoch; with the seed it draws the picture's view.
  let index: Int
}

/// A sample in its place in an epoch. Its text becomes tokens where it is learned from, unless its length was asked for before.
struct PlannedSample: Sendable {
  let sample: Sample
  let index: Int
  fileprivate var encoded: Example?

  func example(by encoder: ExampleEncoder) throws -> Example {
    try encoded ?? encoder(sample, index: index)
  }
}

/// Samples as the model takes them.
struct ExampleEncoder: Sendable {
  let tokenizer: any Tokenizer
  let generation: GenerationSettings
  /// Of the model: the most tokens of a text, and what its configuration calls that.
  let longestText: Int
  let longestTextName: String

  init(tokenizer: any Tokenizer, generation: GenerationSettings, configuration: any ImageToTextConfiguration)
  {
    self.tokenizer = tokenizer
    self.generation = generation
    longestText = configuration.longestText
    longestTextName = configuration.longestTextName
  }

  init(_ bundle: ModelBundle) {
    self.init(
      tokenizer: bundle.tokenizer, generation: bundle.generation, configuration: bundle.model.configuration)
  }

  /// Whether the model takes so long a text.
  func fits(prompt: String?, text: String) throws -> Bool {
    try tokens(prompt: prompt, text: text).all.count <= longestText
  }

  private func tokens(prompt: String?, text: String) throws -> (given: Int, all: [Int]) {
    let given = try generation.prompt(prompt, by: tokenizer)
    var tokens = try given + tokenizer.encodeTarget(text)
    if let end = generation.end.first,
      !generation.end.contains(tokens[tokens.count - 1]) || tokens.count == given.count
    {
      tokens.append(end)
    }
    return (given.count, tokens)
  }

  /// - Throws: `TrainingError` for a text that is too long.
  func callAsFunction(_ sample: Sample, index: Int = 0) throws -> Example {
    let (given, tokens) = try tokens(prompt: sample.prompt, text: sample.text)
    guard tokens.count <= longestText else {
      throw TrainingError(
        "the text of \(sample.picture.place) has \(tokens.count) tokens, but \(longestTextName) is \(longestText): shorten it "
          + "or raise \(longestTextName)")
    }
    return Example(sample: sample, tokens: tokens, given: given, index: index)
  }
}

/// How the samples of an epoch follow each other.
struct SampleOrder: Sendable {
  /// Of all processes together.
  let batchSize: Int
  /// Samples that wait to be drawn from; 1 keeps the order of storage.
  let shuffleBuffer: Int
  /// Batches whose samples are sorted by length before they are cut, so that texts of one batch are alike long.
  let bucketBatches: Int
  let seed: UInt64
}

/// The batches of one epoch, read from storage as they are asked for. What is read follows from the seed and the number of
/// the epoch alone, so every process sees the same batches, and a resumed run those of the run before.
///
/// Shards are taken in a drawn order; a buffer of samples is drawn from and filled up again.
struct ExampleStream {
  private let dataset: any Dataset
  private let encoder: ExampleEncoder
  private let order: SampleOrder
  private var generator: SplitMix64
  private var shards: [Int]
  private var next: (() throws -> Sample?)?
  private var buffer: [Sample] = []
  private var batches: [[PlannedSample]] = []
  private var count = 0

  init(_ dataset: any Dataset, encoder: ExampleEncoder, order: SampleOrder, epoch: Int) {
    self.dataset = dataset
    self.encoder = encoder
    self.order = order
    generator = SplitMix64(seed: order.seed &+ UInt64(epoch) &* 0x9E37_79B9)
    shards = Array(0..<dataset.shardCount)
    if order.shuffleBuffer > 1 { shards.shuffle(using: &generator) }
    shards.reverse()
  }

  /// The next batch; the last may be smaller, nil after it.
  mutating func nextBatch() throws -> [PlannedSample]? {
    if batches.isEmpty {
      let sorts = order.bucketBatches > 1
      var pool: [PlannedSample] = []
      while pool.count < order.batchSize * order.bucketBatches, let sample = try draw() {
        pool.append(
          PlannedSample(
            sample: sample, index: count, encoded: sorts ? try encoder(sample, index: count) : nil))
        count += 1
      }
      // A batch that is not full stays the last. It is cut before the others are sorted, because training leaves it out:
      // it would always be that of the longest texts.
      let rest = Array(pool.suffix(pool.count % order.batchSize))
      pool.removeLast(rest.count)
      if sorts {
        pool.sort { ($0.encoded?.tokens.count ?? 0, $0.index) < ($1.encoded?.tokens.count ?? 0, $1.index) }
      }
      var cut = stride(from: 0, to: pool.count, by: order.batchSize).map {
        Array(pool[$0..<$0 + order.batchSize])
      }
      if sorts { cut.shuffle(using: &generator) }
      if !rest.isEmpty { cut.append(rest) }
      batches = cut.reversed()
    }
    return batches.popLast()
  }

  private mutating func draw() throws -> Sample? {
    while buffer.count < order.shuffleBuffer, let sample = try read() { buffer.append(sample) }
    guard !buffer.isEmpty else { return nil }
    buffer.swapAt(Int.random(in: buffer.indices, using: &generator), buffer.count - 1)
    return buffer.removeLast()
  }

  private mutating func read() throws -> Sample? {
    while true {
      if let sample = try next?() { return sample }
      guard let shard = shards.popLast() else {
        next = nil
        return nil
      }
      next = try dataset.samples(ofShard: shard)
    }
  }
}

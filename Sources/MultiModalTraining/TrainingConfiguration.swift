import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

/// Everything that a training run is told: `config.json` of a recipe. Missing settings keep these defaults, unknown
/// ones are refused.
public struct TrainingConfiguration: Codable, Sendable, Equatable {
  /// Of any family; its vocabulary is that of the tokenizer.
  public var model = ModelConfiguration()
  /// Without a size of its own, pictures have the model's.
  public var image = ImageProcessor.Configuration()
  /// How views of the training pictures are drawn; nil shows the pictures as they are.
  public var augmentation: PictureAugmentation.Configuration?
  /// How texts become tokens.
  public var tokenizer = Vocabulary()
  /// Where samples come from.
  public var data = DataReading()
  /// How the model learns.
  public var training = Training()
  /// How processes find each other.
  public var distributed = Distribution()

  /// How a vocabulary is made from the training texts where no tokenizer is given.
  public struct Vocabulary: Codable, Sendable, Equatable {
    /// Tokens in all.
    public var vocabularySize = 2000
    /// SentencePiece's algorithm.
    public var type = SentencePieceTokenizer.TrainingConfiguration.ModelType.unigram

    enum CodingKeys: String, CodingKey {
      case vocabularySize = "vocabulary_size"
      case type
    }
  }

  /// How samples are read.
  public struct DataReading: Codable, Sendable, Equatable {
    /// Samples that wait to be drawn from: the larger, the better mixed. A dataset that fits is mixed perfectly.
    public var shuffleBuffer = 10_000
    /// So many batches are cut from samples sorted by length, which saves padding; 1 leaves lengths mixed.
    public var bucketBatches = 1
    /// Batches that are made at once, ahead of their use.
    public var workers = 4
    /// The share of an epoch's pictures, or of those to validate with, that may be missing or damaged before training stops.
    public var maxDamagedShare = 0.01
    /// The path of a dataset to validate with, in the place of the one that lies beside the training data; empty for that.
    public var validation = ""
    /// The share of the pictures that are held out to validate with, where no others are given; 0 for none.
    public var validationShare = 0.0

    enum CodingKeys: String, CodingKey {
      case shuffleBuffer = "shuffle_buffer"
      case bucketBatches = "bucket_batches"
      case workers
      case maxDamagedShare = "max_damaged_share"
      case validation
      case validationShare = "validation_share"
    }
  }

  /// How several processes train together.
  public struct Distribution: Codable, Sendable, Equatable {
    /// Gradients are summed over processes in buckets of this size, while others are still computed.
    public var bucketMegabytes = 25.0
    /// Each process keeps the optimizer's state of its share of the parameters alone (ZeRO, stage 1).
    public var shardOptimizer = false
    /// How long a process waits for the others before it gives up.
    public var timeoutSeconds = 600

    enum CodingKeys: String, CodingKey {
      case bucketMegabytes = "bucket_megabytes"
      case shardOptimizer = "shard_optimizer"
      case timeoutSeconds = "timeout_seconds"
    }
  }

  /// Adapters beside frozen weights (LoRA).
  public struct LowRankAdaptation: Codable, Sendable, Equatable {
    /// Of the adapters; 0 trains the weights themselves.
    public var rank = 0
    /// What the adapters' product is scaled with, divided by `rank`.
    public var alpha = 16.0
    /// Parts of layers' names, such as `to_q` or `decoder.to_logits`; empty for all linear layers.
    public var layers: [String] = []
  }

  /// The optimisation.
  public struct Training: Codable, Sendable, Equatable {
    /// Rounds through the pictures, each in an order of its own; the few that fill no whole batch at its end are left out.
    public var epochs = 10
    /// Samples of a batch, over all processes together: their number changes nothing else.
    public var batchSize = 32
    /// Batches whose gradients one step adds up: the effect of a batch so many times as large, in the memory of one.
    public var gradientAccumulationSteps = 1
    /// What matrix products and attention compute in.
    public var precision = TrainingPrecision.float32
    /// Keeps each layer's input alone and computes the rest again for the gradients: less memory, more time.
    public var activationCheckpointing = false
    /// The learning rate after the warm-up.
    public var learningRate = 1e-3
    /// The learning rate at the end, unless the schedule is constant.
    public var minLearningRate = 1e-5
    /// Steps in which the learning rate rises.
    public var warmupSteps = 100
    /// How the learning rate falls after the warm-up.
    public var schedule = LearningRateSchedule.Shape.cosine
    /// The share of a target's probability that goes to all tokens alike.
    public var labelSmoothing = 0.0
    /// AdamW's decay of matrices; vectors (norms, biases) and embeddings have none.
    public var weightDecay = 0.05
    /// The decay of AdamW's first moment.
    public var beta1 = 0.9
    /// The decay of AdamW's second moment.
    public var beta2 = 0.98
    /// The largest norm of all gradients together.
    public var clipNorm = 1.0
    /// Validates and exports the exponential moving average of the weights with this decay, such as 0.999; 0 for the weights
    /// themselves.
    public var emaDecay = 0.0
    /// Parts of the model that stay as they are: beginnings of parameters' names, such as `encoder`.
    public var freeze: [String] = []
    /// Adapters that are trained in the weights' place.
    public var lora = LowRankAdaptation()
    /// The same seed trains the same model.
    public var seed: UInt64 = 0
    /// Steps between two validations.
    public var validationEvery = 500
    /// Held-out samples for which a validation also generates texts, to compare them with the true ones.
    public var generatedSamples = 64
    /// Validations without a better loss after which training ends; 0 for none.
    public var earlyStopPatience = 0
    /// Steps between two checkpoints.
    public var checkpointEvery = 500
    /// Checkpoints that are kept, besides the one of the best validation.
    public var keepCheckpoints = 3
    /// Steps in a row that may be left out because loss or gradients are not finite.
    public var maxSkippedSteps = 5
    /// Which weights the finished model has.
    public var export = Export.last
    /// What the finished model's weights are stored as; they are trained in float32.
    public var weights = Weights.float32

    /// Which weights a finished model has.
    public enum Export: String, Codable, Sendable, CaseIterable {
      /// Those after the last step.
      case last
      /// Those of the best validation.
      case best
    }

    /// What weights are stored as.
    public enum Weights: String, Codable, Sendable, CaseIterable {
      /// Four bytes for each.
      case float32
      /// Two bytes for each.
      case bfloat16

      var dtype: DType { self == .float32 ? .float32 : .bfloat16 }
    }

    enum CodingKeys: String, CodingKey {
      case epochs, beta1, beta2, seed, weights, precision, schedule, freeze, lora, export
      case batchSize = "batch_size"
      case gradientAccumulationSteps = "gradient_accumulation_steps"
      case activationCheckpointing = "activation_checkpointing"
      case learningRate = "learning_rate"
      case minLearningRate = "min_learning_rate"
      case warmupSteps = "warmup_steps"
      case weightDecay = "weight_decay"
      case clipNorm = "clip_norm"
      case labelSmoothing = "label_smoothing"
      case emaDecay = "ema_decay"
      case generatedSamples = "generated_samples"
      case earlyStopPatience = "early_stop_patience"
      case keepCheckpoints = "keep_checkpoints"
      case maxSkippedSteps = "max_skipped_steps"
      case validationEvery = "validation_every"
      case checkpointEvery = "checkpoint_every"
    }
  }

  /// The defaults.
  public init() {}

  /// Reads the settings that are given.
  public init(from decoder: any Decoder) throws {
    let fields = try JSONFields(training: decoder)
    let parts = try decoder.container(keyedBy: CodingKeys.self)
    func read<Part: Decodable>(_ part: inout Part, _ key: CodingKeys) throws {
      if fields[key.stringValue] != nil { part = try parts.decode(Part.self, forKey: key) }
    }
    try read(&model, .model)
    try read(&image, .image)
    try read(&augmentation, .augmentation)
    try read(&tokenizer, .tokenizer)
    try read(&data, .data)
    try read(&training, .training)
    try read(&distributed, .distributed)
    try fields.refuseUnknown()
    if try fields.object("image")?["size"]?.isNull ?? true {
      let size = model.family.pictureSize
      image.size = .init(height: size.height, width: size.width)
    }
  }

  /// What a run's folder calls the settings that the run is made with.
  public static let fileName = "training_config.json"

  /// - Parameter settings: what to take in the place of what the file says, such as `training.epochs=3`: a value in JSON, or a word
  /// - Throws: `TrainingError` or the part's own error, for a setting that is unknown or out of range.
  public init(contentsOf url: URL, settings: [String] = []) throws {
    try self.init(InputFile.json(url), settings, name: url.path)
  }

  /// Takes other settings in the place of some, as `init(contentsOf:settings:)` does.
  public mutating func set(_ settings: [String]) throws {
    guard !settings.isEmpty else { return }
    self = try Self(JSONEncoder().encode(self), settings, name: "the settings")
  }

  /// - Parameter name: the file's, for errors
  package init(_ json: Data, _ settings: [String] = [], name: String) throws {
    let place = settings.isEmpty ? name : "\(name) with \(settings.joined(separator: " and "))"
    let data = try Self.setting(settings, in: json)
    do {
      self = try JSONDecoder().decode(Self.self, from: data)
      try validate()
    } catch let error as any SentenceError {
      throw TrainingError("\(place): \(error.description)")
    } catch {
      throw TrainingError("\(place) is not valid JSON")
    }
  }

  /// Leaves the settings in a run's folder, from where another run can take them.
  func write(to run: URL) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    try AtomicFile.write(encoder.encode(self), to: run.appendingPathComponent(Self.fileName))
  }

  /// - Throws: `TrainingError` that names a setting which cannot change while a run goes on, because what was learned, counted or
  ///   drawn before depends on it.
  func check(goingOnFrom before: TrainingConfiguration) throws {
    let kept: [(String, Bool)] = [
      ("model", model == before.model), ("image", image == before.image),
      ("tokenizer", tokenizer == before.tokenizer),
      ("data.shuffle_buffer", data.shuffleBuffer == before.data.shuffleBuffer),
      ("data.bucket_batches", data.bucketBatches == before.data.bucketBatches),
      ("data.validation_share", data.validationShare == before.data.validationShare),
      ("training.batch_size", training.batchSize == before.training.batchSize),
      (
        "training.gradient_accumulation_steps",
        training.gradientAccumulationSteps == before.training.gradientAccumulationSteps
      ),
      ("training.seed", training.seed == before.training.seed),
      ("training.freeze", training.freeze == before.training.freeze),
      ("training.lora", training.lora == before.training.lora),
      ("training.ema_decay", (training.emaDecay > 0) == (before.training.emaDecay > 0)),
    ]
    if let (name, _) = kept.first(where: { !$0.1 }) {
      throw TrainingError("\(name) cannot change while a run goes on: leave it as it was, or begin a new run")
    }
  }

  /// - Throws: `TrainingError` that names the first setting out of range.
  public func validate() throws {
    try model.family.validate()
    guard image.outputSize != nil else {
      throw TrainingError(
        "image.do_resize must be true or image.crop_size given, because the pictures of a batch need one size"
      )
    }
    for size in image.outputSizes { try model.family.validateImage(height: size.height, width: size.width) }
    guard augmentation == nil || image.outputSizes.count == 1 else {
      throw TrainingError(
        "augmentation makes pictures of one size: take image.widths or augmentation away")
    }
    try tokenizer.validate()
    try data.validate()
    try distributed.validate()
    try training.validate()
  }
}

/// - Throws: `TrainingError` with what is allowed, unless the value is in the range.
private func check<Value: Comparable>(_ name: String, _ value: Value, _ allowed: ClosedRange<Value>) throws {
  guard allowed.contains(value) else {
    throw TrainingError("\(name) must be from \(allowed.lowerBound) to \(allowed.upperBound), got \(value)")
  }
}

extension TrainingConfiguration.Vocabulary {
  func validate() throws {
    try check(
      "tokenizer.vocabulary_size", vocabularySize, SentencePieceTokenizer.smallestVocabulary + 1...1_000_000)
  }
}

extension TrainingConfiguration.DataReading {
  func validate() throws {
    try check("data.shuffle_buffer", shuffleBuffer, 1...100_000_000)
    try check("data.bucket_batches", bucketBatches, 1...100_000)
    try check("data.workers", workers, 1...1024)
    try check("data.max_damaged_share", maxDamagedShare, 0...1)
    try check("data.validation_share", validationShare, 0...0.9)
  }
}

extension TrainingConfiguration.Distribution {
  func validate() throws {
    try check("distributed.bucket_megabytes", bucketMegabytes, 0.001...10_000)
    try check("distributed.timeout_seconds", timeoutSeconds, 1...86_400)
  }
}

extension TrainingConfiguration.Training {
  func validate() throws {
    func check<Value: Comparable>(_ name: String, _ value: Value, _ allowed: ClosedRange<Value>) throws {
      try MultiModalTraining.check("training.\(name)", value, allowed)
    }
    func positive(_ name: String, _ value: Int) throws {
      guard value > 0 else { throw TrainingError("training.\(name) must be at least 1, got \(value)") }
      guard value <= 1_000_000 else {
        throw TrainingError("training.\(name) must be at most 1000000, got \(value)")
      }
    }
    try positive("epochs", epochs)
    try positive("batch_size", batchSize)
    try positive("gradient_accumulation_steps", gradientAccumulationSteps)
    try positive("validation_every", validationEvery)
    try positive("checkpoint_every", checkpointEvery)
    try positive("keep_checkpoints", keepCheckpoints)
    try positive("max_skipped_steps", maxSkippedSteps)
    try check("warmup_steps", warmupSteps, 0...1_000_000_000)
    guard learningRate > 0, learningRate.isFinite else {
      throw TrainingError("training.learning_rate must be above 0, got \(learningRate)")
    }
    guard (0...learningRate).contains(minLearningRate) else {
      throw TrainingError(
        "training.min_learning_rate must be from 0 to learning_rate, got \(minLearningRate)")
    }
    guard weightDecay >= 0, clipNorm > 0 else {
      throw TrainingError(
        "training.weight_decay must be at least 0 and clip_norm above 0, got \(weightDecay) and \(clipNorm)")
    }
    for (name, value) in [
      ("beta1", beta1), ("beta2", beta2), ("ema_decay", emaDecay), ("label_smoothing", labelSmoothing),
    ] {
      guard (0..<1).contains(value) else {
        throw TrainingError("training.\(name) must be at least 0 and below 1, got \(value)")
      }
    }
    // Larger numbers are not exact in every reader of JSON.
    try check("seed", seed, 0...UInt64(Int.max))
    try check("generated_samples", generatedSamples, 0...1_000_000)
    try check("early_stop_patience", earlyStopPatience, 0...1_000_000)
    try check("lora.rank", lora.rank, 0...4096)
    guard lora.alpha > 0, lora.alpha.isFinite else {
      throw TrainingError("training.lora.alpha must be above 0, got \(lora.alpha)")
    }
    guard lora.rank == 0 || freeze.isEmpty else {
      throw TrainingError(
        "training.freeze must be empty with lora, which freezes everything but its adapters")
    }
  }
}

import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

/// Everything that a training run is told: `config.json` of a recipe. Missing settings keep these defaults, unknown
/// ones are refused.
public struct TrainingConfiguration: Codable, Sendable, Equatable {
  public var model = Configuration()
  /// Without a size of its own, pictures have the model's.
  public var image = ImageProcessor.Configuration()
  /// How views of the training pictures are drawn; nil shows the pictures as they are.
  public var augmentation: PictureAugmentation.Configuration?
  public var tokenizer = Vocabulary()
  public var training = Training()

  /// How a vocabulary is made from the training texts where no tokenizer is given.
  public struct Vocabulary: Codable, Sendable, Equatable {
    public var vocabularySize = 2000
    public var type = Tokenizer.TrainingConfiguration.ModelType.unigram

    enum CodingKeys: String, CodingKey {
      case vocabularySize = "vocabulary_size"
      case type
    }
  }

  /// The optimisation.
  public struct Training: Codable, Sendable, Equatable {
    /// Rounds through the pictures, each in an order of its own; the few that fill no whole batch at its end are left out.
    public var epochs = 10
    public var batchSize = 32
    /// Batches whose gradients one step adds up: the effect of a batch so many times as large, in the memory of one.
    public var gradientAccumulationSteps = 1
    /// What matrix products and attention compute in.
    public var precision = TrainingStep.Precision.float32
    /// Keeps each layer's input alone and computes the rest again for the gradients: less memory, more time.
    public var activationCheckpointing = false
    /// The learning rate after the warm-up.
    public var learningRate = 1e-3
    /// The learning rate at the end.
    public var minLearningRate = 1e-5
    public var warmupSteps = 100
    /// AdamW's decay of matrices; vectors (norms, biases) and embeddings have none.
    public var weightDecay = 0.05
    public var beta1 = 0.9
    public var beta2 = 0.98
    /// The largest norm of all gradients together.
    public var clipNorm = 1.0
    public var seed: UInt64 = 0
    /// Steps between two validations.
    public var validationEvery = 500
    /// Steps between two checkpoints.
    public var checkpointEvery = 500
    /// What the finished model's weights are stored as; they are trained in float32.
    public var weights = Weights.float32

    public enum Weights: String, Codable, Sendable {
      case float32
      case bfloat16

      var dtype: DType { self == .float32 ? .float32 : .bfloat16 }
    }

    enum CodingKeys: String, CodingKey {
      case epochs, beta1, beta2, seed, weights, precision
      case batchSize = "batch_size"
      case gradientAccumulationSteps = "gradient_accumulation_steps"
      case activationCheckpointing = "activation_checkpointing"
      case learningRate = "learning_rate"
      case minLearningRate = "min_learning_rate"
      case warmupSteps = "warmup_steps"
      case weightDecay = "weight_decay"
      case clipNorm = "clip_norm"
      case validationEvery = "validation_every"
      case checkpointEvery = "checkpoint_every"
    }
  }

  public init() {}

  /// - Throws: `TrainingError` or the part's own error, for a setting that is unknown or out of range.
  public init(contentsOf url: URL) throws {
    guard let data = try? Data(contentsOf: url) else {
      throw TrainingError(
        "\(url.path) cannot be read: give a training configuration, such as a recipe's config.json")
    }
    do {
      self = try StrictJSON.decode(
        data, over: TrainingConfiguration(), strictFields: ["model", "image", "augmentation"], file: url.path)
      if try JSONDecoder().decode(GivenSize.self, from: data).image?.size == nil {
        image.size = .init(height: model.imageSize, width: model.imageSize)
      }
      try validate()
    } catch let error as ModelError {
      throw TrainingError("\(url.path): \(error)")
    } catch let error as PictureError {
      throw TrainingError("\(url.path): \(error)")
    }
  }

  private struct GivenSize: Decodable {
    struct Image: Decodable { let size: ImageProcessor.Configuration.Size? }
    let image: Image?
  }

  public func validate() throws {
    try model.validate()
    guard let size = image.outputSize else {
      throw TrainingError(
        "image.do_resize must be true or image.crop_size given, because the pictures of a batch need one size"
      )
    }
    try model.validateImage(height: size.height, width: size.width)
    func positive(_ name: String, _ value: Int) throws {
      guard value > 0 else { throw TrainingError("training.\(name) must be at least 1, got \(value)") }
      guard value <= 1_000_000 else {
        throw TrainingError("training.\(name) must be at most 1000000, got \(value)")
      }
    }
    try positive("epochs", training.epochs)
    try positive("batch_size", training.batchSize)
    try positive("gradient_accumulation_steps", training.gradientAccumulationSteps)
    try positive("validation_every", training.validationEvery)
    try positive("checkpoint_every", training.checkpointEvery)
    guard training.warmupSteps >= 0 else {
      throw TrainingError("training.warmup_steps must be at least 0, got \(training.warmupSteps)")
    }
    guard training.learningRate > 0, training.learningRate.isFinite else {
      throw TrainingError("training.learning_rate must be above 0, got \(training.learningRate)")
    }
    guard (0...training.learningRate).contains(training.minLearningRate) else {
      throw TrainingError(
        "training.min_learning_rate must be from 0 to learning_rate, got \(training.minLearningRate)")
    }
    guard training.weightDecay >= 0, training.clipNorm > 0 else {
      throw TrainingError(
        "training.weight_decay must be at least 0 and clip_norm above 0, got \(training.weightDecay) and "
          + "\(training.clipNorm)")
    }
    guard (0..<1).contains(training.beta1), (0..<1).contains(training.beta2) else {
      throw TrainingError(
        "training.beta1 and beta2 must be in [0, 1), got \(training.beta1) and \(training.beta2)")
    }
  }
}

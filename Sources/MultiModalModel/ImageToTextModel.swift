import Foundation
import Torch

/// What a family's `config.json` says.
public protocol ImageToTextConfiguration: Codable, Equatable, Sendable {
  /// The name by which `model_type` calls the family; nil where its files have none.
  static var modelType: String? { get }
  /// How many tokens the head tells apart; a trainer sets it to what its tokenizer has.
  var vocabularySize: Int { get set }
  /// Whether the head may tell apart more than the tokenizer has, as Hugging Face's checkpoints do.
  var mayExceedTokenizer: Bool { get }
  /// The most tokens of a text.
  var longestText: Int { get }
  /// What `config.json` calls that.
  var longestTextName: String { get }
  /// Of the pictures that the model is made for, in pixels.
  var pictureSize: (height: Int, width: Int) { get }
  /// Of a picture: red, green and blue, or grey alone.
  var channels: Int { get }
  /// About how many parameters the model has; as a number with a point, because some configurations ask for more than an
  /// integer holds.
  var approximateParameters: Double { get }
  /// The same with another value of a field of `config.json`.
  /// - Throws: `ModelError` for a field or value that the family does not have.
  func replacing(_ field: String, with value: String) throws -> Self
  /// What `config.json` says of how texts are generated, by the names of transformers' `GenerationConfig`, where no
  /// `generation_config.json` says it.
  var generationFields: [String: JSONValue]? { get }
  /// - Throws: `ModelError` that names the first parameter out of range.
  func validate() throws
  /// - Throws: `ModelError` when the model cannot take a picture of this size, in pixels.
  func validateImage(height: Int, width: Int) throws
  /// - Parameter contents: what the weights hold at first
  /// - Throws: `ModelError` for parameters out of range, `TorchError` when memory does not suffice.
  func makeModel(contents: ParameterStore.Contents, dtype: DType, device: Device) throws
    -> any ImageToTextModel
}

extension ImageToTextConfiguration {
  /// Nothing: the tokenizer says how texts begin and end.
  public var generationFields: [String: JSONValue]? { nil }
}

/// A model of pictures and texts: an encoder of pictures, and a causal decoder of texts that sees what the encoder gives. All
/// that generating, training and serving need of a family.
///
/// A model is not safe to use from several tasks at once while its parameters change; calls that only read it
/// are independent of each other.
public protocol ImageToTextModel: AnyObject {
  /// What the family's `config.json` says.
  associatedtype Configuration: ImageToTextConfiguration
  /// What its `config.json` says.
  var configuration: Configuration { get }
  /// Every weight, by the names of the family's checkpoints.
  var parameters: ParameterStore { get }
  /// Texts to logits.
  var decoder: Transformer { get }
  /// Whether dropout acts. A model that was prepared for inference throws when it is called so.
  var isTraining: Bool { get set }
  /// While training, keeps each layer's input alone and computes the rest again in the backward pass: less memory, about
  /// a third more time.
  var checkpointsActivations: Bool { get set }
  /// A picture as the decoder sees it.
  /// - Parameter img: [batch, channels, height, width] or [batch, height, width, channels]
  /// - Returns: [batch, positions, the decoder's width]
  /// - Throws: `ModelError` for a picture that the model cannot take.
  func context(of img: Tensor) throws -> Tensor
  /// The encoder's attention weights of a picture, [batch, heads, positions, positions] for each layer.
  func encoderAttentionMaps(_ img: Tensor) throws -> [Attention.Map]
  /// Where the positions of `context` lie in a picture of this size, in pixels.
  func patchGrid(height: Int, width: Int) throws -> PatchGrid
  /// Heads times their width, over all layers of the encoder: attention among n positions takes 4 n² times as many
  /// floating-point operations.
  var encoderAttentionWidth: Int { get }
  /// Packs the weights of every layer, as `prepareForInference` asks.
  func pack(_ precision: Precision) throws
  /// What a checkpoint's tensors are by the names of `parameters`.
  /// - Throws: `ModelError` for tensors that are none of the family's.
  func parameterTensors(of checkpoint: [String: Tensor]) throws -> [String: Tensor]
  /// Parameters as the family's checkpoints hold them.
  func checkpointTensors(of parameters: [(String, Tensor)]) throws -> [(String, Tensor)]
}

/// How a picture's positions lie in it: row by row, behind some that stand for the whole picture.
public struct PatchGrid: Sendable, Equatable {
  /// Of patches, from the top.
  public let rows: Int
  /// Of patches, from the left.
  public let columns: Int
  /// Positions before the first patch, such as a class token's.
  public let prefix: Int
}

/// A target that does not count in a loss, as PyTorch's `ignore_index`.
public let ignoreIndex = -100

extension ImageToTextModel {
  /// The same names.
  public func parameterTensors(of checkpoint: [String: Tensor]) throws -> [String: Tensor] { checkpoint }
  /// The same names.
  public func checkpointTensors(of parameters: [(String, Tensor)]) throws -> [(String, Tensor)] { parameters }

  /// What the model was prepared for; nil before `prepareForInference`.
  public var precision: Precision? { parameters.precision }

  /// What the decoder attends to, [batch, positions, the decoder's width].
  /// - Throws: `ModelError` for a picture that the model cannot take, or when a prepared model is to be trained.
  public func encode(_ img: Tensor) throws -> Tensor {
    try checkCanTrain()
    let together = try picturesTogether(img)
    guard img.shape.first ?? 0 > together else { return try context(of: img) }
    return try Tensor.cat(
      stride(from: 0, to: img.shape[0], by: together).map { first in
        try context(of: img.narrow(0, start: first, length: min(together, img.shape[0] - first)))
      })
  }

  /// As many pictures as a prepared model encodes at once on a CPU: of more the activations leave its caches between two
  /// layers (16 pictures of 384 x 384 took 1.7 times as long together as one after the other).
  private func picturesTogether(_ img: Tensor) throws -> Int {
    guard precision != nil, img.device == .cpu, img.rank == 4 else { return .max }
    let size = img.shape[1] == configuration.channels ? img.shape[2...] : img.shape[1...2]
    let grid = try patchGrid(height: size[size.startIndex], width: size[size.startIndex + 1])
    return max(1, 512 / (grid.prefix + grid.rows * grid.columns))
  }

  /// - Parameters:
  ///   - img: [batch, height, width, channels] or [batch, channels, height, width]
  ///   - text: token ids, int64 [batch, length]
  ///   - mask: bool [batch, length], true for a real token
  /// - Returns: logits over the next token, [batch, length, vocabulary]
  /// - Throws: `ModelError` that says what the model cannot take.
  public func forward(img: Tensor, text: Tensor, mask: Tensor? = nil) throws -> Tensor {
    if img.rank == 4, text.rank == 2, img.shape[0] != text.shape[0] {
      throw ModelError(
        "img has a batch of \(img.shape[0]), but text has \(text.shape[0]): they must be equal")
    }
    return try decoder(text, context: encode(img), mask: mask, training: isTraining)
  }

  /// Makes the model compute in a precision from now on, faster and without gradients: linear layers are packed into
  /// the layout of their kernels, and their own weights are let go, so the model can no longer be trained or saved: what
  /// tries to throws.
  ///
  /// In `float32` logits stay what they were to rounding. The other precisions lose accuracy and gain speed and memory;
  /// those of int8 and int4 run on the CPU alone. Weights whose shape a kernel does not take stay in bfloat16. A program that
  /// sets `LibTorch.tunesAllocator` needs less memory meanwhile.
  /// - Throws: `ModelError` when the model is prepared already.
  public func prepareForInference(_ precision: Precision = .float32) throws {
    guard self.precision == nil else {
      throw ModelError("the model is prepared for inference already: load it again for another precision")
    }
    try LibTorch.withoutKeepingMemory {
      try withoutGradients {
        try pack(precision)
        for parameter in parameters.trainable where !parameter.isReleased && parameter.shape.count != 2 {
          try parameter.replace(
            with: parameter.value.detach().to(dtype: precision.dtype(on: parameters.device)))
        }
        // Packed layers have no gradients, so nothing asks for them.
        for parameter in parameters.trainable { try parameter.value.requiresGrad_(false) }
      }
    }
    parameters.precision = precision
    isTraining = false
  }

  /// - Throws: `ModelError` when a model that was prepared for inference is to be trained: its packed weights would not learn.
  private func checkCanTrain() throws {
    func learns() -> Bool {
      isRecordingGradients && parameters.trainable.contains(where: \.value.requiresGrad)
    }
    guard precision != nil, isTraining || learns() else { return }
    throw ModelError(
      "the model was prepared for inference, so it cannot be trained: load it again without a precision, or leave "
        + "isTraining and its parameters' requiresGrad false")
  }

  /// The mean cross-entropy of each token given those before it.
  /// - Parameters:
  ///   - targets: int64 [batch, length - 1], `ignoreIndex` where a prediction does not count; `text` without its first token
  ///     when nil, without what `mask` excludes
  ///   - labelSmoothing: the share of a target's probability that goes to all tokens alike
  public func loss(
    img: Tensor, text: Tensor, mask: Tensor? = nil, targets: Tensor? = nil, labelSmoothing: Double = 0
  ) throws -> Tensor {
    guard text.rank == 2, text.shape[1] > 1 else {
      throw ModelError("text has shape \(text.shape), but a loss needs at least two tokens per row")
    }
    let length = text.shape[1] - 1
    let logits = try forward(img: img, text: text, mask: mask).narrow(1, start: 0, length: length)
    var expected = try targets ?? text.narrow(1, start: 1, length: length)
    if targets == nil, let mask {
      // A target counts where both it and the token that predicts it are real.
      let counts = try mask.narrow(1, start: 1, length: length).logicalAnd(
        mask.narrow(1, start: 0, length: length))
      expected = try expected.maskedFill(counts.logicalNot(), Double(ignoreIndex))
    }
    let wide = try logits.dtype.size < 4 ? logits.to(dtype: .float32) : logits
    return try wide.reshape([-1, decoder.limits.vocabulary])
      .crossEntropy(
        expected.to(dtype: .int64).reshape([-1]), ignoreIndex: ignoreIndex, labelSmoothing: labelSmoothing)
  }
}

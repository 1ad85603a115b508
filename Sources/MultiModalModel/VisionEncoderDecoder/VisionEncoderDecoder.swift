import Torch

/// transformers' `VisionEncoderDecoderModel`: a vision transformer, and a decoder of TrOCR, GPT-2, BERT or RoBERTa that attends to
/// it. Its parameters have the checkpoints' names, but where `CheckpointNames` says otherwise.
public final class VisionEncoderDecoder: ImageToTextModel {
  /// What `config.json` says.
  public let configuration: Configuration
  /// Every weight.
  public let parameters: ParameterStore
  let encoder: VisionTransformer
  /// Between an encoder and a decoder of different widths.
  private let projection: Linear?
  /// Texts to logits.
  public let decoder: Transformer
  /// Whether dropout acts.
  public var isTraining = false
  /// Whether training keeps each layer's input alone: less memory, more time.
  public var checkpointsActivations = false {
    didSet {
      encoder.layers.checkpointsActivations = checkpointsActivations
      decoder.layers.checkpointsActivations = checkpointsActivations
    }
  }

  /// - Parameter contents: `.random` draws weights by each layer's own rule; `.uninitialized` is for a model that is loaded next
  /// - Throws: `TorchError` when memory does not suffice.
  public init(
    _ configuration: Configuration, contents: ParameterStore.Contents, dtype: DType = .float32,
    device: Device = .cpu
  ) throws {
    self.configuration = configuration
    parameters = ParameterStore(contents: contents, dtype: dtype, device: device)
    let root = parameters.root
    encoder = try VisionTransformer(root / "encoder", configuration.encoder)
    let (width, own) = (configuration.decoder.contextWidth, configuration.encoder.width)
    projection = own == width ? nil : try Linear(root / "enc_to_dec_proj", inputs: own, outputs: width)
    decoder = try Transformer(root / "decoder", configuration.decoder)
  }

  /// A picture as the decoder sees it: [batch, positions, the decoder's width].
  public func context(of img: Tensor) throws -> Tensor {
    let encoded = try encoder(
      img, interpolates: configuration.interpolatesPositions, training: isTraining)
    return try projection.map { try $0(encoded) } ?? encoded
  }

  /// The encoder's attention weights of a picture, [batch, heads, positions, positions] for each layer.
  public func encoderAttentionMaps(_ img: Tensor) throws -> [Attention.Map] {
    try encoder.attentionMaps(img, interpolates: configuration.interpolatesPositions)
  }

  /// Behind the class token, and DeiT's distillation token.
  /// - Throws: `ModelError` for a size that the encoder does not take.
  public func patchGrid(height: Int, width: Int) throws -> PatchGrid {
    let (rows, columns) = try configuration.encoder.grid(
      height: height, width: width, interpolates: configuration.interpolatesPositions)
    return PatchGrid(rows: rows, columns: columns, prefix: configuration.encoder.prefixTokens)
  }

  /// Heads times their width, over all layers of the encoder.
  public var encoderAttentionWidth: Int { configuration.encoder.depth * configuration.encoder.width }

  /// Packs the weights of every layer.
  public func pack(_ precision: Precision) throws {
    try decoder.prepareForInference(precision)
    try encoder.prepareForInference(precision)
    try projection?.prepareForInference(precision)
  }

  /// Hugging Face's names as this model's.
  public func parameterTensors(of checkpoint: [String: Tensor]) throws -> [String: Tensor] {
    try CheckpointNames(configuration).parameters(of: checkpoint)
  }

  /// This model's names as Hugging Face's.
  public func checkpointTensors(of parameters: [(String, Tensor)]) throws -> [(String, Tensor)] {
    try CheckpointNames(configuration).checkpoint(of: parameters)
  }
}

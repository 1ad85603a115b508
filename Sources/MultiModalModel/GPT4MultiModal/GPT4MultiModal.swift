import Torch

/// An image encoder and a causal text decoder that attends to it, after zetascale's class of the same name.
///
///     let model = try GPT4MultiModal(imageSize: 256, patchSize: 32)
///     let logits = try model(img, text)  // [batch, length, numTokens]
public final class GPT4MultiModal: ImageToTextModel {
  /// What the model was built with.
  public let configuration: Configuration
  /// Every weight, by zetascale's names.
  public let parameters: ParameterStore
  /// Pictures to embeddings.
  public let encoder: ViTransformerWrapper
  /// Texts to logits.
  public let decoder: Transformer
  /// Between an encoder and a decoder of different widths.
  private let encoderToDecoder: Linear?
  /// Whether dropout acts.
  public var isTraining = false
  /// Whether training keeps each layer's input alone: less memory, more time.
  public var checkpointsActivations = false {
    didSet {
      encoder.layers.checkpointsActivations = checkpointsActivations
      decoder.layers.checkpointsActivations = checkpointsActivations
    }
  }

  /// - Parameters:
  ///   - contents: `.random` draws weights as the reference does; `.uninitialized` is for a model that is loaded next
  /// - Throws: `ModelError` for parameters out of range, `TorchError` when memory does not suffice.
  public init(
    _ configuration: Configuration, contents: ParameterStore.Contents, dtype: DType = .float32,
    device: Device = .cpu
  ) throws {
    try configuration.validate()
    self.configuration = configuration
    parameters = ParameterStore(contents: contents, dtype: dtype, device: device)
    let root = parameters.root
    encoder = try ViTransformerWrapper(root / "encoder", configuration)
    decoder = try Transformer(root / "decoder", configuration)
    encoderToDecoder =
      configuration.encoderDim == configuration.decoderDim
      ? nil
      : try Linear(
        root / "encoder_to_decoder", inputs: configuration.encoderDim, outputs: configuration.decoderDim)
  }

  /// A model with random weights, by the documented parameters.
  public convenience init(
    imageSize: Int = 256, patchSize: Int = 32, encoderDim: Int = 512, encoderDepth: Int = 6,
    encoderHeads: Int = 8,
    numTokens: Int = 20000, maxSeqLen: Int = 1024, decoderDim: Int = 512, decoderDepth: Int = 6,
    decoderHeads: Int = 8, alibiNumHeads: Int = 4, useAbsPosEmb: Bool = false, crossAttend: Bool = true,
    alibiPosBias: Bool = true, rotaryXpos: Bool = true, attnFlash: Bool = true, qkNorm: Bool = true,
    compatibility: Configuration.Compatibility = .documented, seed: UInt64 = 0, device: Device = .cpu
  ) throws {
    var configuration = Configuration()
    configuration.imageSize = imageSize
    configuration.patchSize = patchSize
    configuration.encoderDim = encoderDim
    configuration.encoderDepth = encoderDepth
    configuration.encoderHeads = encoderHeads
    configuration.numTokens = numTokens
    configuration.maxSeqLen = maxSeqLen
    configuration.decoderDim = decoderDim
    configuration.decoderDepth = decoderDepth
    configuration.decoderHeads = decoderHeads
    configuration.alibiNumHeads = alibiNumHeads
    configuration.useAbsPosEmb = useAbsPosEmb
    configuration.crossAttend = crossAttend
    configuration.alibiPosBias = alibiPosBias
    configuration.rotaryXpos = rotaryXpos
    configuration.attnFlash = attnFlash
    configuration.qkNorm = qkNorm
    configuration.compatibility = compatibility
    try self.init(configuration, contents: .random(Generator(seed: seed)), device: device)
  }

  /// The documented call: `forward`.
  public func callAsFunction(_ img: Tensor, _ text: Tensor, mask: Tensor? = nil) throws -> Tensor {
    try forward(img: img, text: text, mask: mask)
  }

  /// A picture as the decoder sees it: [batch, patches, the decoder's width].
  public func context(of img: Tensor) throws -> Tensor {
    let encoded = try encoder(img, training: isTraining)
    return try encoderToDecoder.map { try $0(encoded) } ?? encoded
  }

  /// The encoder's attention weights of a picture, [batch, heads, patches, patches] for each layer.
  public func encoderAttentionMaps(_ img: Tensor) throws -> [Attention.Map] {
    try encoder.withAttentionMaps(img).maps
  }

  /// A row of patches for each `patchSize` pixels.
  /// - Throws: `ModelError` for a size that is no multiple of it.
  public func patchGrid(height: Int, width: Int) throws -> PatchGrid {
    try configuration.validateImage(height: height, width: width)
    return PatchGrid(
      rows: height / configuration.patchSize, columns: width / configuration.patchSize, prefix: 0)
  }

  /// Heads times their width, over all layers of the encoder.
  public var encoderAttentionWidth: Int {
    configuration.encoderDepth * configuration.encoderHeads * Configuration.headDim
  }

  /// Packs the weights of every layer.
  public func pack(_ precision: Precision) throws {
    try decoder.prepareForInference(precision)
    try encoder.prepareForInference(precision)
    try encoderToDecoder?.prepareForInference(precision)
  }
}

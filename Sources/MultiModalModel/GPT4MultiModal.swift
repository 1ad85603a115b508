import Torch

/// An image encoder and a causal text decoder that attends to it, after zetascale's class of the same name.
///
///     let model = try GPT4MultiModal(imageSize: 256, patchSize: 32)
///     let logits = try model(img, text)  // [batch, length, numTokens]
///
/// A model is not safe to use from several tasks at once while its parameters change; calls that only read it
/// are independent of each other.
public final class GPT4MultiModal {
  public let configuration: Configuration
  /// Every weight, by zetascale's names.
  public let parameters: ParameterStore
  public let encoder: ViTransformerWrapper
  public let decoder: Transformer
  /// Between an encoder and a decoder of different widths.
  private let encoderToDecoder: Linear?
  /// What the model was prepared for; nil before `prepareForInference`.
  public private(set) var precision: Precision?
  /// Whether dropout acts. A model that was prepared for inference throws when it is called so.
  public var isTraining = false
  /// While training, keeps each layer's input alone and computes the rest again in the backward pass: less memory, about
  /// a third more time.
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

  /// - Parameters:
  ///   - img: [batch, height, width, 3] or [batch, 3, height, width]
  ///   - text: token ids, int64 [batch, length]
  ///   - mask: bool [batch, length], true for a real token
  /// - Returns: logits over the next token, [batch, length, numTokens]
  /// - Throws: `ModelError` that says what the model cannot take.
  public func callAsFunction(_ img: Tensor, _ text: Tensor, mask: Tensor? = nil) throws -> Tensor {
    try forward(img: img, text: text, mask: mask)
  }

  /// The call by the documented names.
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
    try LibTorch.withoutKeepingMemory { try withoutGradients { try pack(precision) } }
    self.precision = precision
    isTraining = false
  }

  private func pack(_ precision: Precision) throws {
    try decoder.prepareForInference(precision)
    try encoder.prepareForInference(precision)
    try encoderToDecoder?.prepareForInference(precision)
    for parameter in parameters.trainable where !parameter.isReleased && parameter.shape.count != 2 {
      try parameter.replace(
        with: parameter.value.detach().to(dtype: precision.dtype(on: parameters.device)))
    }
    // Packed layers have no gradients, so nothing asks for them.
    for parameter in parameters.trainable { try parameter.value.requiresGrad_(false) }
  }

  /// What the decoder attends to, [batch, patches, decoderDim].
  public func encode(_ img: Tensor) throws -> Tensor {
    try checkCanTrain()
    let encoded = try encoder(img, training: isTraining)
    return try encoderToDecoder.map { try $0(encoded) } ?? encoded
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
  ///   - targets: int64 [batch, length - 1], `ignored` where a prediction does not count; `text` without its first token
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
      expected = try expected.maskedFill(counts.logicalNot(), Double(Self.ignored))
    }
    let wide = try logits.dtype.size < 4 ? logits.to(dtype: .float32) : logits
    return try wide.reshape([-1, configuration.numTokens])
      .crossEntropy(
        expected.to(dtype: .int64).reshape([-1]), ignoreIndex: Self.ignored, labelSmoothing: labelSmoothing)
  }

  /// A target that does not count in `loss`.
  public static let ignored = -100
}

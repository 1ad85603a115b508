import Torch

/// A vision transformer without class token (Dosovitskiy et al., 2021): patches of an image to embeddings.
public final class ViTransformerWrapper {
  private let patchNorm: LayerNorm
  private let patchProjection: Linear
  private let embeddingNorm: LayerNorm
  private let positions: Parameter  // [1, patches, dim]
  let layers: TransformerEncoder
  private let configuration: Configuration

  static let channels = 3

  /// Takes `imageSize`, `patchSize`, `encoderDim`, `encoderDepth` and `encoderHeads` from a configuration.
  public init(_ path: ParameterPath, _ configuration: Configuration) throws {
    let dim = configuration.encoderDim
    let patch = Self.channels * configuration.patchSize * configuration.patchSize
    // Parts are built in the reference's order, so that a seed gives the reference's weights.
    layers = try TransformerEncoder(
      path / "attn_layers", dim: dim, depth: configuration.encoderDepth, heads: configuration.encoderHeads,
      flash: configuration.attnFlash, attnDropout: configuration.attnDropout,
      ffDropout: configuration.ffDropout)
    positions = try path.parameter(
      "pos_embedding", shape: [1, configuration.maxPatches, dim], .normal(std: 1))
    patchNorm = try LayerNorm(path / "patch_to_embedding" / 0, width: patch)
    patchProjection = try Linear(path / "patch_to_embedding" / 1, inputs: patch, outputs: dim)
    embeddingNorm = try LayerNorm(path / "patch_to_embedding" / 2, width: dim)
    self.configuration = configuration
  }

  /// Packs the weights for a precision.
  func prepareForInference(_ precision: Precision) throws {
    try patchNorm.prepareForInference(precision)
    try patchProjection.prepareForInference(precision)
    try embeddingNorm.prepareForInference(precision)
    try layers.prepareForInference(precision)
  }

  /// - Parameter img: [batch, 3, height, width] or [batch, height, width, 3], height and width multiples of the
  ///   patch size
  /// - Returns: [batch, patches, dim]
  /// - Throws: `ModelError` for an image that the model cannot take.
  public func callAsFunction(_ img: Tensor, training: Bool = false) throws -> Tensor {
    try layers(embed(img, training: training), training: training)
  }

  /// Also each layer's attention weights, [batch, heads, patches, patches].
  public func withAttentionMaps(_ img: Tensor) throws -> (output: Tensor, maps: [Attention.Map]) {
    try layers.withAttentionMaps(embed(img, training: false))
  }

  private func embed(_ img: Tensor, training: Bool) throws -> Tensor {
    let patches = try patches(of: channelsFirst(img))
    var x = try embeddingNorm(patchProjection(patches, norm: patchNorm))
    x = try x + positions.value.narrow(1, start: 0, length: patches.shape[1])
    if training && configuration.embDropout > 0 { x = try x.dropout(configuration.embDropout) }
    return x
  }

  /// `b c (h p1) (w p2) -> b (h w) (p1 p2 c)`
  private func patches(of img: Tensor) throws -> Tensor {
    let shape = img.shape
    let p = configuration.patchSize
    let (rows, columns) = (shape[2] / p, shape[3] / p)
    return
      try img
      .reshape([shape[0], Self.channels, rows, p, columns, p])
      .permute([0, 2, 4, 3, 5, 1])
      .reshape([shape[0], rows * columns, p * p * Self.channels])
      .to(dtype: positions.value.dtype)
  }

  /// - Returns: `img` as [batch, 3, height, width]
  private func channelsFirst(_ img: Tensor) throws -> Tensor {
    let shape = img.shape
    guard shape.count == 4, shape[1] == Self.channels || shape[3] == Self.channels else {
      throw ModelError(
        "img has shape \(shape), but must be [batch, 3, height, width] or [batch, height, width, 3]")
    }
    guard try img.dtype.isFloatingPoint else {
      throw ModelError(
        "img holds \(try img.dtype), but must hold floating-point numbers: normalise the picture first")
    }
    guard shape[0] > 0 else { throw ModelError("img has a batch of 0, but must hold at least one picture") }
    let first = shape[1] == Self.channels ? img : try img.permute([0, 3, 1, 2])
    try configuration.validateImage(height: first.shape[2], width: first.shape[3])
    // A sum of finite numbers is finite but for overflow, and much faster than looking at each.
    guard try img.sum().item(Float.self).isFinite || img.isFinite().all().item(Bool.self) else {
      throw ModelError("img holds numbers that are not finite (NaN or infinity)")
    }
    return first
  }
}

import Torch

/// A vision transformer without class token (Dosovitskiy et al., 2021): patches of an image to embeddings.
public final class ViTransformerWrapper {
  private let patchNorm: LayerNorm
  private let patchProjection: Linear
  private let embeddingNorm: LayerNorm
  private let positions: Parameter  // [1, patches, dim]
  let layers: TransformerEncoder
  private let configuration: GPT4MultiModal.Configuration

  static let channels = 3

  /// Takes `imageSize`, `patchSize`, `encoderDim`, `encoderDepth` and `encoderHeads` from a configuration.
  public init(_ path: ParameterPath, _ configuration: GPT4MultiModal.Configuration) throws {
    let dim = configuration.encoderDim
    let patch = Self.channels * configuration.patchSize * configuration.patchSize
    // Parts are built in the reference's order, so that a seed gives the reference's weights.
    layers = try TransformerEncoder(
      path / "attn_layers", dim: dim, depth: configuration.encoderDepth, heads: configuration.encoderHeads,
      flash: configuration.attnFlash, attnDropout: configuration.attnDropout,
      ffDropout: configuration.ffDropout)
    positions = try path.parameter(
      "pos_embedding", shape: [1, configuration.maxPatches, dim], .normal(std: 1), role: .position)
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
    let pixels = try Pixels.channelsFirst(img, channels: Self.channels)
    try configuration.validateImage(height: pixels.shape[2], width: pixels.shape[3])
    let patches = try patches(of: pixels)
    var x = try embeddingNorm(patchProjection(patches, norm: patchNorm))
    x = try x + positions(rows: pixels.shape[2] / configuration.patchSize, patches: patches.shape[1])
    if training && configuration.embDropout > 0 { x = try x.dropout(configuration.embDropout) }
    return x
  }

  /// [1, patches, dim]
  private func positions(rows: Int, patches: Int) throws -> Tensor {
    let table = positions.value
    guard let wide = configuration.positionColumns else {
      return try table.narrow(1, start: 0, length: patches)
    }
    return try table.narrow(1, start: 0, length: rows * wide).reshape([rows, wide, -1])
      .narrow(1, start: 0, length: patches / rows).reshape([1, patches, -1])
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
}

import Torch

/// Hugging Face's vision transformer (`ViTModel`, `DeiTModel`): patches of a picture to embeddings, behind those of a class token
/// and, in DeiT, of a distillation token (Dosovitskiy et al., 2021; Touvron et al., 2021).
public final class VisionTransformer {
  /// Its part of `config.json`.
  struct Configuration: Equatable, Sendable {
    let hasDistillationToken: Bool
    let width: Int
    let depth: Int
    let heads: Int
    let innerWidth: Int
    let activation: Activation
    let eps: Double
    let height: Int
    let pictureWidth: Int
    let patchHeight: Int
    let patchWidth: Int
    let channels: Int
    let hasBias: Bool
    let dropout: Double
    let attentionDropout: Double

    /// What transformers calls `model_type`.
    private enum Kind: String, CaseIterable { case vit, deit }

    init(_ fields: JSONFields) throws {
      hasDistillationToken = try fields.required("model_type", fields.choice) as Kind == .deit
      width = try fields.integer("hidden_size", in: 1...65536) ?? 768
      depth = try fields.integer("num_hidden_layers", in: 1...1024) ?? 12
      heads = try fields.integer("num_attention_heads", in: 1...1024) ?? 12
      innerWidth = try fields.integer("intermediate_size", in: 1...1_048_576) ?? 3072
      activation = try fields.activation("hidden_act") ?? .gelu
      eps = try fields.number("layer_norm_eps", in: 0...1) ?? 1e-12
      (height, pictureWidth) = try fields.size("image_size", most: 16384) ?? (224, 224)
      (patchHeight, patchWidth) = try fields.size("patch_size", most: 1024) ?? (16, 16)
      channels = try fields.integer("num_channels", in: 1...4) ?? 3
      hasBias = try fields.bool("qkv_bias") ?? true
      dropout = try fields.number("hidden_dropout_prob", in: 0...0.99) ?? 0
      attentionDropout = try fields.number("attention_probs_dropout_prob", in: 0...0.99) ?? 0
      guard width % heads == 0 else {
        throw ModelError(
          "encoder.hidden_size must be a multiple of encoder.num_attention_heads, got \(width) and \(heads)")
      }
      let headWidth = width / heads
      try fields.expect("head_dim", "\(headWidth), because heads share hidden_size evenly") {
        $0.integer == headWidth
      }
      try fields.expect("pruned_heads", "empty, because heads cannot be left out") {
        $0.object?.isEmpty == true
      }
      try fields.expect("add_cross_attention", "false, because an encoder has nothing else to attend to") {
        $0.bool == false
      }
      guard rows > 0, columns > 0 else {
        throw ModelError(
          "encoder.image_size must be at least encoder.patch_size, got \(height) x \(pictureWidth) and \(patchHeight) x "
            + "\(patchWidth)")
      }
      try fields.refuseOthers()
    }

    /// Patches in the model's own grid.
    var rows: Int { height / patchHeight }
    var columns: Int { pictureWidth / patchWidth }
    var prefixTokens: Int { hasDistillationToken ? 2 : 1 }
  }

  let configuration: Configuration
  /// Learned vectors before the patches, [1, 1, width] each.
  private let prefix: [Parameter]
  private let positions: Parameter  // [1, prefix + patches, width]
  private let patches: Linear
  let layers: TransformerEncoder

  /// - Parameter path: of `encoder`
  init(_ path: ParameterPath, _ configuration: Configuration) throws {
    let width = configuration.width
    let embeddings = path / "embeddings"
    func vector(_ name: String, _ count: Int, _ role: Parameter.Role) throws -> Parameter {
      try embeddings.parameter(name, shape: [1, count, width], .normal(std: 0.02), role: role)
    }
    prefix =
      try [vector("cls_token", 1, .embedding)]
      + (configuration.hasDistillationToken ? [vector("distillation_token", 1, .embedding)] : [])
    positions = try vector(
      "position_embeddings", configuration.prefixTokens + configuration.rows * configuration.columns,
      .position)
    // A convolution whose kernel is its stride: a linear layer of each patch, [width, channels · height · width].
    let area = configuration.channels * configuration.patchHeight * configuration.patchWidth
    patches = try Linear(embeddings / "patch_embeddings" / "projection", inputs: area, outputs: width)
    let layers = try (0..<configuration.depth).map { index in
      let layer = path / "encoder" / "layer" / index
      func norm(_ name: String) throws -> BlockNorm {
        BlockNorm(
          norm: try LayerNorm(layer / name, width: width, eps: configuration.eps), placement: .before)
      }
      func projection(_ name: String) throws -> Linear {
        try Linear(
          layer / "attention" / "attention" / name, inputs: width, outputs: width,
          bias: configuration.hasBias)
      }
      return TransformerEncoder.Layer(
        attentionNorm: try norm("layernorm_before"),
        attention: Attention(
          query: try projection("query"), key: try projection("key"), value: try projection("value"),
          out: try Linear(layer / "attention" / "output" / "dense", inputs: width, outputs: width),
          heads: configuration.heads, dropout: configuration.attentionDropout,
          residualDropout: configuration.dropout),
        feedForwardNorm: try norm("layernorm_after"),
        feedForward: FeedForward(
          in: try Linear(layer / "intermediate" / "dense", inputs: width, outputs: configuration.innerWidth),
          out: try Linear(layer / "output" / "dense", inputs: configuration.innerWidth, outputs: width),
          activation: configuration.activation, residualDropout: configuration.dropout))
    }
    self.layers = TransformerEncoder(
      layers: layers,
      finalNorm: try LayerNorm(path / "layernorm", width: width, eps: configuration.eps))
    self.configuration = configuration
  }

  func prepareForInference(_ precision: Precision) throws {
    try patches.prepareForInference(precision)
    try layers.prepareForInference(precision)
  }

  /// - Parameter img: [batch, channels, height, width] or [batch, height, width, channels]
  /// - Returns: [batch, prefix + patches, width]
  /// - Throws: `ModelError` for a picture that the model cannot take.
  func callAsFunction(_ img: Tensor, interpolates: Bool, training: Bool = false) throws -> Tensor {
    try layers(embed(img, interpolates: interpolates, training: training), training: training)
  }

  /// Each layer's attention weights, [batch, heads, positions, positions].
  func attentionMaps(_ img: Tensor, interpolates: Bool) throws -> [Attention.Map] {
    try layers.withAttentionMaps(embed(img, interpolates: interpolates, training: false)).maps
  }

  private func embed(_ img: Tensor, interpolates: Bool, training: Bool) throws -> Tensor {
    let pixels = try Pixels.channelsFirst(img, channels: configuration.channels)
    let (rows, columns) = try configuration.grid(
      height: pixels.shape[2], width: pixels.shape[3], interpolates: interpolates)
    let projected = try patches(patches(of: pixels, rows: rows, columns: columns))
    let batch = pixels.shape[0]
    let before = try prefix.map {
      try $0.value.expand([batch, 1, configuration.width]).to(dtype: projected.dtype)
    }
    var x = try Tensor.cat(before + [projected], dim: 1)
    x = try x + positions(rows: rows, columns: columns)
    if training && configuration.dropout > 0 { x = try x.dropout(configuration.dropout) }
    return x
  }

  /// `b c (h p1) (w p2) -> b (h w) (c p1 p2)`; what fills no patch at the right and below is left out.
  private func patches(of pixels: Tensor, rows: Int, columns: Int) throws -> Tensor {
    let (p1, p2) = (configuration.patchHeight, configuration.patchWidth)
    return try pixels.narrow(2, start: 0, length: rows * p1).narrow(3, start: 0, length: columns * p2)
      .reshape([pixels.shape[0], configuration.channels, rows, p1, columns, p2])
      .permute([0, 2, 4, 1, 3, 5])
      .reshape([pixels.shape[0], rows * columns, configuration.channels * p1 * p2])
      .to(dtype: positions.value.dtype)
  }

  /// The learned positions or, for another grid, those between them: bicubic, the prefix tokens' as they are.
  private func positions(rows: Int, columns: Int) throws -> Tensor {
    let own = positions.value
    guard rows != configuration.rows || columns != configuration.columns else { return own }
    let parts = try own.split(
      [configuration.prefixTokens, configuration.rows * configuration.columns], dim: 1)
    let grid = try parts[1].reshape([1, configuration.rows, configuration.columns, configuration.width])
      .permute([0, 3, 1, 2]).to(dtype: .float32)
    let between = try grid.upsampledBicubic(height: rows, width: columns).permute([0, 2, 3, 1])
      .reshape([1, rows * columns, configuration.width]).to(dtype: own.dtype)
    return try Tensor.cat([parts[0], between], dim: 1)
  }
}

extension VisionTransformer.Configuration {
  /// Patches of a picture.
  /// - Throws: `ModelError` when the model cannot take a picture of this size.
  func grid(height: Int, width: Int, interpolates: Bool) throws -> (rows: Int, columns: Int) {
    if interpolates {
      guard height >= patchHeight, width >= patchWidth, max(height, width) <= 16384 else {
        throw ModelError(
          "img is \(height) x \(width), but must be at least one patch of \(patchHeight) x \(patchWidth)")
      }
    } else {
      guard height == self.height, width == pictureWidth else {
        throw ModelError(
          "img is \(height) x \(width), but the model takes \(self.height) x \(pictureWidth): resize it, or set "
            + "interpolate_pos_encoding in config.json")
      }
    }
    return (height / patchHeight, width / patchWidth)
  }
}

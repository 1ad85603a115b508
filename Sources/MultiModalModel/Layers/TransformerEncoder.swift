import Torch

/// A stack of pre-norm layers in which every position attends to every other:
/// `x ← x + Attention(LayerNorm(x))`, `x ← x + FeedForward(LayerNorm(x))`, and a last LayerNorm.
public final class TransformerEncoder {
  private let layers: [Layer]
  private let finalNorm: LayerNorm
  /// As in `GPT4MultiModal`.
  var checkpointsActivations = false

  private struct Layer {
    let attentionNorm: LayerNorm
    let attention: Attention
    let feedForwardNorm: LayerNorm
    let feedForward: FeedForward

    func callAsFunction(_ x: Tensor, training: Bool, wantsMap: Bool = false) throws -> (
      output: Tensor, map: Attention.Map?
    ) {
      let (queries, own) = try attention.queriesKeysAndValues(x, norm: attentionNorm)
      let attended = try attention.attend(
        queries, own, mask: .none, residual: x, training: training, wantsMap: wantsMap)
      let output = try feedForward(attended.output, norm: feedForwardNorm, training: training)
      return (output, attended.map)
    }
  }

  public init(
    _ path: ParameterPath, dim: Int, depth: Int, heads: Int, flash: Bool = true, attnDropout: Double = 0,
    ffDropout: Double = 0
  ) throws {
    layers = try (0..<depth).map { depth in
      let attention = path / "layers" / (2 * depth)
      let feedForward = path / "layers" / (2 * depth + 1)
      return Layer(
        attentionNorm: try LayerNorm(attention / 0 / 0, width: dim),
        attention: try Attention(attention / 1, dim: dim, heads: heads, flash: flash, dropout: attnDropout),
        feedForwardNorm: try LayerNorm(feedForward / 0 / 0, width: dim),
        feedForward: try FeedForward(feedForward / 1, dim: dim, dropout: ffDropout))
    }
    finalNorm = try LayerNorm(path / "final_norm", width: dim)
  }

  /// Packs the weights for a precision.
  func prepareForInference(_ precision: Precision) throws {
    try finalNorm.prepareForInference(precision)
    for layer in layers {
      try layer.attentionNorm.prepareForInference(precision)
      try layer.feedForwardNorm.prepareForInference(precision)
      try layer.attention.prepareForInference(precision)
      try layer.feedForward.prepareForInference(precision)
    }
  }

  /// - Parameter x: [batch, length, dim]
  /// - Returns: the same shape
  public func callAsFunction(_ x: Tensor, training: Bool = false) throws -> Tensor {
    try forward(x, training: training, wantsMaps: false).output
  }

  /// Also the attention weights of each layer, [batch, heads, length, length].
  public func withAttentionMaps(_ x: Tensor) throws -> (output: Tensor, maps: [Attention.Map]) {
    try forward(x, training: false, wantsMaps: true)
  }

  private func forward(_ input: Tensor, training: Bool, wantsMaps: Bool) throws -> (
    output: Tensor, maps: [Attention.Map]
  ) {
    var x = input
    var maps: [Attention.Map] = []
    for layer in layers {
      if training && checkpointsActivations {
        x = try checkpoint([x]) { try layer($0[0], training: true).output }
        continue
      }
      let (output, map) = try layer(x, training: training, wantsMap: wantsMaps)
      x = output
      if let map { maps.append(map) }
    }
    return (try finalNorm(x), maps)
  }
}

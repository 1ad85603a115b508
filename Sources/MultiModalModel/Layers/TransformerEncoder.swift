import Torch

/// A stack of pre-norm layers in which every position attends to every other:
/// `x ← x + Attention(LayerNorm(x))`, `x ← x + FeedForward(LayerNorm(x))`, and a last LayerNorm.
public final class TransformerEncoder {
  private let layers: [Layer]
  private let finalNorm: LayerNorm

  private struct Layer {
    let attentionNorm: LayerNorm
    let attention: Attention
    let feedForwardNorm: LayerNorm
    let feedForward: FeedForward
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
      let normed = try layer.attentionNorm(x)
      let (attended, map) = try layer.attention.attend(
        layer.attention.queries(normed, rotary: nil), layer.attention.keysAndValues(normed, rotary: nil),
        mask: .none, training: training, wantsMap: wantsMaps)
      if let map { maps.append(map) }
      x = try x + attended
      x = try x + layer.feedForward(layer.feedForwardNorm(x), training: training)
    }
    return (try finalNorm(x), maps)
  }
}

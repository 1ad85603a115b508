import Torch

/// A stack of layers in which every position attends to every other: `x ← x + Attention(x)`, `x ← x + FeedForward(x)`, each
/// with a LayerNorm before or after it, and a last LayerNorm where there is one.
public final class TransformerEncoder {
  private let layers: [Layer]
  private let finalNorm: LayerNorm?
  /// As in `ImageToTextModel`.
  var checkpointsActivations = false

  struct Layer {
    let attentionNorm: BlockNorm
    let attention: Attention
    let feedForwardNorm: BlockNorm
    let feedForward: FeedForward

    func callAsFunction(_ x: Tensor, training: Bool, wantsMap: Bool = false) throws -> (
      output: Tensor, map: Attention.Map?
    ) {
      let (queries, own) = try attention.queriesKeysAndValues(x, norm: attentionNorm.before)
      var (x, map) = try attention.attend(
        queries, own, mask: .none, residual: x, training: training, wantsMap: wantsMap)
      x = try attentionNorm.after(x)
      x = try feedForwardNorm.after(feedForward(x, norm: feedForwardNorm.before, training: training))
      return (x, map)
    }
  }

  init(layers: [Layer], finalNorm: LayerNorm?) {
    self.layers = layers
    self.finalNorm = finalNorm
  }

  /// Packs the weights for a precision.
  func prepareForInference(_ precision: Precision) throws {
    try finalNorm?.prepareForInference(precision)
    for layer in layers {
      try layer.attentionNorm.norm.prepareForInference(precision)
      try layer.feedForwardNorm.norm.prepareForInference(precision)
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
    return (try finalNorm?(x) ?? x, maps)
  }
}

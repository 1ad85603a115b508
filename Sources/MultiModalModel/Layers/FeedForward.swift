import Torch

/// `W₂ activation(W₁ x + b₁) + b₂`
final class FeedForward {
  private let projectIn: Linear
  private let projectOut: Linear
  private let activation: Activation
  private let dropout: Double
  private let residualDropout: Double

  /// - Parameters:
  ///   - dropout: of the hidden units, while training
  ///   - residualDropout: of what comes out, while training
  init(
    in projectIn: Linear, out projectOut: Linear, activation: Activation, dropout: Double = 0,
    residualDropout: Double = 0
  ) {
    self.projectIn = projectIn
    self.projectOut = projectOut
    self.activation = activation
    self.dropout = dropout
    self.residualDropout = residualDropout
  }

  /// `x + FeedForward(norm(x))`
  func callAsFunction(_ x: Tensor, norm: LayerNorm?, training: Bool) throws -> Tensor {
    var hidden = try projectIn(x, norm: norm, activation: activation)
    if training && dropout > 0 { hidden = try hidden.dropout(dropout) }
    return try projectOut.adding(hidden, to: x, dropout: training ? residualDropout : 0)
  }

  var weights: [Parameter] { [projectIn.weight, projectOut.weight] }

  func prepareForInference(_ precision: Precision) throws {
    try projectIn.prepareForInference(precision)
    try projectOut.prepareForInference(precision)
  }
}

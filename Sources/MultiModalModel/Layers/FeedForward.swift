import Torch

/// `W₂ GELU(W₁ x + b₁) + b₂`, four times as wide inside.
final class FeedForward {
  private let projectIn: Linear
  private let projectOut: Linear
  private let dropout: Double

  init(_ path: ParameterPath, dim: Int, dropout: Double) throws {
    projectIn = try Linear(path / "ff" / 0 / 0, inputs: dim, outputs: 4 * dim)
    projectOut = try Linear(path / "ff" / 2, inputs: 4 * dim, outputs: dim)
    self.dropout = dropout
  }

  /// `x + FeedForward(norm(x))`
  func callAsFunction(_ x: Tensor, norm: LayerNorm, training: Bool) throws -> Tensor {
    var hidden = try projectIn(x, norm: norm, activation: .gelu)
    if training && dropout > 0 { hidden = try hidden.dropout(dropout) }
    return try projectOut(hidden, residual: x)
  }

  func prepareForInference(_ precision: Precision) throws {
    try projectIn.prepareForInference(precision)
    try projectOut.prepareForInference(precision)
  }
}

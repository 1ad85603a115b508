import Torch

/// Where a block's layer normalisation stands.
public enum NormPlacement: Sendable {
  /// `x ← x + block(LayerNorm(x))`
  case before
  /// `x ← LayerNorm(x + block(x))`
  case after
}

/// The layer normalisation of a block.
struct BlockNorm {
  let norm: LayerNorm
  let placement: NormPlacement

  /// What the block's input goes through.
  var before: LayerNorm? { placement == .before ? norm : nil }

  /// What comes out of the block, with its input added.
  func after(_ x: Tensor) throws -> Tensor { try placement == .after ? norm(x) : x }
}

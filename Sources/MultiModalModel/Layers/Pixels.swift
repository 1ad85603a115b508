import Torch

/// Pictures as tensors.
enum Pixels {
  /// - Parameter img: [batch, channels, height, width] or [batch, height, width, channels]
  /// - Returns: [batch, channels, height, width]
  /// - Throws: `ModelError` for anything else, and for numbers that are not finite.
  static func channelsFirst(_ img: Tensor, channels: Int) throws -> Tensor {
    let shape = img.shape
    guard shape.count == 4, shape[1] == channels || shape[3] == channels else {
      throw ModelError(
        "img has shape \(shape), but must be [batch, \(channels), height, width] or [batch, height, width, \(channels)]"
      )
    }
    guard try img.dtype.isFloatingPoint else {
      throw ModelError(
        "img holds \(try img.dtype), but must hold floating-point numbers: normalise the picture first")
    }
    guard shape[0] > 0 else { throw ModelError("img has a batch of 0, but must hold at least one picture") }
    guard try img.holdsFiniteNumbers() else {
      throw ModelError("img holds numbers that are not finite (NaN or infinity)")
    }
    return shape[1] == channels ? img : try img.permute([0, 3, 1, 2])
  }
}

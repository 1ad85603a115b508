/// A linear layer's weight in few bits: `weight ≈ values · scales + zeros`.
public struct QuantizedWeight: Sendable {
  /// In how many bits.
  public enum Scheme: String, Sendable {
    /// From -127 to 127, one scale per output (row).
    case int8
    /// From -8 to 7, one scale and one zero point per `groupSize` weights of a row.
    case int4
  }

  /// How many neighbours in a row share a scale in `int4`.
  public static let groupSize = 32

  /// In how many bits.
  public let scheme: Scheme
  /// int8 [outputs, inputs]
  public let values: Tensor
  /// float32 [outputs, 1] in `int8`, [outputs, inputs / groupSize] in `int4`
  public let scales: Tensor
  /// float32, in the shape of `scales`; zero in `int8`
  public let zeros: Tensor?

  /// Rounds a weight to the nearest values.
  /// - Parameter weight: [outputs, inputs]; in `int4` inputs must be a multiple of `groupSize`
  /// - Throws: `TorchError` for a weight of another shape.
  public init(_ weight: Tensor, _ scheme: Scheme) throws {
    let shape = weight.shape
    guard shape.count == 2, scheme == .int8 || shape[1] % Self.groupSize == 0 else {
      throw TorchError(
        "a weight for \(scheme.rawValue) must be [outputs, inputs]"
          + (scheme == .int4 ? " with inputs a multiple of \(Self.groupSize)" : "")
          + ", got \(weight.summary)")
    }
    let weight = try weight.detach()
    let parts = try Self.pieces(of: weight.shape).map {
      try Self(rows: weight.narrow(0, start: $0.lowerBound, length: $0.count), scheme)
    }
    self = try .cat(parts)
  }

  private init(rows: Tensor, _ scheme: Scheme) throws {
    let weight = try rows.to(dtype: .float32)
    switch scheme {
    case .int8:
      let scales = try Self.rounded(weight.abs().amax([1], keepDim: true) / 127)
      let values = try (weight / scales).round().clamp(min: -127, max: 127).to(dtype: .int8)
      self.init(.int8, values: values, scales: scales, zeros: nil)
    case .int4:
      let shape = weight.shape
      let groups = try weight.reshape([shape[0], shape[1] / Self.groupSize, Self.groupSize])
      let low = try groups.amin([2])
      let scales = try Self.rounded((groups.amax([2]) - low) / 15)
      let zeros = try (low + scales * 8).to(dtype: .bfloat16).to(dtype: .float32)
      let steps = try ((groups - zeros.unsqueeze(2)) / scales.unsqueeze(2)).round().clamp(min: -8, max: 7)
      self.init(.int4, values: try steps.reshape(shape).to(dtype: .int8), scales: scales, zeros: zeros)
    }
  }

  /// LibTorch's kernels take scales in bfloat16, so the values are computed with what remains of them there.
  private static func rounded(_ scales: Tensor) throws -> Tensor {
    try scales.clamp(min: 1e-12).to(dtype: .bfloat16).to(dtype: .float32)
  }

  private init(_ scheme: Scheme, values: Tensor, scales: Tensor, zeros: Tensor?) {
    self.scheme = scheme
    self.values = values
    self.scales = scales
    self.zeros = zeros
  }

  /// From what a file holds.
  /// - Parameter stored: int8 [outputs, inputs]; with `zeros` uint8 [outputs, inputs / 2], see `stored()`
  /// - Throws: `TorchError` when the parts do not fit together.
  init(stored: Tensor, scales: Tensor, zeros: Tensor?) throws {
    let shape = stored.shape
    let isInt4 = zeros != nil
    let inputs = isInt4 ? 2 * (shape.last ?? 0) : 0
    guard shape.count == 2, try stored.dtype == (isInt4 ? .uint8 : .int8),
      scales.shape == [shape[0], isInt4 ? inputs / Self.groupSize : 1], inputs % Self.groupSize == 0,
      zeros?.shape ?? scales.shape == scales.shape
    else {
      throw TorchError("\(stored.summary) with scales \(scales.summary) is no quantised weight")
    }
    guard isInt4 else {
      self.init(.int8, values: stored, scales: scales, zeros: nil)
      return
    }
    let bytes = try stored.to(dtype: .int32)
    let high = try bytes.floorDivide(16)
    let pair = try Tensor.stack([bytes - high * 16, high], dim: 2).reshape([shape[0], inputs])
    self.init(.int4, values: try (pair - 8).to(dtype: .int8), scales: scales, zeros: zeros)
  }

  /// `values` as a file holds them: int8, or two neighbours of 4 bits in a uint8, the first in the lower half, 8 added
  /// to each.
  func stored() throws -> Tensor {
    guard scheme == .int4 else { return values }
    let pairs = try (values.to(dtype: .int32) + 8).reshape([values.shape[0], -1, 2])
    return try (pairs.select(2, 0) + pairs.select(2, 1) * 16).to(dtype: .uint8)
  }

  /// float32 [outputs, inputs]
  public func dequantized() throws -> Tensor {
    let wide = try values.to(dtype: .float32)
    guard let zeros else { return try wide * scales }
    let shape = values.shape
    return try (wide.reshape([shape[0], -1, Self.groupSize]) * scales.unsqueeze(2) + zeros.unsqueeze(2))
      .reshape(shape)
  }

  /// The sum of each output's values, float32 [outputs].
  func sums() throws -> Tensor {
    try .cat(
      Self.pieces(of: values.shape).map {
        try values.narrow(0, start: $0.lowerBound, length: $0.count).to(dtype: .float32).sum([1])
      })
  }

  /// Some rows at a time, so that what is computed on the way stays small.
  private static func pieces(of shape: [Int]) -> [Range<Int>] {
    let rows = max(1, 131_072 / max(1, shape[1]))
    return stride(from: 0, to: shape[0], by: rows).map { $0..<min($0 + rows, shape[0]) }
  }

  /// Several layers' weights under each other.
  static func cat(_ weights: [QuantizedWeight]) throws -> QuantizedWeight {
    guard let first = weights.first else { throw TorchError("no weights to join") }
    guard weights.count > 1 else { return first }
    return QuantizedWeight(
      first.scheme, values: try .cat(weights.map(\.values)), scales: try .cat(weights.map(\.scales)),
      zeros: first.zeros == nil ? nil : try .cat(weights.compactMap(\.zeros)))
  }
}

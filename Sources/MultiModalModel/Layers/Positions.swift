import Torch

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Attention with linear biases (Press et al., 2022): `-slopeₕ · |key - query|` is added to the logits of head h.
struct Alibi {
  /// float32 [1, heads, 1, 1]; zero for heads beyond the first `alibiHeads`.
  let slopes: Tensor

  init(alibiHeads: Int, heads: Int, device: Device) throws {
    let values = Self.slopes(alibiHeads) + Array(repeating: 0, count: heads - alibiHeads)
    slopes = try Tensor(values.map(Float.init), shape: [1, heads, 1, 1]).to(device: device)
  }

  /// The paper's slopes: for n a power of two the geometric series that starts at `2^(-8/n)` with that ratio; else
  /// those of the next lower power of two, then every second one of the next higher.
  static func slopes(_ n: Int) -> [Double] {
    func series(_ n: Int) -> [Double] {
      let start = pow(2, -8 / Double(n))
      return (0..<n).map { pow(start, Double($0 + 1)) }
    }
    let lower = 1 << (Int.bitWidth - 1 - n.leadingZeroBitCount)
    guard lower < n else { return series(n) }
    return series(lower)
      + series(2 * lower).enumerated().filter { $0.offset % 2 == 0 }.map(\.element).prefix(n - lower)
  }

  /// - Parameters:
  ///   - queries: positions, int64 [batch or 1, i]
  ///   - keys: positions, int64 [batch or 1, j]
  /// - Returns: [batch or 1, heads, i, j]
  func bias(queries: Tensor, keys: Tensor) throws -> Tensor {
    let distance = try (keys.unsqueeze(1) - queries.unsqueeze(2)).abs().unsqueeze(1)
    return try -(distance * slopes)
  }
}

/// Rotary embeddings (Su et al., 2021) with xPos (Sun et al., 2023) on the first `width` elements of each head: half of it, at
/// least 32.
///
/// Element i and i + width/2 of a query or key at position p are turned by the angle `p · 10000^(-2i/width)`;
/// queries are multiplied by `ζᵢ^(p/512)` and keys by its inverse, `ζᵢ = (2i + 0.4 width) / (1.4 width)`.
struct RotaryXpos {
  private let inverseFrequencies: Parameter  // [width / 2]
  private let scale: Parameter  // [width / 2]
  /// zetascale's variant: values are turned and scaled like keys, and positions are centred for the scale.
  let turnsValues: Bool
  /// For the first positions; made by `prepareForInference`.
  private var prepared: Tables?

  /// (0.4 / 1.4) ^ (32768 / 512) is 1e-35.
  static let maxPositions = 32768

  /// What turns elements: cosines and sines, times xPos' scale; [batch or 1, 1, length, width] each.
  struct Table {
    let cos: Tensor
    let sin: Tensor

    /// `t cos + rotateHalf(t) sin` on the first `width` elements of [batch, heads, length, headDim].
    func turn(_ t: Tensor) throws -> Tensor {
      let half = cos.shape[3] / 2
      let parts = try t.split([half, half, t.shape[3] - 2 * half], dim: 3)
      let turned = try Tensor.cat([parts[0], parts[1]], dim: 3)
      let rotated = try Tensor.cat([-parts[1], parts[0]], dim: 3)
      return try Tensor.cat([turned * cos + rotated * sin, parts[2]], dim: 3)
    }

    func narrow(_ start: Int, _ length: Int) throws -> Table {
      Table(
        cos: try cos.narrow(2, start: start, length: length),
        sin: try sin.narrow(2, start: start, length: length))
    }
  }

  /// What turns a sequence's queries, keys and, in zetascale's variant, values.
  struct Tables {
    let query: Table
    let key: Table
    let value: Table?
  }

  init(_ path: ParameterPath, headWidth: Int, turnsValues: Bool) throws {
    let width = max(headWidth / 2, 32)
    let even = stride(from: 0, to: width, by: 2).map(Float.init)
    inverseFrequencies = try path.buffer(
      "inv_freq", Tensor(even.map { 1 / powf(10000, $0 / Float(width)) }))
    scale = try path.buffer(
      "scale", Tensor(even.map { ($0 + 0.4 * Float(width)) / (1.4 * Float(width)) }))
    self.turnsValues = turnsValues
  }

  /// Computes the tables of the first positions once.
  mutating func prepareForInference(positions: Int) throws {
    // In zetascale's variant they depend on the sequence's length too.
    guard !turnsValues else { return }
    let all = try Tensor.arange(positions, device: scale.value.device).unsqueeze(0)
    prepared = try tables(positions: all, lengths: nil, dtype: .float32)
  }

  /// For the tokens of a step, at any positions; [1, 1, tokens, width] each.
  /// - Parameters:
  ///   - positions: one per token
  ///   - dtype: that of the queries and keys
  func tables(at positions: [Int], dtype: DType) throws -> Tables {
    if let first = positions.first, positions.count == 1 {
      return try tables(from: first, length: 1, dtype: dtype)
    }
    let indices = try Tensor(positions).to(device: scale.value.device)
    guard let prepared, dtype == .float32 else {
      return try tables(positions: indices.unsqueeze(0), lengths: nil, dtype: dtype)
    }
    func picked(_ table: Table) throws -> Table {
      Table(cos: try table.cos.indexSelect(2, indices), sin: try table.sin.indexSelect(2, indices))
    }
    return Tables(query: try picked(prepared.query), key: try picked(prepared.key), value: nil)
  }

  /// For positions that follow each other.
  /// - Parameters:
  ///   - start: the first
  ///   - dtype: that of the queries and keys
  func tables(from start: Int, length: Int, dtype: DType) throws -> Tables {
    if let prepared, dtype == .float32, start + length <= prepared.key.cos.shape[2] {
      return Tables(
        query: try prepared.query.narrow(start, length), key: try prepared.key.narrow(start, length),
        value: nil)
    }
    let device = scale.value.device
    return try tables(
      positions: .arange(start, start + length, device: device).unsqueeze(0),
      lengths: turnsValues ? Tensor([start + length], shape: [1, 1]).to(device: device) : nil, dtype: dtype)
  }

  /// - Parameters:
  ///   - positions: int64 [batch or 1, length]
  ///   - lengths: of the whole sequences, int64 [batch or 1, 1]; used by zetascale's variant alone
  ///   - dtype: that of the queries and keys
  func tables(positions: Tensor, lengths: Tensor?, dtype: DType) throws -> Tables {
    let p = try positions.to(dtype: .float32).unsqueeze(1).unsqueeze(3)  // [batch or 1, 1, length, 1]
    let angles = try p * inverseFrequencies.value.to(dtype: .float32)
    let cos = try angles.cos()
    let sin = try angles.sin()
    var centred = p
    if turnsValues, let lengths {
      let half = try lengths.floorDivide(2).to(dtype: .float32).unsqueeze(1).unsqueeze(3)
      centred = try p - half
    }
    let grown = try scale.value.to(dtype: .float32).pow(centred / 512)
    func twice(_ values: Tensor) throws -> Tensor {
      try Tensor.cat([values, values], dim: -1).to(dtype: dtype)
    }
    let key = Table(cos: try twice(cos / grown), sin: try twice(sin / grown))
    return Tables(
      query: Table(cos: try twice(cos * grown), sin: try twice(sin * grown)), key: key,
      value: turnsValues ? key : nil)
  }
}

import Torch

private let headsOperator = Operator("gpt4mm::heads")

extension Tensor {
  /// - Throws: `ModelError` unless this is [batch, length, dim].
  func sequenceShape(_ name: String) throws -> [Int] {
    let shape = shape
    guard shape.count == 3 else {
      throw ModelError("\(name) has shape \(shape), but must be [batch, length, dim]")
    }
    return shape
  }
}

/// What a projection gives for several parts (queries, keys, values) is split into their heads here.
struct AttentionHeads {
  let heads: Int
  /// Elements of a head.
  let width: Int
  /// L2-normalises queries and keys: `x / max(‖x‖, 1e-12)`.
  let normalizes: Bool

  /// Whether the kernels that attend take heads of this width; the one that splits them takes more.
  var hasKernel: Bool { width == 32 || width == 64 }
  private var hasSplittingKernel: Bool { width % 16 == 0 && width <= 128 }

  /// The dtype in which attention is computed: on a CPU always in single precision, because LibTorch's kernels take two
  /// to three times as long in bfloat16.
  static func dtype(for x: Tensor) throws -> DType {
    let dtype = try x.dtype
    return x.device == .cpu && dtype != .float64 ? .float32 : dtype
  }

  /// - Parameters:
  ///   - projected: [batch, length, parts · heads · width]
  ///   - parts: how many; queries and keys come first
  ///   - normalized: how many of them are queries or keys
  ///   - tables: what turns each part; none when empty
  /// - Returns: for each part [batch, heads, length, width]
  func split(
    _ projected: Tensor, parts: Int, normalized: Int, tables: [RotaryXpos.Table?] = []
  ) throws -> [Tensor] {
    let shape = try projected.sequenceShape("what attention is given")
    let tables = tables.isEmpty ? Array(repeating: nil, count: parts) : tables
    let isPlain = !normalizes && tables.allSatisfy { $0 == nil }
    // Where nothing is to be done views are enough.
    if try takesKernel(projected), try !isPlain || projected.dtype != .float32 {
      let size = [shape[0], heads, shape[1], width]
      let results = try (0..<parts).map { _ in try Tensor(uninitialized: size) }
      try fill(results, from: projected, normalized: normalized, tables: tables)
      return results
    }
    let split = try projected.reshape([shape[0], shape[1], parts, heads, width])
      .permute([2, 0, 3, 1, 4])
    return try split.unbind(0).enumerated().map { part, x in
      var x = x
      if normalizes && part < normalized { x = try x / x.norm([-1], keepDim: true).clamp(min: 1e-12) }
      return try tables[part].map { try $0.turn(x) } ?? x
    }
  }
  /// As `split`, into tensors that are there already.
  /// - Parameter results: for each part [batch, heads, length, width], of any strides
  func split(_ projected: Tensor, normalized: Int, into results: [Tensor]) throws {
    if try takesKernel(projected) {
      return try fill(
        results, from: projected, normalized: normalized,
        tables: Array(repeating: nil, count: results.count))
    }
    let parts = try split(projected, parts: results.count, normalized: normalized)
    for (result, part) in zip(results, parts) { try result.copy_(part) }
  }

  /// The operator has no gradients.
  private func takesKernel(_ projected: Tensor) throws -> Bool {
    try hasSplittingKernel && projected.device == .cpu && Self.dtype(for: projected) == .float32
      && !projected.requiresGrad
  }

  private func fill(
    _ results: [Tensor], from projected: Tensor, normalized: Int, tables: [RotaryXpos.Table?]
  ) throws {
    try headsOperator.call(
      [
        .tensor(projected), .int(normalizes ? normalized : 0), .optionalTensors(tables.map { $0?.cos }),
        .optionalTensors(tables.map { $0?.sin }), .tensors(results),
      ], capacity: 0)
  }
}

import Testing

@testable import Torch

@Suite(.everyInstructionSet) struct HeadsKernelTests {
  private static let heads = Operator("gpt4mm::heads")

  private func run(
    _ projected: Tensor, normalized: Int, cos: [Tensor?], sin: [Tensor?], into results: [Tensor]
  ) throws {
    try Self.heads.call(
      [
        .tensor(projected), .int(normalized), .optionalTensors(cos), .optionalTensors(sin), .tensors(results),
      ],
      capacity: 0)
  }

  /// `t cos + rotateHalf(t) sin` on the first elements of each head.
  private func turned(_ t: Tensor, _ cos: Tensor, _ sin: Tensor) throws -> Tensor {
    let width = cos.shape[3]
    let first = try t.narrow(3, start: 0, length: width)
    let low = try first.narrow(3, start: 0, length: width / 2)
    let high = try first.narrow(3, start: width / 2, length: width / 2)
    let rotated = try Tensor.cat([-high, low], dim: 3)
    return try .cat(
      [first * cos + rotated * sin, t.narrow(3, start: width, length: t.shape[3] - width)], dim: 3)
  }

  @Test(arguments: [DType.float32, .float64, .bfloat16, .float16], [1, 2])
  func partsAreNormalisedAndTurned(dtype: DType, tableRows: Int) throws {
    for length in [1, 7, 40] {
      let (batch, heads, parts) = (2, 3, 3)
      let projected = try randn([batch, length, parts * heads * 64], 1).to(dtype: dtype)
      let split = try projected.to(dtype: .float32).reshape([batch, length, parts, heads, 64])
        .permute([2, 0, 3, 1, 4]).unbind(0)
      let cos = try randn([tableRows, 1, length, 32], 2)
      let sin = try randn([tableRows, 1, length, 32], 3)
      let wide = try randn([tableRows, 1, length, 64], 4)
      let buffer = try Tensor.zeros([batch, heads, length + 9, 64])
      let place = try buffer.narrow(2, start: 4, length: length)
      for normalized in 0...parts {
        let results = [
          try Tensor.zeros([batch, heads, length, 64]), place, try Tensor.zeros([batch, heads, length, 64]),
        ]
        try run(
          projected, normalized: normalized, cos: [cos, nil, wide], sin: [sin, nil, wide], into: results)
        for (part, result) in results.enumerated() {
          var x = split[part]
          if part < normalized { x = try x / x.norm([-1], keepDim: true).clamp(min: 1e-12) }
          if part == 0 { x = try turned(x, cos, sin) }
          if part == 2 { x = try turned(x, wide, wide) }
          #expect(try difference(result, x) < 2e-5, "\(length) long, part \(part), \(normalized) normalised")
        }
      }
      #expect(try buffer.narrow(2, start: 0, length: 4).abs().amax().item(Float.self) == 0)
      #expect(try buffer.narrow(2, start: 4 + length, length: 5).abs().amax().item(Float.self) == 0)
    }
  }

  @Test func zerosCannotBeNormalisedAndStayZero() throws {
    let result = try Tensor.ones([1, 1, 2, 64])
    try run(.zeros([1, 2, 64]), normalized: 1, cos: [nil], sin: [nil], into: [result])
    #expect(try result.abs().amax().item(Float.self) == 0)
    try run(.zeros([1, 0, 64]), normalized: 1, cos: [nil], sin: [nil], into: [.zeros([1, 1, 0, 64])])
  }

  @Test func whatTheKernelCannotTakeIsRefused() throws {
    let projected = try randn([2, 5, 2 * 3 * 64], 1)
    func result(_ shape: [Int] = [2, 3, 5, 64], _ dtype: DType = .float32) throws -> Tensor {
      try .zeros(shape, dtype: dtype)
    }
    let table = try Tensor.ones([1, 1, 5, 32])
    let calls: [() throws -> Void] = [
      { try run(projected, normalized: 0, cos: [nil, nil], sin: [nil, nil], into: []) },
      { try run(projected, normalized: 0, cos: [nil], sin: [nil], into: [result()]) },
      { try run(projected, normalized: 0, cos: [nil], sin: [nil], into: [result(), result()]) },
      { try run(projected, normalized: 0, cos: [], sin: [], into: [result(), result()]) },
      {
        try run(
          projected, normalized: 0, cos: [nil, nil], sin: [nil, nil], into: [result(), result([5, 64])])
      },
      {
        try run(
          projected, normalized: 0, cos: [nil, nil], sin: [nil, nil], into: [result([5, 64]), result()])
      },
      {
        try run(
          projected, normalized: 0, cos: [nil, nil], sin: [nil, nil],
          into: [result(), result([2, 3, 5, 64], .float64)])
      },
      {
        try run(
          projected, normalized: 0, cos: [nil, nil], sin: [nil, nil],
          into: [result(), result([2, 3, 64, 5]).transpose(2, 3)])
      },
      {
        try run(
          projected.transpose(0, 1), normalized: 0, cos: [nil, nil], sin: [nil, nil],
          into: [result([5, 3, 2, 64]), result([5, 3, 2, 64])])
      },
      {
        try run(
          projected.to(dtype: .int64), normalized: 0, cos: [nil, nil], sin: [nil, nil],
          into: [result(), result()])
      },
    ]
    for (index, call) in calls.enumerated() {
      #expect(throws: TorchError.self, "call \(index)") { try call() }
    }
    for wrong in [[1, 1, 4, 32], [3, 1, 5, 32], [1, 1, 5, 128], [5, 32]] {
      let tables = [try Tensor.ones(wrong), nil]
      #expect(throws: TorchError.self, "table \(wrong)") {
        try run(projected, normalized: 0, cos: tables, sin: tables, into: [result(), result()])
      }
    }
    #expect(throws: TorchError.self) {
      let tables = [try Tensor.ones([1, 1, 5, 32], dtype: .float64), nil]
      try run(projected, normalized: 0, cos: tables, sin: tables, into: [result(), result()])
    }
    let unchecked: [(Tensor?, Tensor?)] = [
      (table, try .ones([1, 1, 5, 16])), (try .ones([2, 1, 5, 32]), table), (table, nil), (nil, table),
      (try .ones([1, 3, 5, 32]), try .ones([1, 3, 5, 32])),
      (try .ones([1, 1, 5, 31]), try .ones([1, 1, 5, 31])),
    ]
    for (cos, sin) in unchecked {
      #expect(throws: TorchError.self) {
        try run(projected, normalized: 0, cos: [cos, nil], sin: [sin, nil], into: [result(), result()])
      }
    }
  }
}

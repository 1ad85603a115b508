import Testing

@testable import Torch

private func randn(_ shape: [Int], _ seed: UInt64) throws -> Tensor {
  try .randn(shape, generator: Generator(seed: seed))
}

private func difference(_ a: Tensor, _ b: Tensor) throws -> Float {
  guard a.shape == b.shape else { throw TorchError("shapes \(a.shape) and \(b.shape) differ") }
  return try (a.to(dtype: .float32) - b.to(dtype: .float32)).abs().amax().item()
}

@Suite(.everyInstructionSet) struct AttentionKernelTests {
  private static let attention = Operator("gpt4mm::attention")
  private static let queryCounts = [1, 2, 4, 5, 16, 17, 50, 65, 130]
  private static let keyCounts = [1, 15, 16, 17, 64, 65, 200, 1030]

  private func attention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, mask: Tensor? = nil, slopes: Tensor? = nil, isCausal: Bool = false,
    scale: Double = 0.125
  ) throws -> Tensor {
    try Self.attention(
      .tensor(q), .tensor(k), .tensor(v), .optional(mask), .optional(slopes), .bool(isCausal), .double(scale))
  }

  /// As the formula says it, [batch, queries, heads · 64].
  private func plain(_ q: Tensor, _ k: Tensor, _ v: Tensor, added: Tensor? = nil, scale: Double = 0.125)
    throws
    -> Tensor
  {
    var scores = try q.matmul(k.transpose(2, 3)) * scale
    if let added { scores = try scores + added }
    return try scores.softmax().matmul(v).transpose(1, 2).reshape([q.shape[0], q.shape[2], -1])
  }

  private func parts(_ queries: Int, _ keys: Int) throws -> (Tensor, Tensor, Tensor) {
    let seed = UInt64(10_000 * queries + keys)
    return (
      try randn([2, 3, queries, 64], seed), try randn([2, 3, keys, 64], seed + 1),
      try randn([2, 3, keys, 64], seed + 2)
    )
  }

  /// -1e38 where a query may not look.
  private func causalMask(_ queries: Int, _ keys: Int) throws -> Tensor {
    let later = try Tensor.ones([queries, keys], dtype: .bool).triu(diagonal: keys - queries + 1)
    return try Tensor.zeros([queries, keys]).maskedFill(later, -1e38)
  }

  @Test(arguments: queryCounts) func withoutAMaskEveryQuerySeesEveryKey(queries: Int) throws {
    for keys in Self.keyCounts {
      let (q, k, v) = try parts(queries, keys)
      #expect(try difference(attention(q, k, v), plain(q, k, v)) < 1e-5, "\(keys) keys")
      #expect(try difference(attention(q, k, v, scale: 10), plain(q, k, v, scale: 10)) < 2e-4, "\(keys) keys")
    }
    let (q, k, v) = try parts(queries, 65)
    let fused = try Tensor.scaledDotProductAttention(query: q, key: k, value: v)
    let merged = try fused.transpose(1, 2).reshape([2, queries, 192])
    #expect(try difference(attention(q, k, v), merged) < 1e-5)
  }

  @Test(arguments: queryCounts) func aMaskIsAddedToTheScores(queries: Int) throws {
    for keys in Self.keyCounts {
      let (q, k, v) = try parts(queries, keys)
      for shape in [[1, 1, queries, keys], [2, 1, 1, keys], [1, 3, queries, keys], [2, 3, queries, keys]] {
        var values = try randn(shape, 5).array(of: Float.self)
        // Some keys are hidden, but from no query all.
        for i in values.indices where i % keys % 3 == 1 || (i % keys == 0 && keys > 3) { values[i] = -1e38 }
        let mask = try Tensor(values, shape: shape)
        #expect(
          try difference(attention(q, k, v, mask: mask), plain(q, k, v, added: mask)) < 1e-5,
          "\(keys) keys, mask \(shape)")
      }
    }
  }

  @Test func aQueryThatSeesNothingHasTheMeanOfAllValues() throws {
    for queries in [1, 3, 6] {
      let (q, k, v) = try parts(queries, 33)
      let mask = try Tensor.full([1, 1, queries, 33], -1e38)
      let mean = try v.mean([2], keepDim: true).expand([2, 3, queries, 64]).transpose(1, 2)
      #expect(try difference(attention(q, k, v, mask: mask), mean.reshape([2, queries, 192])) < 1e-5)
    }
  }

  @Test(arguments: queryCounts) func aCausalQuerySeesNoLaterKey(queries: Int) throws {
    for keys in [queries, queries + 1, queries + 15, queries + 64, queries + 200] {
      let (q, k, v) = try parts(queries, keys)
      let expected = try plain(q, k, v, added: causalMask(queries, keys))
      #expect(try difference(attention(q, k, v, isCausal: true), expected) < 1e-5, "\(keys) keys")
    }
  }

  @Test(arguments: queryCounts) func headsMayBe32Wide(queries: Int) throws {
    let slopes = try Tensor([0.5, 0.0625, 0] as [Float], shape: [1, 3, 1, 1])
    for keys in Self.keyCounts + [queries] where keys >= queries {
      let seed = UInt64(20_000 * queries + keys)
      let q = try randn([2, 3, queries, 32], seed)
      let (k, v) = (try randn([2, 3, keys, 32], seed + 1), try randn([2, 3, keys, 32], seed + 2))
      let distance = try
        (Tensor.arange(0, keys).unsqueeze(0) - Tensor.arange(keys - queries, keys).unsqueeze(1)).abs()
        .to(dtype: .float32)
      let mask = try randn([2, 1, queries, keys], 6)
      let added = try mask - distance * slopes + causalMask(queries, keys)
      let found = try attention(q, k, v, mask: mask, slopes: slopes, isCausal: true)
      #expect(try difference(found, plain(q, k, v, added: added)) < 1e-5, "\(keys) keys")
    }
  }

  @Test(arguments: queryCounts) func slopesLowerTheScoresByTheDistance(queries: Int) throws {
    let slopes = try Tensor([0.5, 0.0625, 0] as [Float], shape: [1, 3, 1, 1])
    for keys in Self.keyCounts + [queries] where keys >= queries {
      let (q, k, v) = try parts(queries, keys)
      let distance = try
        (Tensor.arange(0, keys).unsqueeze(0) - Tensor.arange(keys - queries, keys).unsqueeze(1)).abs()
        .to(dtype: .float32)
      let bias = try -(distance * slopes)
      #expect(
        try difference(attention(q, k, v, slopes: slopes), plain(q, k, v, added: bias)) < 1e-5, "\(keys) keys"
      )
      let causal = try attention(q, k, v, slopes: slopes, isCausal: true)
      #expect(try difference(causal, plain(q, k, v, added: bias + causalMask(queries, keys))) < 1e-5)
      let mask = try randn([2, 1, queries, keys], 6)
      let all = try attention(q, k, v, mask: mask, slopes: slopes, isCausal: true)
      let added = try bias + mask + causalMask(queries, keys)
      #expect(try difference(all, plain(q, k, v, added: added)) < 1e-5)
    }
  }

  @Test func viewsOfLargerBuffersAreReadWhereTheyLie() throws {
    for (queries, keys) in [(1, 70), (7, 33), (70, 70)] {
      let q = try randn([2, queries, 3, 64], 1).permute([0, 2, 1, 3])
      let k = try randn([2, 3, 128, 64], 2).narrow(2, start: 5, length: keys)
      let v = try randn([2, keys, 9, 64], 3).narrow(2, start: 3, length: 3).permute([0, 2, 1, 3])
      let turned = try randn([2, 3, 64, keys], 4).transpose(2, 3)
      for (k, v) in [(k, v), (turned, v), (k, turned)] {
        let expected = try plain(q.contiguous(), k.contiguous(), v.contiguous())
        #expect(try difference(attention(q, k, v), expected) < 1e-5)
      }
      let mask = try randn([keys, queries], 5).transpose(0, 1)
      #expect(try difference(attention(q, k, v, mask: mask), plain(q, k, v, added: mask)) < 1e-5)
    }
  }

  @Test func whatTheKernelCannotTakeIsRefused() throws {
    let (q, k, v) = try parts(4, 6)
    let calls: [() throws -> Tensor] = [
      { try attention(q, k, v.narrow(2, start: 0, length: 5)) },
      { try attention(q, k.narrow(1, start: 0, length: 2), v) },
      { try attention(q.narrow(0, start: 0, length: 1), k, v) },
      { try attention(q.narrow(3, start: 0, length: 32), k, v) },
      { try attention(q.select(0, 0), k, v) },
      { try attention(q.to(dtype: .float64), k, v) },
      { try attention(q, k, v.to(dtype: .bfloat16)) },
      { try attention(q, k.narrow(2, start: 0, length: 0), v.narrow(2, start: 0, length: 0)) },
      { try attention(q, k, v, mask: Tensor.zeros([4, 5])) },
      { try attention(q, k, v, mask: Tensor.ones([4, 6], dtype: .bool)) },
      { try attention(q, k, v, mask: Tensor.zeros([1, 2, 3, 4, 6])) },
      { try attention(q, k, v, slopes: Tensor.zeros([2])) },
      { try attention(q, k, v, slopes: Tensor.zeros([3], dtype: .float64)) },
    ]
    for (index, call) in calls.enumerated() {
      #expect(throws: TorchError.self, "call \(index)") { try call() }
    }
    #expect(
      try attention(
        q.narrow(0, start: 0, length: 0), k.narrow(0, start: 0, length: 0),
        v.narrow(0, start: 0, length: 0)
      ).shape == [0, 4, 192])
  }

  @Test func noQueriesGiveNoRows() async {
    await #expect(processExitsWith: .success) {
      let none = try Tensor.zeros([1, 1, 0, 64])
      let some = try Tensor.zeros([1, 1, 3, 64])
      let result = try Operator("gpt4mm::attention")(
        .tensor(none), .tensor(some), .tensor(some), .none, .none, .bool(false), .double(1))
      #expect(result.shape == [1, 0, 64])
    }
  }

  @Test func causalQueriesWithoutAKeyAreRefused() async {
    await #expect(processExitsWith: .success) {
      let q = try Tensor.ones([1, 1, 4, 64])
      let k = try q.narrow(2, start: 0, length: 3)
      let refused =
        (try? Operator("gpt4mm::attention")(
          .tensor(q), .tensor(k), .tensor(k), .none, .none, .bool(true), .double(1))) == nil
      precondition(refused)
    }
  }

  @Test func notANumberStaysNotANumber() throws {
    for queries in [1, 5] {
      let (q, k, v) = try parts(queries, 20)
      for part in 0..<3 {
        var parts = [q, k, v]
        parts[part] = try parts[part] * .nan
        let y = try attention(parts[0], parts[1], parts[2]).array(of: Float.self)
        #expect(y.allSatisfy { $0.isNaN }, "part \(part)")
      }
    }
  }
}

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

@Suite(.everyInstructionSet) struct LayerNormKernelTests {
  private static let norm = Operator("gpt4mm::layer_norm")

  @Test(arguments: [1, 2, 15, 16, 17, 64, 100, 512]) func itIsLibTorchsLayerNorm(width: Int) throws {
    let weight = try randn([width], 1)
    let bias = try randn([width], 2)
    for shape in [[1, width], [9, width], [2, 3, width], [400, width], [width]] {
      for offset in [0.0, 100] {
        let x = try randn(shape, 3) + offset
        let y = try Self.norm(.tensor(x), .tensor(weight), .tensor(bias), .double(1e-5))
        let expected = try x.layerNorm(weight: weight, bias: bias)
        #expect(try difference(y, expected) < (offset == 0 ? 1e-5 : 5e-4), "\(shape) \(offset)")
      }
    }
    let strided = try randn([width, 6], 4).transpose(0, 1)
    let y = try Self.norm(.tensor(strided), .tensor(weight), .tensor(bias), .double(1e-5))
    #expect(try difference(y, strided.layerNorm(weight: weight, bias: bias)) < 1e-5)
    let none = try Self.norm(.tensor(.zeros([0, width])), .tensor(weight), .tensor(bias), .double(1e-5))
    #expect(none.shape == [0, width])
    let constant = try Self.norm(
      .tensor(.full([2, width], 3)), .tensor(weight), .tensor(bias), .double(1e-5))
    #expect(try difference(constant, bias.expand([2, width])) < 1e-3)
  }

  @Test func whatTheKernelCannotTakeIsRefused() throws {
    let (x, w) = (try Tensor.ones([2, 8]), try Tensor.ones([8]))
    let wrong: [(Tensor, Tensor, Tensor)] = [
      (try .ones([2, 7]), w, w), (x, try .ones([7]), w), (x, w, try .ones([9])),
      (x, try .ones([0]), try .ones([0])), (try .ones([2, 0]), try .ones([0]), try .ones([0])),
      (try .ones([]), w, w), (try x.to(dtype: .float64), w, w), (x, try w.to(dtype: .bfloat16), w),
      (x, w, try w.to(dtype: .float64)),
    ]
    for (x, weight, bias) in wrong {
      #expect(throws: TorchError.self) {
        try Self.norm(.tensor(x), .tensor(weight), .tensor(bias), .double(1e-5))
      }
    }
  }
}

@Suite(.everyInstructionSet) struct LinearKernelTests {
  private static let ours = Operator("gpt4mm::linear")
  private static let theirs = Operator("aten::linear")

  private func run(_ op: Operator, _ x: Tensor, _ weight: Tensor, _ bias: Tensor?, needsX: Bool) throws
    -> [Tensor?]
  {
    let x = try x.clone().requiresGrad_(needsX)
    let weight = try weight.clone().requiresGrad_()
    let bias = try bias?.clone().requiresGrad_()
    let y = try op(.tensor(x), .tensor(weight), .optional(bias))
    // Each element of the result has a gradient of its own.
    let gradient = try randn(y.shape, 11)
    try (y * gradient).sum().backward()
    return [try y.detach(), try x.grad, try weight.grad, try bias?.grad]
  }

  @Test(arguments: [[1, 5], [7, 5], [2, 3, 5], [4, 16, 33], [70, 64], [2, 2, 2, 8]])
  func gradientsAreThoseOfLibTorchsLinear(shape: [Int]) throws {
    let inputs = try #require(shape.last)
    let x = try randn(shape, 1)
    for outputs in [1, 6, 40] {
      let weight = try randn([outputs, inputs], 2)
      for bias in [nil, try randn([outputs], 3)] {
        for needsX in [true, false] {
          let a = try run(Self.ours, x, weight, bias, needsX: needsX)
          let b = try run(Self.theirs, x, weight, bias, needsX: needsX)
          #expect((a[1] != nil) == needsX && (a[3] != nil) == (bias != nil))
          for (a, b) in zip(a, b) {
            guard let a, let b else {
              #expect(a == nil && b == nil)
              continue
            }
            #expect(try difference(a, b) < 1e-4)
          }
        }
      }
    }
  }

  @Test func aSumsGradientAndStridedInputsAreTakenToo() throws {
    let x = try randn([6, 9], 1).transpose(0, 1)
    let weight = try randn([6, 4], 2).transpose(0, 1)
    let y = try Self.ours(.tensor(x), .tensor(weight), .none)
    #expect(try difference(y, Self.theirs(.tensor(x), .tensor(weight), .none)) < 1e-5)
    let trained = try weight.contiguous().requiresGrad_()
    try x.linear(trained).sum().backward()
    let expected = try x.sum([0]).unsqueeze(0).expand([4, 6])
    let gradient = try trained.grad
    #expect(try difference(#require(gradient), expected) < 1e-5)
  }

  @Test(arguments: [DType.float64, .bfloat16, .int64]) func otherDtypesGoToLibTorch(dtype: DType) throws {
    let x = try (randn([3, 8], 1) * 3).to(dtype: dtype)
    let weight = try (randn([4, 8], 2) * 3).to(dtype: dtype)
    let y = try Self.ours(.tensor(x), .tensor(weight), .none)
    #expect(try y.dtype == dtype)
    #expect(try difference(y, Self.theirs(.tensor(x), .tensor(weight), .none)) == 0)
  }

  @Test func emptyInputsGiveEmptyOutputs() throws {
    let weight = try randn([4, 8], 2).requiresGrad_()
    let y = try Tensor.zeros([0, 8]).linear(weight)
    #expect(y.shape == [0, 4])
    try y.sum().backward()
    #expect(try weight.grad?.abs().amax().item(Float.self) == 0)
  }

  private static let wrong: [(x: [Int], weight: [Int], bias: [Int]?)] = [
    ([4, 3], [5, 8], nil), ([4, 9], [5, 8], nil), ([2, 4, 3], [5, 8], nil), ([4, 8], [5, 8], [4]),
    ([4, 8], [5, 8], [6]), ([4, 8], [0], nil), ([], [5, 8], nil), ([4, 8], [5, 8, 1], nil),
    ([4, 8], [], nil), ([4, 8], [5, 8], [5, 5]),
  ]

  @Test(arguments: wrong.indices, [true, false]) func wrongShapesAreRefused(index: Int, trains: Bool) throws {
    let (x, weight, bias) = Self.wrong[index]
    let w = try Tensor.ones(weight).requiresGrad_(trains)
    #expect(throws: TorchError.self) {
      try Self.ours(.tensor(.ones(x)), .tensor(w), .optional(try bias.map { try .ones($0) }))
    }
  }

  @Test func aWeightOfAnotherDtypeIsRefused() throws {
    let x = try Tensor.ones([2, 8])
    for dtype in [DType.float64, .bfloat16, .int8] {
      #expect(throws: TorchError.self) {
        try Self.ours(.tensor(x), .tensor(.ones([4, 8], dtype: dtype)), .none)
      }
      #expect(throws: TorchError.self) {
        try Self.ours(.tensor(x), .tensor(.ones([4, 8])), .tensor(.ones([4], dtype: dtype)))
      }
    }
  }

  @Test func aVectorIsTakenAsLibTorchTakesIt() throws {
    let (x, weight) = (try randn([8], 1), try randn([4, 8], 2))
    #expect(try difference(x.linear(weight), Self.theirs(.tensor(x), .tensor(weight), .none)) < 1e-5)
    let a = try run(Self.ours, x, weight, nil, needsX: true)
    let b = try run(Self.theirs, x, weight, nil, needsX: true)
    #expect(try difference(#require(a[2]), #require(b[2])) < 1e-5)
  }
}

@Suite(.everyInstructionSet) struct LogSumExpTests {
  private let logSumExp = Operator("gpt4mm::log_sum_exp")

  @Test(arguments: [1, 2, 15, 16, 17, 100, 20000]) func agreesWithLibTorchs(count: Int) throws {
    let x = try Tensor.randn([3, count], generator: Generator(seed: 1)) * 8 - 20
    let difference = try (logSumExp(.tensor(x)) - x.logSumExp([1])).abs().amax().item(Float.self)
    #expect(difference < 1e-5)
  }

  @Test func whatIsNotFiniteStaysSo() throws {
    let x = try Tensor([1, .nan, 2, .infinity, 3, 4] as [Float], shape: [3, 2])
    let sums = try logSumExp(.tensor(x)).array(of: Float.self)
    #expect(sums.map(\.isFinite) == [false, false, true])
  }
}

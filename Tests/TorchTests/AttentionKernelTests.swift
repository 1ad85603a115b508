import Testing

@testable import Torch

@Suite(.everyInstructionSet) struct AttentionKernelTests {
  private static let attention = Operator("gpt4mm::attention")
  private static let queryCounts = [1, 2, 4, 5, 16, 17, 50, 65, 130]
  private static let keyCounts = [1, 15, 16, 17, 64, 65, 200, 1030]

  private func attention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, mask: Tensor? = nil, slopes: Tensor? = nil, isCausal: Bool = false,
    scale: Double = 0.125, rounds: Bool = false
  ) throws -> Tensor {
    try Self.attention(
      .tensor(q), .tensor(k), .tensor(v), .optional(mask), .optional(slopes), .bool(isCausal), .double(scale),
      .bool(rounds))
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

  @Test(arguments: queryCounts) func roundedFactorsChangeTheResultLittle(queries: Int) throws {
    for keys in Self.keyCounts {
      let (q, k, v) = try parts(queries, keys)
      #expect(try difference(attention(q, k, v, rounds: true), plain(q, k, v)) < 0.03, "\(keys) keys")
      guard queries <= keys else { continue }
      #expect(
        try difference(
          attention(q, k, v, isCausal: true, rounds: true), plain(q, k, v, added: causalMask(queries, keys)))
          < 0.03, "\(keys) keys, causal")
    }
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
        .tensor(none), .tensor(some), .tensor(some), .none, .none, .bool(false), .double(1), .bool(false))
      #expect(result.shape == [1, 0, 64])
    }
  }

  @Test func causalQueriesWithoutAKeyAreRefused() async {
    await #expect(processExitsWith: .success) {
      let q = try Tensor.ones([1, 1, 4, 64])
      let k = try q.narrow(2, start: 0, length: 3)
      let refused =
        (try? Operator("gpt4mm::attention")(
          .tensor(q), .tensor(k), .tensor(k), .none, .none, .bool(true), .double(1), .bool(false))) == nil
      precondition(refused)
    }
  }

  @Test func notANumberStaysNotANumber() throws {
    for queries in [1, 5] {
      let (q, k, v) = try parts(queries, 20)
      for part in 0..<3 {
        var parts = [q, k, v]
        parts[part] = try parts[part] * Double.nan
        let y = try attention(parts[0], parts[1], parts[2]).array(of: Float.self)
        #expect(y.allSatisfy { $0.isNaN }, "part \(part)")
      }
    }
  }
}

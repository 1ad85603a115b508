import Testing

@testable import Torch

@Suite(.everyInstructionSet) struct AttentionGradientTests {
  private static let attention = Operator("gpt4mm::attention")

  private func attention(
    _ parts: [Tensor], mask: Tensor? = nil, slopes: Tensor? = nil, isCausal: Bool = false
  ) throws -> Tensor {
    try Self.attention(
      .tensor(parts[0]), .tensor(parts[1]), .tensor(parts[2]), .optional(mask), .optional(slopes),
      .bool(isCausal), .double(0.3), .bool(false))
  }

  /// As the formula says it, [batch, queries, heads · width].
  private func plain(_ parts: [Tensor], added: Tensor? = nil) throws -> Tensor {
    var scores = try parts[0].matmul(parts[1].transpose(2, 3)) * 0.3
    if let added { scores = try scores + added }
    let shape = parts[0].shape
    return try scores.softmax().matmul(parts[2]).transpose(1, 2).reshape([shape[0], shape[2], -1])
  }

  /// The gradients of queries, keys and values, where each number of the result has another.
  private func gradients(_ parts: [Tensor], _ body: ([Tensor]) throws -> Tensor) throws -> [Tensor] {
    let parts = try parts.map { try $0.detach().clone().requiresGrad_() }
    let result = try body(parts)
    return try grad(of: result, withRespectTo: parts, gradient: randn(result.shape, 9))
  }

  private func expectEqual(_ found: [Tensor], _ expected: [Tensor], _ what: String) throws {
    for (name, (found, expected)) in zip(["queries", "keys", "values"], zip(found, expected)) {
      #expect(try difference(found, expected) < 3e-5, "\(name), \(what)")
    }
  }

  private func parts(_ queries: Int, _ keys: Int, width: Int) throws -> [Tensor] {
    [
      try randn([2, 3, queries, width], 1), try randn([2, 3, keys, width], 2),
      try randn([2, 3, keys, width], 3),
    ]
  }

  private func causalMask(_ queries: Int, _ keys: Int) throws -> Tensor {
    let later = try Tensor.ones([queries, keys], dtype: .bool).triu(diagonal: keys - queries + 1)
    return try Tensor.zeros([queries, keys]).maskedFill(later, -1e38)
  }

  @Test(arguments: [32, 64], [1, 2, 5, 16, 50, 130]) func theyAreThoseOfTheFormula(
    width: Int, queries: Int
  ) throws {
    for keys in [1, 3, 16, 65, 130, 300] {
      let parts = try parts(queries, keys, width: width)
      let expected = try gradients(parts) { try plain($0) }
      try expectEqual(gradients(parts) { try attention($0) }, expected, "\(keys) keys")
      guard queries <= keys else { continue }
      let causal = try causalMask(queries, keys)
      try expectEqual(
        gradients(parts) { try attention($0, isCausal: true) },
        gradients(parts) { try plain($0, added: causal) }, "\(keys) keys, causal")
    }
  }

  @Test func masksAndSlopesCount() throws {
    let slopes = try Tensor([0.5, 0.0625, 0] as [Float], shape: [1, 3, 1, 1])
    for (queries, keys) in [(7, 7), (20, 70), (90, 100)] {
      let parts = try parts(queries, keys, width: 64)
      let mask = try randn([2, 1, queries, keys], 6)
      let distance = try
        (Tensor.arange(0, keys).unsqueeze(0) - Tensor.arange(keys - queries, keys).unsqueeze(1)).abs()
        .to(dtype: .float32)
      let added = try mask - distance * slopes + causalMask(queries, keys)
      try expectEqual(
        gradients(parts) { try attention($0, mask: mask, slopes: slopes, isCausal: true) },
        gradients(parts) { try plain($0, added: added) }, "\(queries) queries, \(keys) keys")
      // A query that sees nothing has the mean of all values.
      let nothing = try Tensor.full([1, 1, queries, keys], -1e38)
      try expectEqual(
        gradients(parts) { try attention($0, mask: nothing) },
        gradients(parts) { try plain($0, added: nothing) }, "\(queries) queries see nothing")
    }
  }

  @Test func viewsAndPartsThatNeedNoneAreTaken() throws {
    let source = try randn([2, 20, 3, 3, 64], 1).requiresGrad_()
    let ours = try attention(source.permute([2, 0, 3, 1, 4]).unbind(0))
    let theirs = try plain(source.permute([2, 0, 3, 1, 4]).unbind(0))
    let weights = try randn(ours.shape, 2)
    let found = try grad(of: (ours * weights).sum(), withRespectTo: [source])[0]
    let expected = try grad(of: (theirs * weights).sum(), withRespectTo: [source])[0]
    #expect(try difference(found, expected) < 3e-5)

    let parts = try parts(5, 9, width: 32)
    let keys = try parts[1].clone().requiresGrad_()
    try attention([parts[0], keys, parts[2]]).sum().backward()
    #expect(try keys.grad != nil && parts[0].grad == nil && parts[2].grad == nil)
  }

  @Test func nothingGivesNoGradients() throws {
    let none = try gradients([.zeros([2, 3, 0, 64]), randn([2, 3, 4, 64], 1), randn([2, 3, 4, 64], 2)]) {
      try attention($0)
    }
    #expect(none[0].shape == [2, 3, 0, 64])
    #expect(try none[1].abs().amax().item(Float.self) == 0 && none[2].abs().amax().item(Float.self) == 0)
  }

  @Test func aSecondDerivativeAndThatOfTheMaskAreRefused() throws {
    let parts = try parts(4, 6, width: 64).map { try $0.requiresGrad_() }
    #expect(throws: TorchError.self) {
      try grad(of: attention(parts).sum(), withRespectTo: parts, createGraph: true)
    }
    let mask = try Tensor.zeros([4, 6]).requiresGrad_()
    #expect(throws: TorchError.self) { try attention(parts, mask: mask) }
  }
}

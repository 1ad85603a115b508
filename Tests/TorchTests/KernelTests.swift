import Testing

@testable import Torch

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

  @Test(arguments: [
    [1, 5], [7, 5], [2, 3, 5], [4, 16, 33], [70, 64], [2, 2, 2, 8], [3, 30, 37], [33, 2100],
  ])
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
            #expect(try difference(a, b) < 2e-4)
          }
        }
      }
    }
  }

  @Test func theSecondDerivativeIsThatOfLibTorchsLinear() throws {
    func second(_ op: Operator) throws -> [Tensor] {
      let parts = try [randn([3, 30, 37], 1), randn([40, 37], 2), randn([40], 3)]
        .map { try $0.requiresGrad_() }
      let y = try op(.tensor(parts[0]), .tensor(parts[1]), .tensor(parts[2]))
      let first = try grad(of: (y * y * y).sum(), withRespectTo: parts, createGraph: true)
      return try grad(
        of: first.map { try ($0 * $0).sum() }.reduce(Tensor(0)) { try $0 + $1 }, withRespectTo: parts)
    }
    for (ours, theirs) in zip(try second(Self.ours), try second(Self.theirs)) {
      let size = try theirs.abs().amax().item(Float.self)
      #expect(try difference(ours, theirs) < 1e-4 * size)
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
    let ours = try logSumExp.call([.tensor(x)], capacity: 3)
    #expect(try (ours[0] - x.logSumExp([1])).abs().amax().item(Float.self) < 1e-5)
    let (maxima, places) = try x.max(1)
    #expect(try ours[1].array(of: Float.self) == maxima.array(of: Float.self))
    #expect(try ours[2].array(of: Int.self) == places.array(of: Int.self))
  }

  @Test(arguments: [0, 3, 17, 40]) func ofEqualNumbersTheFirstIsTheLargest(first: Int) throws {
    let x = (0..<50).map { $0 == first || $0 > 45 ? 2 : Float($0 % 2) }
    let places = try logSumExp.call([.tensor(Tensor(x, shape: [1, 50]))], capacity: 3)[2]
    #expect(try places.item(Int.self) == first)
  }

  @Test func whatIsNotFiniteStaysSo() throws {
    let x = try Tensor([1, .nan, 2, .infinity, 3, 4] as [Float], shape: [3, 2])
    let sums = try logSumExp.call([.tensor(x)], capacity: 3)[0].array(of: Float.self)
    #expect(sums.map(\.isFinite) == [false, false, true])
  }
}

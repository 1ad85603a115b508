import Testing

@testable import Torch

@Suite(.everyInstructionSet) struct GeluKernelTests {
  private static let theirs = Operator("aten::gelu")

  private func gradient(_ x: Tensor, _ weights: Tensor, _ body: (Tensor) throws -> Tensor) throws -> Tensor {
    let x = try x.detach().clone().requiresGrad_()
    return try grad(of: body(x), withRespectTo: [x], gradient: weights)[0]
  }

  private func check(
    _ x: Tensor, _ approximation: Tensor.GELUApproximation, within tolerance: Float, _ what: String
  ) throws {
    let exact = try x.to(dtype: .float64)
    let size = try exact.abs().clamp(min: 1)
    let theirs = { try Self.theirs(.tensor($0), .string(approximation.rawValue)) }
    let values = try x.gelu(approximate: approximation)
    #expect(try values.dtype == x.dtype)
    #expect(try difference(values / size, theirs(exact) / size) < tolerance, "\(what)")
    let weights = try randn(x.shape, 8)
    let slopes = try gradient(x, weights.to(dtype: x.dtype)) { try $0.gelu(approximate: approximation) }
    #expect(try slopes.dtype == x.dtype)
    let expected = try gradient(exact, weights.to(dtype: x.dtype).to(dtype: .float64), theirs)
    #expect(try difference(slopes, expected) < 10 * tolerance, "the slope, \(what)")
  }

  @Test(arguments: [Tensor.GELUApproximation.none, .tanh], [DType.float32, .bfloat16])
  func itAndItsSlopeAreLibTorchs(approximation: Tensor.GELUApproximation, dtype: DType) throws {
    let tolerance: Float = dtype == .float32 ? 1e-6 : 8e-3
    for count in [1, 15, 16, 17, 1000, 40_000] {
      let x = try (randn([count], 1) * 4).to(dtype: dtype)
      try check(x, approximation, within: tolerance, "\(count) numbers")
    }
    let far = try Tensor([-1e30, -100, -9, -5.3, -0.0, 0, 1e-30, 5.3, 9, 100, 1e30] as [Float])
    try check(far.to(dtype: dtype), approximation, within: tolerance, "far away")
    try check(
      randn([7, 5], 2).to(dtype: dtype).transpose(0, 1), approximation, within: tolerance, "transposed")
  }

  @Test func whatIsNoNumberStaysNone() throws {
    for approximation in [Tensor.GELUApproximation.none, .tanh] {
      let x = try Tensor([Float.nan, 1, 2])
      let values = try x.gelu(approximate: approximation).array(of: Float.self)
      #expect(values[0].isNaN && !values[1].isNaN)
      let slopes = try gradient(x, .ones([3])) { try $0.gelu(approximate: approximation) }
      #expect(try slopes.array(of: Float.self)[0].isNaN)
    }
  }

  @Test func nothingAndOtherDtypesAreTaken() throws {
    #expect(try Tensor.zeros([0, 4]).gelu().shape == [0, 4])
    let x = try randn([9], 1).to(dtype: .float64)
    #expect(try difference(x.gelu(), Self.theirs(.tensor(x), .string("none"))) == 0)
    #expect(
      try difference(
        gradient(x, .ones([9])) { try $0.gelu() },
        gradient(x, .ones([9])) {
          try Self.theirs(.tensor($0), .string("none"))
        }) == 0)
  }

  /// `gelu'' = φ(x) (2 - x²)`
  @Test func itHasASecondDerivative() throws {
    let x = try randn([20], 1).requiresGrad_()
    let slope = try grad(of: x.gelu().sum(), withRespectTo: [x], createGraph: true)[0]
    let curvature = try grad(of: slope.sum(), withRespectTo: [x])[0]
    let square = try x.detach() * x.detach()
    let expected = try (square * -0.5).exp() * 0.3989422804014327 * (-square + 2)
    #expect(try difference(curvature, expected) < 1e-5)
  }

  @Test func anUnknownApproximationIsRefused() throws {
    #expect(throws: TorchError.self) {
      try Operator("gpt4mm::gelu")(.tensor(.ones([2])), .string("sigmoid"))
    }
  }
}

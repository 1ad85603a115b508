import Testing
import Torch

@Suite struct AutogradTests {
  @Test func gradientOfALinearLayerIsItsInput() throws {
    let x = try Tensor([1, 2, 3, 4] as [Float], shape: [2, 2])
    let w = try Tensor([1, 0, 0, 1] as [Float], shape: [2, 2]).requiresGrad_()
    try x.linear(w).sum().backward()
    #expect(try w.grad?.array(of: Float.self) == [4, 6, 4, 6])
  }

  @Test func nothingIsRecordedWithoutGradients() throws {
    let w = try Tensor([2] as [Float]).requiresGrad_()
    let y = try withoutGradients { try w * 3 }
    #expect(!y.requiresGrad)
    #expect(throws: TorchError.self) { try y.backward() }
  }

  @Test func aGradientMustBeLikeItsTensor() throws {
    let w = try Tensor.ones([2, 3]).requiresGrad_()
    for wrong in [try Tensor.ones([3]), try Tensor.ones([1, 1]), try Tensor.ones([2, 3], dtype: .float64)] {
      let error = #expect(throws: TorchError.self) { try w.setGrad(wrong) }
      #expect(error?.description.hasPrefix("a gradient must be float32 [2, 3] as its tensor is") == true)
    }
    #expect(try w.grad == nil)
    try w.setGrad(Tensor.ones([2, 3]))
    #expect(try w.grad?.sum().item(Float.self) == 6)
  }

  @Test func aGradientStartsTheBackwardPassOfWhatIsNoScalar() throws {
    let x = try Tensor([1.0, 2, 3]).requiresGrad_()
    let y = try x * x
    #expect(throws: TorchError.self) { try y.backward() }
    try y.backward(gradient: Tensor([1.0, 0, -1]), retainGraph: true)
    #expect(try x.grad?.array(of: Float.self) == [2, 0, -6])
    try y.backward(gradient: Tensor([0.0, 1, 0]))
    #expect(try x.grad?.array(of: Float.self) == [2, 4, -6])
    #expect(throws: TorchError.self) { try y.backward(gradient: Tensor([1.0, 0, -1])) }
    #expect(throws: TorchError.self) { try (x * x).backward(gradient: Tensor([1.0])) }
  }

  @Test func gradGivesDerivativesOfDerivativesAndTouchesNone() throws {
    let x = try Tensor([2.0]).requiresGrad_()
    let unused = try Tensor([1.0, 1]).requiresGrad_()
    let first = try grad(of: (x * x * x).sum(), withRespectTo: [x, unused], createGraph: true)
    #expect(try first.map { try $0.array(of: Float.self) } == [[12], [0, 0]])
    let second = try grad(of: first[0], withRespectTo: [x], gradient: Tensor([0.5]))
    #expect(try second[0].array(of: Float.self) == [6])
    #expect(try x.grad == nil)
    #expect(throws: TorchError.self) { try grad(of: Tensor([1.0]), withRespectTo: [x]) }
  }

  @Test func aCustomFunctionHasTheDerivativeThatItIsGiven() throws {
    let x = try Tensor([-1.0, 2]).requiresGrad_()
    let w = try Tensor([3.0, 4]).requiresGrad_()
    // Straight through: rounding has the derivative 1.
    let y = try customFunction([x * 2, w, Tensor([1.0])]) { inputs in
      (try inputs[0].round() * inputs[1], { [try $0 * inputs[1], try $0 * inputs[0], nil] })
    }
    try (y * 10).sum().backward()
    #expect(try y.array(of: Float.self) == [-6, 16])
    #expect(try x.grad?.array(of: Float.self) == [60, 80])
    #expect(try w.grad?.array(of: Float.self) == [-20, 40])
    #expect(try !withoutGradients { try customFunction([x]) { (try $0[0].abs(), { [$0] }) } }.requiresGrad)
  }

  @Test func whatACustomFunctionThrowsIsSaid() throws {
    struct Failure: Error {}
    let x = try Tensor([1.0, 2]).requiresGrad_()
    #expect(throws: Failure.self) { try customFunction([x]) { _ in throw Failure() } }
    func message(_ pullback: @escaping @Sendable (Tensor) throws -> [Tensor?]) -> String {
      let error = #expect(throws: TorchError.self) {
        try customFunction([x]) { (try $0[0].abs(), pullback) }.sum().backward()
      }
      return error?.message ?? ""
    }
    #expect(message { _ in throw FileError("no derivative here") } == "no derivative here")
    #expect(message { _ in [] } == "a custom function of 1 tensors gave 0 derivatives")
    #expect(message { _ in [try Tensor([1.0, 2, 3])] }.contains("invalid gradient"))
    let y = try customFunction([x]) { (try $0[0].abs(), { [$0] }) }
    #expect(throws: TorchError.self) { try grad(of: y.sum(), withRespectTo: [x], createGraph: true) }
  }

  @Test func aCustomFunctionLeavesNoTensor() async {
    await #expect(processExitsWith: .success) {
      func step(backward: Bool) throws {
        let x = try Tensor([1.0]).requiresGrad_()
        let y = try customFunction([x]) { inputs in
          let double = try inputs[0] * 2
          return (try double.abs(), { [try $0 * double] })
        }
        if backward { try y.backward() }
      }
      try step(backward: true)
      let before = Tensor.liveCount
      for _ in 0..<9 {
        try step(backward: true)
        try step(backward: false)
      }
      precondition(Tensor.liveCount == before, "\(Tensor.liveCount - before) tensors are left")
    }
  }

  @Test func anErrorNamesOperatorShapesAndReason() throws {
    let a = try Tensor.zeros([4, 3])
    let b = try Tensor.zeros([4, 8])
    let error = #expect(throws: TorchError.self) { try a.matmul(b) }
    #expect(
      error?.description
        == "aten::matmul(float32 [4, 3], float32 [4, 8]): mm: mat1 and mat2 shapes cannot be multiplied (4x3 and 4x8)"
    )
  }

  @Test func anUnknownOperatorThrows() throws {
    #expect(throws: TorchError.self) { try Operator("aten::no_such_operator")(.int(1)) }
  }

  @Test func adamWTakesTheStepOfThePaper() throws {
    let store = ParameterStore(contents: .random(try Generator(seed: 1)))
    let parameter = try store.root.parameter("w", shape: [2], .constant(1))
    try parameter.value.requiresGrad_()
    let optimizer = try AdamW(groups: [.init(parameters: [parameter], weightDecay: 0.1)])
    try (parameter.value * parameter.value).sum().backward()
    try optimizer.step(learningRate: 0.01)
    // θ - lr (1 + λ θ) for a first step, whose m̂/√v̂ is the sign of the gradient.
    for value in try parameter.value.array(of: Float.self) { #expect(abs(value - (1 - 0.01 * 1.1)) < 1e-6) }
  }

  @Test(arguments: [
    ("plain", 0, false, 0), ("decay", 0, false, 0.2), ("momentum", 0.9, false, 0.1),
    ("nesterov", 0.9, true, 0.1),
  ])
  func sgdIsPyTorchs(_ name: String, _ momentum: Double, _ nesterov: Bool, _ decay: Double) throws {
    let file = try Safetensors.read(fixture("tensors/tensors.safetensors")).tensors
    let store = ParameterStore(contents: .random(try Generator(seed: 1)))
    let parameter = try store.root.parameter("w", shape: [3], .constant(1))
    try parameter.value.copy_(Tensor([0.5, -1, 2])).requiresGrad_()
    let unused = try store.root.parameter("unused", shape: [2], .constant(1))
    let group = ParameterGroup(parameters: [parameter, unused], weightDecay: decay)
    var optimizer = try SGD(groups: [group], momentum: momentum, nesterov: nesterov)
    for step in 1...4 {
      try optimizer.zeroGrad()
      try (parameter.value * parameter.value * step).sum().backward()
      try optimizer.step(learningRate: 0.1)
      // As from a checkpoint.
      let next = try SGD(groups: [group], momentum: momentum, nesterov: nesterov)
      try next.restore(optimizer.momenta)
      optimizer = next
    }
    #expect(try difference(parameter.value, #require(file["sgd \(name)"])) < 1e-6)
    #expect(try unused.value.array(of: Float.self) == [1, 1])
  }

  @Test func sgdRefusesWhatMakesNoSense() throws {
    #expect(throws: TorchError.self) { try SGD(groups: [], momentum: -1) }
    #expect(throws: TorchError.self) { try SGD(groups: [], nesterov: true) }
  }

  @Test func theOptimizerScalesGradientsAsClippingDoes() throws {
    func moved(_ body: (Parameter, AdamW) throws -> Void) throws -> [Float] {
      let store = ParameterStore(contents: .random(try Generator(seed: 4)))
      let parameter = try store.root.parameter("w", shape: [3, 5], .normal(std: 1))
      try parameter.value.requiresGrad_()
      let optimizer = try AdamW(groups: [.init(parameters: [parameter], weightDecay: 0.1)])
      for factor in [9.0, 30] {
        try optimizer.zeroGrad()
        try (parameter.value * parameter.value * factor).sum().backward()
        try body(parameter, optimizer)
      }
      return try parameter.value.array(of: Float.self)
    }
    let clipped = try moved { parameter, optimizer in
      _ = try clipGradNorm([parameter], maxNorm: 0.5)
      try optimizer.step(learningRate: 0.1)
    }
    let scaled = try moved { parameter, optimizer in
      let scale = clipScale(norm: try gradNorm([parameter]), maxNorm: 0.5)
      #expect(scale < 0.1)
      try optimizer.step(learningRate: 0.1, gradientScale: scale)
    }
    #expect(zip(clipped, scaled).allSatisfy { abs($0 - $1) < 1e-6 })
    #expect(clipScale(norm: 0.4, maxNorm: 0.5) == 1 && clipScale(norm: .nan, maxNorm: 0.5) == 1)
  }
}

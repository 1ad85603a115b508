import Testing
import Torch

@Suite struct ParameterStoreTests {
  private func makeStore(_ contents: ParameterStore.Contents = .uninitialized) throws -> ParameterStore {
    let store = ParameterStore(contents: contents)
    _ = try Linear(store.root / "layers" / 0, inputs: 2, outputs: 3)
    _ = try LayerNorm(store.root / "norm", width: 3)
    return store
  }

  @Test func namesComeFromPaths() throws {
    #expect(
      try makeStore().parameters.map(\.name) == [
        "layers.0.weight", "layers.0.bias", "norm.weight", "norm.bias",
      ])
    #expect(try makeStore().count == 15)
  }

  @Test func twoParametersOfOneNameAreRefused() throws {
    let store = try makeStore()
    let error = #expect(throws: TorchError.self) { _ = try LayerNorm(store.root / "norm", width: 3) }
    #expect(error?.description == "two parameters have the name norm.weight")
  }

  @Test func loadingListsEverythingThatDoesNotFit() throws {
    let tensors = [
      "layers.0.weight": try Tensor.ones([3, 2]), "layers.0.bias": try Tensor.ones([4]),
      "norm.weight": try Tensor.ones([3]), "head.weight": try Tensor.ones([1]),
    ]
    let error = #expect(throws: TorchError.self) { try makeStore().load(tensors) }
    #expect(
      error?.description
        == "the weights do not fit the model: missing: norm.bias; unexpected: head.weight; misshapen: layers.0.bias [4] instead of [3]"
    )
    let store = try makeStore(.random(Generator(seed: 1)))
    let report = try store.load(tensors, strict: false)
    #expect(report.missing == ["norm.bias"])
    #expect(report.unexpected == ["head.weight"])
    #expect(report.misshapen == ["layers.0.bias [4] instead of [3]"])
    #expect(try store.parameters[0].value.array(of: Float.self) == Array(repeating: 1, count: 6))
    #expect(try store.parameters[3].value.array(of: Float.self) == [0, 0, 0])
  }

  @Test func weightsOfAnotherDtypeAreConverted() throws {
    let store = try makeStore()
    let tensors = try Dictionary(
      uniqueKeysWithValues: store.parameters.map { ($0.name, try Tensor.ones($0.shape, dtype: .bfloat16)) })
    _ = try store.load(tensors)
    for parameter in store.parameters { #expect(try parameter.value.dtype == .float32) }
  }

  @Test func aLoadedParameterGoesOnBeingTrained() throws {
    let store = try makeStore(.random(Generator(seed: 1)))
    let weight = store.parameters[0]
    try weight.value.requiresGrad_()
    try weight.replace(with: Tensor.ones([3, 2]))
    #expect(weight.value.requiresGrad)
  }

  @Test(arguments: Precision.allCases) func whatWasPreparedIsNeitherTrainedSavedNorLoaded(
    precision: Precision
  )
    throws
  {
    let store = ParameterStore(contents: .random(try Generator(seed: 1)))
    let layer = try Linear(store.root / "layer", inputs: 32, outputs: 16)
    let tensors = Dictionary(uniqueKeysWithValues: try store.tensors().map { ($0, try $1.clone()) })
    let x = try Tensor.randn([2, 32], generator: Generator(seed: 2))
    try withoutGradients { try layer.prepareForInference(precision) }
    let expected = try layer(x).array(of: Float.self)
    let attempts: [() throws -> Void] = [
      { _ = try store.tensors() }, { _ = try store.tensors(.bfloat16) }, { _ = try store.tensors(.int8) },
      { _ = try store.load(tensors) }, { _ = try store.load([:], strict: false) },
      { try store.addAdapters(rank: 2, alpha: 2, contents: .uninitialized) },
      { try store.redraw(layer.weight, .constant(1)) },
      { try layer.weight.replace(with: Tensor.ones([16, 32])) },
      { _ = try AdamW(groups: [.init(parameters: store.trainable, weightDecay: 0)]) },
      { _ = try MovingAverage(store.trainable, decay: 0.9) },
    ]
    for (index, attempt) in attempts.enumerated() {
      let error = #expect(throws: TorchError.self, "\(index)") { try attempt() }
      #expect(error?.description.hasPrefix("the model was prepared for inference") == true, "\(index)")
    }
    #expect(store.parameters.count == 2)
    #expect(try layer(x).array(of: Float.self) == expected)
  }

  @Test func theSameSeedDrawsTheSameWeights() throws {
    func draw(_ seed: UInt64) throws -> [Float] {
      try makeStore(.random(Generator(seed: seed))).parameters[0].value.array(of: Float.self)
    }
    #expect(try draw(3) == draw(3))
    #expect(try draw(3) != draw(4))
  }

  @Test func gradientsAreClippedToTheirJointNorm() throws {
    let store = try makeStore(.random(Generator(seed: 1)))
    for parameter in store.parameters { try parameter.value.requiresGrad_() }
    let x = try Tensor.ones([1, 2])
    try (x.linear(store.parameters[0].value) * 100).sum().backward()
    let norm = try clipGradNorm(store.parameters, maxNorm: 1)
    #expect(abs(norm - 100 * 6.0.squareRoot()) < 1e-2)
    #expect(abs(try clipGradNorm(store.parameters, maxNorm: 1) - 1) < 1e-4)
  }
}

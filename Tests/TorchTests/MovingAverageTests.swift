import Testing
import Torch

@Suite struct MovingAverageTests {
  private func store() throws -> (ParameterStore, Linear) {
    let store = ParameterStore(contents: .random(try Generator(seed: 5)))
    let layer = try Linear(store.root / "layer", inputs: 3, outputs: 4)
    return (store, layer)
  }

  private func values(_ store: ParameterStore) throws -> [[Float]] {
    try store.parameters.map { try $0.value.detach().array(of: Float.self) }
  }

  private func averages(_ average: MovingAverage) throws -> [[Float]] {
    try average.parameters.map { try (average.values[$0.name] ?? .zeros([])).array(of: Float.self) }
  }

  @Test(arguments: [0, 0.5, 0.999])
  func eachStepMovesTheAverageByItsShare(decay: Double) throws {
    let (store, _) = try store()
    for parameter in store.parameters { try parameter.value.requiresGrad_() }
    let average = try MovingAverage(store.parameters, decay: decay)
    var expected = try values(store)
    #expect(try averages(average) == expected)
    let generator = try Generator(seed: 2)
    for _ in 0..<5 {
      try withoutGradients {
        for parameter in store.parameters { try parameter.value.normal_(generator: generator) }
      }
      try average.update()
      let now = try values(store)
      expected = zip(expected, now).map {
        zip($0, $1).map { Float(decay * Double($0) + (1 - decay) * Double($1)) }
      }
      for (one, other) in zip(try averages(average), expected) {
        #expect(zip(one, other).allSatisfy { abs($0 - $1) < 1e-5 })
      }
    }
    #expect(average.values.values.allSatisfy { !$0.requiresGrad })
  }

  @Test func anExchangeIsUndoneByAnother() throws {
    let (store, layer) = try store()
    let average = try MovingAverage(store.parameters, decay: 0.5)
    try withoutGradients { _ = try layer.weight.value.fill_(3) }
    let (own, other) = (try values(store), try averages(average))
    try average.exchange()
    #expect(try values(store) == other)
    #expect(try averages(average) == own)
    try average.exchange()
    #expect(try values(store) == own)
    #expect(try averages(average) == other)
  }

  @Test func savedAveragesArePutInPlaceAndOthersRefused() throws {
    let (store, _) = try store()
    let average = try MovingAverage(store.parameters, decay: 0.5)
    let before = try averages(average)
    var saved = ["layer.weight": try Tensor.ones([4, 3]), "layer.bias": try Tensor.ones([4]) * 2]
    // Each of these would be broadcast.
    for (name, shape) in [
      ("layer.weight", [1]), ("layer.weight", [3]), ("layer.bias", []), ("layer.bias", [1]),
    ] {
      let own = saved[name]
      saved[name] = try .ones(shape)
      let error = #expect(throws: TorchError.self) { try average.restore(saved) }
      let needed = name == "layer.bias" ? [4] : [4, 3]
      #expect(
        error?.description.hasPrefix(
          "the saved moving average of \(name) has shape \(shape), but \(needed) is needed") == true)
      saved[name] = own
    }
    let error = #expect(throws: TorchError.self) {
      try average.restore(["layer.weight": Tensor.ones([4, 3])])
    }
    #expect(error?.description == "what was saved lacks the moving average of layer.bias")
    #expect(try averages(average) == before)
    try average.restore(saved)
    #expect(try averages(average) == [Array(repeating: 1, count: 12), Array(repeating: 2, count: 4)])
  }

  @Test func savedMomentsArePutInPlaceAndOthersRefused() throws {
    let (store, _) = try store()
    let optimizer = try AdamW(groups: [.init(parameters: store.parameters, weightDecay: 0)])
    func state(_ shape: [Int], _ second: [Int]? = nil, step: [Int] = []) throws -> AdamW.State {
      AdamW.State(
        firstMoment: try .ones(shape), secondMoment: try .ones(second ?? shape), step: try .ones(step))
    }
    let bias = try state([4])
    for (wrong, part) in [
      (try state([1]), "first moment"), (try state([4, 3], [3]), "second moment"),
      (try state([4, 3], step: [1]), "step"),
    ] {
      let error = #expect(throws: TorchError.self) {
        try optimizer.restore(["layer.weight": wrong, "layer.bias": bias])
      }
      #expect(error?.description.hasPrefix("the saved \(part) of layer.weight has shape [") == true)
    }
    #expect(throws: TorchError.self) { try optimizer.restore(["layer.weight": state([4, 3])]) }
    for state in optimizer.state.values { #expect(try state.secondMoment.sum().item(Float.self) == 0) }
    try optimizer.restore(["layer.weight": state([4, 3]), "layer.bias": bias])
    for state in optimizer.state.values { #expect(try state.firstMoment.mean().item(Float.self) == 1) }
  }

  @Test(arguments: [-0.1, 1, 2, .nan])
  func aDecayOutsideItsRangeIsRefused(decay: Double) throws {
    let (store, _) = try store()
    let error = #expect(throws: TorchError.self) { try MovingAverage(store.parameters, decay: decay) }
    #expect(error?.description.contains("must be in [0, 1)") == true)
  }
}

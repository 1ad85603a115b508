import Testing
import Torch

@Suite struct LowRankAdapterTests {
  private final class Layers {
    let store: ParameterStore
    let first: Linear
    let parts: [Linear]
    let joined: JoinedLinear

    init() throws {
      let store = ParameterStore(contents: .random(try Generator(seed: 7)))
      let block = store.root / "block" / 0
      first = try Linear(block / "first", inputs: 6, outputs: 5)
      parts = try ["to_q", "to_k"].map { try Linear(block / $0, inputs: 5, outputs: 4, bias: false) }
      joined = JoinedLinear(parts)
      self.store = store
      for parameter in store.trainable { try parameter.value.requiresGrad_() }
    }

    func callAsFunction(_ x: Tensor) throws -> Tensor { try joined(first(x, activation: .gelu)) }

    /// Adapters that are not zero.
    func adapt(rank: Int = 2, alpha: Double = 6, layers: [String] = []) throws {
      try store.addAdapters(
        rank: rank, alpha: alpha, layers: layers, contents: .random(Generator(seed: 9)))
      let generator = try Generator(seed: 10)
      try withoutGradients {
        for parameter in store.parameters where parameter.name.contains("lora_B") {
          try parameter.value.normal_(generator: generator)
        }
      }
    }
  }

  private func input() throws -> Tensor { try .randn([2, 3, 6], generator: Generator(seed: 1)) }

  private func difference(_ a: Tensor, _ b: Tensor) throws -> Float {
    try withoutGradients { try (a.detach() - b.detach()).abs().amax().item() }
  }

  @Test func anAdapterBeginsWithoutEffect() throws {
    let layers = try Layers()
    let before = try layers(input())
    try layers.store.addAdapters(rank: 3, alpha: 3, contents: .random(Generator(seed: 2)))
    #expect(try difference(layers(input()), before) < 1e-6)
    let names = try layers.store.adapterTensors.map(\.0)
    #expect(
      names
        == ["first", "to_q", "to_k"].flatMap {
          ["block.0.\($0).lora_A.weight", "block.0.\($0).lora_B.weight"]
        })
    #expect(try layers.store.adapterTensors.map(\.1.shape).prefix(2) == [[3, 6], [5, 3]])
    let a = try layers.store.adapterTensors[0].1.array(of: Float.self)
    #expect(Set(a).count == a.count && a.allSatisfy { abs($0) <= 1 / Float(6).squareRoot() })
  }

  @Test func itAddsTheScaledProductOfItsMatrices() throws {
    let layers = try Layers()
    try layers.adapt(layers: ["first"])
    let adapter = try #require(layers.first.weight.adapter)
    let x = try input()
    let expected = try withoutGradients {
      let weight = try layers.first.weight.value + adapter.b.value.matmul(adapter.a.value) * (6.0 / 2)
      return try x.linear(weight, bias: layers.first.bias?.value).gelu()
    }
    #expect(try difference(layers.first(x, activation: .gelu), expected) < 1e-5)
    let residual = try Tensor.randn([2, 3, 5], generator: Generator(seed: 3))
    let sum = try withoutGradients { try expected + residual }
    #expect(try difference(layers.first(x, activation: .gelu, residual: residual), sum) < 1e-5)
    #expect(layers.parts.allSatisfy { $0.weight.adapter == nil })
  }

  @Test func joinedLayersWithAdaptersAreTheLayersAfterEachOther() throws {
    let layers = try Layers()
    let x = try Tensor.randn([2, 5], generator: Generator(seed: 4))
    let plain = try layers.joined(x)
    try layers.adapt(layers: ["to_k"])
    let expected = try Tensor.cat(layers.parts.map { try $0(x) }, dim: -1)
    #expect(try difference(layers.joined(x), expected) < 1e-6)
    #expect(try difference(layers.joined(x), plain) > 1e-3)
  }

  @Test func onlyAdaptersHaveGradients() throws {
    let layers = try Layers()
    try layers.adapt()
    try layers(input()).sum().backward()
    for parameter in layers.store.parameters {
      let isAdapter = parameter.name.contains(".lora_")
      #expect(parameter.value.requiresGrad == isAdapter, "\(parameter.name)")
      let gradient = try parameter.value.grad
      #expect((gradient != nil) == isAdapter, "\(parameter.name)")
      let largest: Float? = try gradient?.abs().amax().item()
      #expect(largest.map { $0 > 0 } ?? true)
    }
  }

  @Test func mergedLayersComputeTheSameWithoutAdapters() throws {
    let layers = try Layers()
    let names = layers.store.parameters.map(\.name)
    try layers.adapt()
    let expected = try layers(input())
    try layers.store.mergeAdapters()
    #expect(layers.store.parameters.map(\.name) == names)
    #expect(try layers.store.adapterTensors.isEmpty)
    #expect(try difference(layers(input()), expected) < 1e-5)
    try layers.store.mergeAdapters()
    #expect(try difference(layers(input()), expected) < 1e-5)
    // A layer may be adapted again.
    try layers.adapt()
    #expect(try difference(layers(input()), expected) > 1e-3)
  }

  @Test func aLayerWithAnAdapterIsNotPrepared() throws {
    let layers = try Layers()
    try layers.adapt()
    for prepare in [
      { try layers.first.prepareForInference(.float32) }, { try layers.joined.prepareForInference(.int8) },
    ] {
      let error = #expect(throws: TorchError.self) { try prepare() }
      #expect(error?.description.contains("merge adapters before the model is prepared") == true)
    }
    #expect(!layers.first.weight.isReleased)
    try layers.store.mergeAdapters()
    let expected = try layers(input())
    try layers.first.prepareForInference(.float32)
    try layers.joined.prepareForInference(.float32)
    #expect(try withoutGradients { try difference(layers(input()), expected) } < 1e-4)
  }

  @Test(arguments: [
    ("to_q", ["block.0.to_q"]), ("block.0.to_q", ["block.0.to_q"]),
    ("block.0", ["block.0.first", "block.0.to_q"]),
  ]) func aLayerIsNamedByAnyPartOfItsName(part: String, adapted: [String]) throws {
    let layers = try Layers()
    try layers.adapt(layers: [part])
    for name in adapted {
      #expect(layers.store.parameters.first { $0.name == name + ".weight" }?.adapter != nil)
    }
    #expect((layers.parts[1].weight.adapter != nil) == (part == "block.0"))
    for wrong in ["", ".", "block.to_q", "to_", "to_q.0"] {
      #expect(throws: TorchError.self) { try Layers().adapt(layers: [wrong]) }
    }
  }

  @Test func whatCannotBeAdaptedIsRefused() throws {
    func refusal(rank: Int = 2, alpha: Double = 1, layers: [String] = []) throws -> String {
      let store = try Layers().store
      let error = #expect(throws: TorchError.self) {
        try store.addAdapters(rank: rank, alpha: alpha, layers: layers, contents: .uninitialized)
      }
      // Nothing was frozen.
      let isFrozen = store.trainable.contains { !$0.value.requiresGrad }
      #expect(!isFrozen)
      return error?.description ?? ""
    }
    #expect(try refusal(rank: 0).contains("must be above 0, got 0"))
    #expect(try refusal(alpha: 0).contains("must be above 0"))
    #expect(try refusal(alpha: .infinity).contains("must be above 0"))
    #expect(
      try refusal(layers: ["to_q", "to_x"])
        == "no linear layer is named to_x: there are first, to_k, to_q")
    let layers = try Layers()
    try layers.adapt(layers: ["to_q"])
    let error = #expect(throws: TorchError.self) { try layers.adapt() }
    #expect(error?.description.contains("to_q.weight has an adapter already") == true)
  }
}

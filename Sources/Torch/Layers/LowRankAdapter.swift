/// What is learned beside a frozen weight W [outputs, inputs] of a linear layer: `y = x Wᵀ + b + (α / r) x Aᵀ Bᵀ`, with
/// A [r, inputs] drawn as a linear layer's weight and B [outputs, r] zero at first (Hu et al., 2021, "LoRA").
public final class LowRankAdapter {
  /// Under the layer's name, as Hugging Face's PEFT names them.
  public let a: Parameter
  /// What `a` gives becomes the outputs: [outputs, rank].
  public let b: Parameter
  let scale: Double

  init(_ path: ParameterPath, shape: [Int], rank: Int, alpha: Double) throws {
    a = try path.parameter("lora_A.weight", shape: [rank, shape[1]], .linearWeight(fanIn: shape[1]))
    b = try path.parameter("lora_B.weight", shape: [shape[0], rank], .constant(0))
    scale = alpha / Double(rank)
  }

  /// - Parameter x: [..., inputs]
  /// - Returns: what is added to the layer's output, [..., outputs]
  func callAsFunction(_ x: Tensor) throws -> Tensor { try x.linear(a.value).linear(b.value) * scale }

  /// What is added to the weight, [outputs, inputs].
  func weight() throws -> Tensor { try b.value.matmul(a.value) * scale }
}

extension ParameterStore {
  /// Puts adapters beside the weights of linear layers, and freezes everything else.
  /// - Parameters:
  ///   - layers: parts of the layers' names, such as `to_q` or `decoder.to_logits`; empty for all linear layers
  ///   - contents: what the adapters hold, as for a model
  /// - Throws: `TorchError` when no layer has such a name or rank and alpha are not above 0, or once the model was prepared
  ///   for inference.
  public func addAdapters(rank: Int, alpha: Double, layers: [String] = [], contents: Contents) throws {
    try checkUnprepared()
    guard rank > 0, alpha > 0, alpha.isFinite else {
      throw TorchError("an adapter's rank and alpha must be above 0, got \(rank) and \(alpha)")
    }
    let linear = parameters.filter(\.isLinearWeight)
    let names = linear.map { $0.name.split(separator: ".").dropLast().map(String.init) }
    let parts = layers.map { $0.split(separator: ".", omittingEmptySubsequences: false).map(String.init) }
    for (layer, part) in zip(layers, parts) where !names.contains(where: { $0.contains(part) }) {
      let known = Set(names.compactMap { $0.last { Int($0) == nil } }).sorted()
      throw TorchError(
        "no linear layer is named \(layer): there are \(known.joined(separator: ", "))")
    }
    for parameter in trainable { try parameter.value.requiresGrad_(false) }
    for (weight, name) in zip(linear, names)
    where parts.isEmpty || parts.contains(where: { name.contains($0) }) {
      guard weight.adapter == nil else { throw TorchError("\(weight.name) has an adapter already") }
      let path = name.reduce(root) { $0 / $1 }
      let adapter = try withContents(contents) {
        try LowRankAdapter(path, shape: weight.shape, rank: rank, alpha: alpha)
      }
      for parameter in [adapter.a, adapter.b] { try parameter.value.requiresGrad_() }
      weight.adapter = adapter
    }
  }

  /// The adapters' parameters by their names.
  public var adapterTensors: [(String, Tensor)] {
    get throws {
      try parameters.compactMap(\.adapter).flatMap { [$0.a, $0.b] }.map { ($0.name, try $0.value.detach()) }
    }
  }

  /// Adds each adapter to its weight and removes it: the model computes the same without it.
  public func mergeAdapters() throws {
    var merged: Set<String> = []
    try withoutGradients {
      for weight in parameters {
        guard let adapter = weight.adapter else { continue }
        // A new tensor: the weight may lie over a file.
        try weight.replace(with: weight.value.detach() + adapter.weight())
        weight.adapter = nil
        merged.formUnion([adapter.a.name, adapter.b.name])
      }
    }
    remove(merged)
  }
}

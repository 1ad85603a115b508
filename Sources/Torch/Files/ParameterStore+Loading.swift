/// What loading weights into a model did and did not do.
public struct LoadReport: Sendable, Equatable {
  /// Parameters that the weights lack.
  public internal(set) var missing: [String] = []
  /// Tensors that the model does not have.
  public internal(set) var unexpected: [String] = []
  /// Tensors of another shape than the parameter, with both shapes.
  public internal(set) var misshapen: [String] = []

  /// Whether every parameter was found, and nothing else.
  public var isComplete: Bool { missing.isEmpty && unexpected.isEmpty && misshapen.isEmpty }
}

extension LoadReport: CustomStringConvertible {
  /// What is wrong, for people.
  public var description: String {
    func list(_ title: String, _ names: [String]) -> String? {
      guard !names.isEmpty else { return nil }
      let shown = names.prefix(10).joined(separator: ", ")
      return "\(title): \(shown)" + (names.count > 10 ? " and \(names.count - 10) more" : "")
    }
    return [list("missing", missing), list("unexpected", unexpected), list("misshapen", misshapen)]
      .compactMap { $0 }.joined(separator: "; ")
  }
}

extension ParameterStore {
  /// Puts tensors in the place of parameters of the same names, without a copy where dtype and device fit. A quantised
  /// weight is an int8 tensor beside one of its name with `_scale` behind it and, in 4 bits, one with `_zero`.
  /// - Parameters:
  ///   - tensors: by the parameters' names, which may all have the prefix of a wrapper before them, such as `module.`
  ///   - strict: refuse weights that do not fit exactly; else load what fits
  ///   - keepsDType: leave tensors in the dtype they have, for a model that is prepared for inference next
  /// - Throws: `TorchError` that lists every missing, unexpected and misshapen tensor, or once the model was prepared for
  ///   inference.
  public func load(_ tensors: [String: Tensor], strict: Bool = true, keepsDType: Bool = false) throws
    -> LoadReport
  {
    try checkUnprepared()
    var tensors = withoutWrapper(tensors)
    let quantized = try Self.takeQuantizedWeights(from: &tensors)
    var report = LoadReport()
    for parameter in parameters {
      guard let shape = quantized[parameter.name]?.values.shape ?? tensors[parameter.name]?.shape else {
        report.missing.append(parameter.name)
        continue
      }
      if shape != parameter.shape {
        report.misshapen.append("\(parameter.name) \(shape) instead of \(parameter.shape)")
      }
    }
    let known = Set(parameters.map(\.name))
    report.unexpected = (Array(tensors.keys) + Array(quantized.keys)).filter { !known.contains($0) }.sorted()
    guard !strict || report.isComplete else {
      throw TorchError("the weights do not fit the model: \(report)")
    }
    for parameter in parameters {
      if let weight = quantized[parameter.name], weight.values.shape == parameter.shape {
        try parameter.replace(with: weight)
      } else if let tensor = tensors[parameter.name], tensor.shape == parameter.shape {
        guard try !parameter.isTrainable || tensor.dtype.isFloatingPoint else {
          throw TorchError(
            "the weights do not fit the model: \(parameter.name) holds \(try tensor.dtype) without scales")
        }
        let keeps = try keepsDType && parameter.isTrainable && tensor.dtype.isFloatingPoint
        let fitting = try keeps ? tensor : tensor.to(dtype: parameter.value.dtype)
        let placed = try fitting.to(device: device)
        // Packing rearranges a weight anyway, one after the other; a copy of each would hold all of them twice.
        try parameter.replace(with: keeps ? placed : placed.contiguous())
      }
    }
    return report
  }

  /// Copies what may still lie in a file, so that nobody who writes to it changes the model.
  /// - Parameter isMeant: which parameters, of those that are not packed
  package func leaveFiles(where isMeant: (Parameter) throws -> Bool) throws {
    for parameter in parameters
    where try !parameter.isReleased && parameter.quantizedValue == nil && isMeant(parameter) {
      try parameter.replace(with: parameter.value.detach().clone())
    }
  }

  /// - Throws: `TorchError` that names parameters which hold NaN or infinity; those that are packed were looked at as far as they
  ///   were rounded to few bits, where such numbers would be like others.
  public func checkFinite() throws {
    let damaged = try parameters.filter {
      try !$0.isReleased && $0.quantizedValue == nil && !$0.value.detach().holdsFiniteNumbers()
    }
    guard damaged.isEmpty else { throw TorchError.notFinite(damaged) }
  }

  /// What PyTorch's wrappers put before every name: DataParallel, `torch.compile`, and a module that keeps the model in a field.
  private static let wrappers = ["module.", "_orig_mod.", "model."]

  /// Tensors under the model's names, where a wrapper was saved instead of the model.
  private func withoutWrapper(_ tensors: [String: Tensor]) -> [String: Tensor] {
    var tensors = tensors
    while let prefix = Self.wrappers.first(where: { prefix in
      !tensors.isEmpty && tensors.keys.allSatisfy { $0.hasPrefix(prefix) }
    }), !parameters.contains(where: { $0.name.hasPrefix(prefix) }) {
      tensors = Dictionary(
        uniqueKeysWithValues: tensors.map { (String($0.key.dropFirst(prefix.count)), $0.value) })
    }
    return tensors
  }

  private static let scaleSuffix = "_scale"
  private static let zeroSuffix = "_zero"

  private static func takeQuantizedWeights(from tensors: inout [String: Tensor]) throws -> [String:
    QuantizedWeight]
  {
    var quantized: [String: QuantizedWeight] = [:]
    for (name, values) in tensors where tensors[name + scaleSuffix] != nil {
      guard let scales = tensors.removeValue(forKey: name + scaleSuffix) else { continue }
      let zeros = tensors.removeValue(forKey: name + zeroSuffix)
      tensors[name] = nil
      do {
        quantized[name] = try QuantizedWeight(
          stored: values, scales: scales.to(dtype: .float32), zeros: zeros?.to(dtype: .float32))
      } catch let error as TorchError {
        throw TorchError("the weights do not fit the model: \(name): \(error.message)")
      }
    }
    return quantized
  }

  /// All parameters and buffers under their names, outside of recorded gradients.
  /// - Parameter dtype: that of trainable parameters; as they are when nil
  /// - Throws: `TorchError` once the model was prepared for inference.
  public func tensors(dtype: DType? = nil) throws -> [(String, Tensor)] {
    try checkUnprepared()
    return try parameters.map { parameter in
      let value = try parameter.value.detach()
      return (parameter.name, try parameter.isTrainable ? value.to(dtype: dtype ?? value.dtype) : value)
    }
  }

  /// As `tensors`, with the weights of linear layers quantised where a precision asks for it, as `load` reads them.
  public func tensors(_ precision: Precision) throws -> [(String, Tensor)] {
    guard let scheme = precision.quantization else { return try tensors(dtype: precision.storageDType) }
    try checkUnprepared()
    return try parameters.flatMap { parameter -> [(String, Tensor)] in
      let value = try parameter.value.detach()
      let name = parameter.name
      guard parameter.isLinearWeight, precision.quantizes(parameter.shape) else {
        return [(name, try parameter.isTrainable ? value.to(dtype: precision.storageDType) : value)]
      }
      let quantized = try QuantizedWeight(value, scheme)
      return [(name, try quantized.stored()), (name + Self.scaleSuffix, quantized.scales)]
        + (quantized.zeros.map { [(name + Self.zeroSuffix, $0)] } ?? [])
    }
  }
}

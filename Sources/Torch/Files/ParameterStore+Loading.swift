/// What loading weights into a model did and did not do.
public struct LoadReport: Sendable, Equatable {
  /// Parameters that the weights lack.
  public internal(set) var missing: [String] = []
  /// Tensors that the model does not have.
  public internal(set) var unexpected: [String] = []
  /// Tensors of another shape than the parameter, with both shapes.
  public internal(set) var misshapen: [String] = []

  public var isComplete: Bool { missing.isEmpty && unexpected.isEmpty && misshapen.isEmpty }
}

extension LoadReport: CustomStringConvertible {
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
  /// Puts tensors in the place of parameters of the same names, without a copy where dtype and device fit.
  /// - Parameter strict: refuse weights that do not fit exactly; else load what fits
  /// - Throws: `TorchError` that lists every missing, unexpected and misshapen tensor.
  public func load(_ tensors: [String: Tensor], strict: Bool = true) throws -> LoadReport {
    var report = LoadReport()
    for parameter in parameters {
      guard let tensor = tensors[parameter.name] else {
        report.missing.append(parameter.name)
        continue
      }
      if tensor.shape != parameter.shape {
        report.misshapen.append("\(parameter.name) \(tensor.shape) instead of \(parameter.shape)")
      }
    }
    let known = Set(parameters.map(\.name))
    report.unexpected = tensors.keys.filter { !known.contains($0) }.sorted()
    guard !strict || report.isComplete else {
      throw TorchError("the weights do not fit the model: \(report)")
    }
    for parameter in parameters {
      guard let tensor = tensors[parameter.name], tensor.shape == parameter.shape else { continue }
      try parameter.replace(with: tensor.to(dtype: parameter.value.dtype).to(device: device).contiguous())
    }
    return report
  }

  /// All parameters and buffers under their names, outside of recorded gradients.
  public func tensors() throws -> [(String, Tensor)] {
    try parameters.map { ($0.name, try $0.value.detach()) }
  }
}

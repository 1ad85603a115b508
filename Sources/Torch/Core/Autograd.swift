import CTorch

extension Tensor {
  /// Whether operators on this tensor are recorded for `backward`.
  public var requiresGrad: Bool { withHandle { ct_tensor_requires_grad($0) } }

  /// Says whether operators on this leaf tensor are recorded for `backward`.
  @discardableResult
  public func requiresGrad_(_ value: Bool = true) throws -> Tensor {
    try withHandle { try check(ct_tensor_set_requires_grad($0, value), "requires_grad_", [summary]) }
    return self
  }

  /// Adds the derivatives of this tensor with respect to every leaf it was computed from to their `grad`.
  /// - Parameters:
  ///   - gradient: what the derivatives are multiplied with, of this tensor's shape; nil for 1, where it is a scalar
  ///   - retainGraph: whether what was recorded is kept for another backward pass
  public func backward(gradient: Tensor? = nil, retainGraph: Bool = false) throws {
    try withExtendedLifetime(gradient) {
      try withHandle {
        try check(ct_tensor_backward($0, gradient?.handle, retainGraph), "backward", [summary])
      }
    }
  }

  /// The accumulated derivative, nil before the first `backward`.
  public var grad: Tensor? {
    get throws {
      var result: OpaquePointer?
      try withHandle { try check(ct_tensor_grad($0, &result), "grad", [summary]) }
      return result.map(Tensor.init(owning:))
    }
  }

  /// Replaces the accumulated derivative; nil clears it.
  /// - Throws: `TorchError` for a derivative of another shape, dtype or device than this tensor's.
  public func setGrad(_ gradient: Tensor?) throws {
    if let gradient, gradient.summary != summary {
      throw TorchError("a gradient must be \(summary) as its tensor is, got \(gradient.summary)")
    }
    try withExtendedLifetime(gradient) {
      try withHandle { try check(ct_tensor_set_grad($0, gradient?.handle), "set_grad", [summary]) }
    }
  }
}

/// The derivatives of `output` with respect to `inputs`, without touching their `grad`: PyTorch's `torch.autograd.grad`.
/// Those of inputs that it does not depend on are zero.
/// - Parameters:
///   - gradient: what they are multiplied with, of the output's shape; nil for 1, where the output is a scalar
///   - retainGraph: whether what was recorded is kept for another backward pass
///   - createGraph: whether this computation is recorded too, for derivatives of derivatives; keeps the graph
public func grad(
  of output: Tensor, withRespectTo inputs: [Tensor], gradient: Tensor? = nil, retainGraph: Bool = false,
  createGraph: Bool = false
) throws -> [Tensor] {
  var results = [OpaquePointer?](repeating: nil, count: inputs.count)
  try withExtendedLifetime((output, inputs, gradient)) {
    try check(
      ct_gradients(
        output.handle, inputs.map(\.handle), Int64(inputs.count), gradient?.handle, retainGraph, createGraph,
        &results), "grad", [output.summary] + inputs.map(\.summary))
  }
  return results.compactMap { $0.map(Tensor.init(owning:)) }
}

/// Whether operators are recorded for gradients, on this thread.
package var isRecordingGradients: Bool { ct_grad_mode() }

/// Runs `body` without recording operators for gradients, on this thread.
public func withoutGradients<Result>(_ body: () throws -> Result) rethrows -> Result {
  try recordingGradients(false, body)
}

func recordingGradients<Result>(_ isOn: Bool, _ body: () throws -> Result) rethrows -> Result {
  let before = isRecordingGradients
  ct_set_grad_mode(isOn)
  defer { ct_set_grad_mode(before) }
  return try body()
}

/// Runs `body` with LibTorch's automatic mixed precision: matrix products and attention compute in `dtype`, what needs
/// float32 does not, and parameters stay what they are.
/// - Parameter dtype: nil to compute in the tensors' own dtypes
public func withAutocast<Result>(_ dtype: DType?, on device: Device, _ body: () throws -> Result) throws
  -> Result
{
  let before = ct_autocast(device.kind.rawValue)
  try check(ct_set_autocast(device.kind.rawValue, dtype?.rawValue ?? -1), "autocast", ["\(device)"])
  let result = Swift.Result { try body() }
  try check(ct_set_autocast(device.kind.rawValue, before), "autocast", ["\(device)"])
  return try result.get()
}

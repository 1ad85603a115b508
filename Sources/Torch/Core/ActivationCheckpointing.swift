import CTorch

/// Computes `body(inputs)` without keeping what its gradients need; the backward pass computes it again (Chen et al.,
/// 2016, "Training Deep Nets with Sublinear Memory Cost"). Random draws are the same both times.
/// - Parameters:
///   - inputs: at least one; what `body` uses besides must be parameters
///   - body: gives the same result for the same inputs
/// - Throws: what `body` throws.
public func checkpoint(
  _ inputs: [Tensor], _ body: @escaping ([Tensor]) throws -> Tensor
) throws -> Tensor {
  guard let device = inputs.first?.device else { throw TorchError("a checkpoint needs at least one input") }
  guard isRecordingGradients, inputs.contains(where: \.requiresGrad) else { return try body(inputs) }
  let random = try Generator.default(device: device)
  let state = try random.state()
  let autocast = DType(rawValue: ct_autocast(device.kind.rawValue))
  // Recorded as the second time, so that the same operators run, and forgotten at once.
  let value = try body(leaves(inputs))
  return try value.asFunction(of: inputs) { gradient in
    let inputs = try leaves(inputs)
    let output = try recordingGradients(true) {
      try withAutocast(autocast, on: device) { try random.with(state: state) { try body(inputs) } }
    }
    // Parameters that the body uses are leaves, whose gradients this adds up.
    try output.backward(gradient: gradient)
    return try inputs.map { try $0.grad }
  }
}

/// The same elements, from which gradients go no further.
private func leaves(_ tensors: [Tensor]) throws -> [Tensor] {
  try tensors.map { try $0.detach().requiresGrad_($0.requiresGrad) }
}

import CTorch
import Foundation

/// A function with a derivative of its own, where that of its operators is slow, unstable or not there: PyTorch's
/// `torch.autograd.Function`.
///
///     let positive = try customFunction([x]) { inputs in
///       let y = try inputs[0].clamp(min: 0)
///       return (y, { gradient in [try gradient * (y > 0)] })
///     }
///
/// - Parameters:
///   - inputs: what there are derivatives of
///   - body: computes the value, unrecorded, and gives with it the function from the value's derivative to those of the inputs,
///     in their order, nil for none. That function keeps what it captures until the backward pass has gone by; it has no second
///     derivative.
/// - Throws: what `body` throws; what the other function throws, the backward pass throws as a `TorchError`.
public func customFunction(
  _ inputs: [Tensor],
  _ body: ([Tensor]) throws -> (value: Tensor, pullback: @Sendable (Tensor) throws -> [Tensor?])
) throws -> Tensor {
  let (value, pullback) = try withoutGradients { try body(inputs) }
  return try value.asFunction(of: inputs, pullback)
}

extension Tensor {
  /// This value as a function of `inputs`; itself where no gradients are recorded.
  func asFunction(of inputs: [Tensor], _ pullback: @escaping (Tensor) throws -> [Tensor?]) throws -> Tensor {
    guard isRecordingGradients, inputs.contains(where: \.requiresGrad) else { return self }
    let context = PullbackContext(count: inputs.count, pullback: pullback)
    var result: OpaquePointer?
    try withExtendedLifetime((self, inputs)) {
      try check(
        ct_with_pullback(
          handle, inputs.map(\.handle), Int64(inputs.count),
          { pointer, gradient, results in
            guard let pointer, let gradient, let results else { return nil }
            return Unmanaged<PullbackContext>.fromOpaque(pointer).takeUnretainedValue()
              .run(Tensor(owning: gradient), into: results)
          }, { if let pointer = $0 { Unmanaged<PullbackContext>.fromOpaque(pointer).release() } },
          Unmanaged.passRetained(context).toOpaque(), &result), "custom function", inputs.map(\.summary))
    }
    guard let result else { throw TorchError("LibTorch returned no tensor of a custom function") }
    return Tensor(owning: result)
  }
}

/// What the backward pass calls, once at a time.
private final class PullbackContext {
  private let count: Int
  private let pullback: (Tensor) throws -> [Tensor?]

  init(count: Int, pullback: @escaping (Tensor) throws -> [Tensor?]) {
    self.count = count
    self.pullback = pullback
  }

  func run(_ gradient: Tensor, into results: UnsafeMutablePointer<OpaquePointer?>) -> CTError? {
    do {
      let derivatives = try pullback(gradient)
      guard derivatives.count == count else {
        throw TorchError("a custom function of \(count) tensors gave \(derivatives.count) derivatives")
      }
      for (index, derivative) in derivatives.enumerated() {
        results[index] = derivative.map { $0.withHandle { ct_tensor_retain($0) } }
      }
      return nil
    } catch {
      return strdup("\(error)")
    }
  }
}

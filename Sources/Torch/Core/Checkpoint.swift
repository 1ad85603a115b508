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
  guard inputs.contains(where: \.requiresGrad) else { return try body(inputs) }
  let context = CheckpointContext(count: inputs.count, random: try .default(device: device), body: body)
  var result: OpaquePointer?
  let error = withExtendedLifetime(inputs) {
    ct_checkpoint(
      inputs.map(\.handle), Int64(inputs.count),
      { pointer, handles in
        guard let pointer, let handles else { return nil }
        let context = Unmanaged<CheckpointContext>.fromOpaque(pointer).takeUnretainedValue()
        return context.run(handles)
      }, { if let pointer = $0 { Unmanaged<CheckpointContext>.fromOpaque(pointer).release() } },
      Unmanaged.passRetained(context).toOpaque(), &result)
  }
  if let failure = context.failure {
    ct_free(error)
    throw failure
  }
  try check(error, "checkpoint")
  guard let result else { throw TorchError("a checkpoint gave no tensor") }
  return Tensor(owning: result)
}

/// What a checkpoint computes. The forward pass and the backward pass that follows it call it one after the other.
private final class CheckpointContext: @unchecked Sendable {
  private let count: Int
  private let random: Generator
  private let body: ([Tensor]) throws -> Tensor
  /// The random state of the first time.
  private var state: Tensor?
  private(set) var failure: (any Error)?

  init(count: Int, random: Generator, body: @escaping ([Tensor]) throws -> Tensor) {
    self.count = count
    self.random = random
    self.body = body
  }

  func run(_ handles: UnsafePointer<OpaquePointer?>) -> OpaquePointer? {
    do {
      let inputs = (0..<count).compactMap { handles[$0].map { Tensor(owning: ct_tensor_retain($0)) } }
      guard let first = state else {
        state = try random.state()
        return try body(inputs).withHandle { ct_tensor_retain($0) }
      }
      return try random.with(state: first) { try body(inputs) }.withHandle { ct_tensor_retain($0) }
    } catch {
      failure = error
      return nil
    }
  }
}

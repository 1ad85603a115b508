import CTorch

/// A source of random numbers with a state that can be saved.
public final class Generator: @unchecked Sendable {
  let handle: OpaquePointer

  private init(owning handle: OpaquePointer) { self.handle = handle }

  deinit { ct_generator_release(handle) }

  public convenience init(seed: UInt64, device: Device = .cpu) throws {
    var result: OpaquePointer?
    try check(
      ct_generator_create(seed, device.kind.rawValue, device.bridgeIndex, &result), "generator", ["\(device)"]
    )
    guard let result else { throw TorchError("LibTorch returned no generator for \(device)") }
    self.init(owning: result)
  }

  /// The generator that operators without one of their own (dropout) draw from.
  public static func `default`(device: Device = .cpu) throws -> Generator {
    var result: OpaquePointer?
    try check(
      ct_generator_default(device.kind.rawValue, device.bridgeIndex, &result), "generator", ["\(device)"])
    guard let result else { throw TorchError("LibTorch returned no generator for \(device)") }
    return Generator(owning: result)
  }

  /// The whole state as bytes, uint8 [n].
  public func state() throws -> Tensor {
    var result: OpaquePointer?
    try withExtendedLifetime(self) { try check(ct_generator_state(handle, &result), "get_state") }
    guard let result else { throw TorchError("LibTorch returned no generator state") }
    return Tensor(owning: result)
  }

  /// Continues exactly where the generator that gave `state` was.
  public func setState(_ state: Tensor) throws {
    try withExtendedLifetime((self, state)) {
      try check(ct_generator_set_state(handle, state.handle), "set_state", [state.summary])
    }
  }
}

/// Seeds the default generators of every device.
public func manualSeed(_ seed: UInt64) throws {
  try check(ct_manual_seed(seed), "manual_seed")
}

import CTorch

/// A source of random numbers with a state that can be saved.
public final class Generator: @unchecked Sendable {
  let handle: OpaquePointer

  private init(owning handle: OpaquePointer) { self.handle = handle }

  deinit { ct_generator_release(handle) }

  /// The same seed gives the same numbers, on one kind of device.
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

  /// Runs `body` from another state, and goes on from its own afterwards.
  func with<Result>(state other: Tensor, _ body: () throws -> Result) throws -> Result {
    let own = try state()
    try setState(other)
    let result = Swift.Result { try body() }
    try setState(own)
    return try result.get()
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

/// Runs `body`, in which operators without a generator of their own (dropout) draw on `device` as after `manualSeed`.
///
/// LibTorch has one default generator per device and process. Its state is put back afterwards, so that whoever shares the
/// process draws on as if `body` had not been; draws on other threads while `body` runs are among its own.
public func withSeed<Result>(_ seed: UInt64, on device: Device = .cpu, _ body: () throws -> Result) throws
  -> Result
{
  try Generator.default(device: device).with(state: Generator(seed: seed, device: device).state(), body)
}

/// Seeds the default generators of every device, for the whole process.
public func manualSeed(_ seed: UInt64) throws {
  try check(ct_manual_seed(seed), "manual_seed")
}

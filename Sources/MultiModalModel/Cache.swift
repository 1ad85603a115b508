import Torch

/// What a decoder keeps of a text between steps: keys and values of each layer's self-attention in buffers as
/// long as the text may become, and those of cross-attention, which never change.
public final class DecoderCache {
  /// The most positions that fit, those of an image that goes before the text included.
  public let capacity: Int
  /// Positions held.
  public private(set) var length = 0

  /// How many positions of an image go before the text; nil before the first step, and with cross-attention.
  var prefixLength: Int?
  var selfAttention: [KeysAndValues] = []  // buffers, [batch, heads, capacity, 64]
  var crossAttention: [KeysAndValues] = []
  /// int64 [batch or 1, length]; nil while they simply follow each other
  private(set) var positions: Tensor?
  /// bool [batch, length], true for a real token; nil when all are
  private(set) var padding: Tensor?

  public init(capacity: Int) { self.capacity = capacity }

  /// Where a step's keys and values of one layer go, behind those that are held.
  func place(
    for count: Int, layer: Int, batch: Int, heads: Int, dtype: DType, device: Device
  ) throws -> KeysAndValues {
    if layer == selfAttention.count {
      func buffer() throws -> Tensor {
        try Tensor(
          uninitialized: [batch, heads, capacity, Configuration.headDim], dtype: dtype, device: device)
      }
      selfAttention.append(KeysAndValues(keys: try buffer(), values: try buffer()))
    }
    return try selfAttention[layer].narrow(length, count)
  }

  /// All keys and values of one layer up to and with those of a step.
  func held(with count: Int, layer: Int) throws -> KeysAndValues {
    try selfAttention[layer].narrow(0, length + count)
  }

  /// The positions and padding of what is held and a step's own, together; nil while positions simply follow each other
  /// and nothing is padding.
  func extended(positions step: Tensor?, padding stepPadding: Tensor?, count: Int, device: Device) throws -> (
    positions: Tensor?, padding: Tensor?
  ) {
    if positions == nil, step == nil { return (nil, nil) }
    guard length > 0 else { return (step, stepPadding) }
    func counted(_ start: Int, _ count: Int) throws -> Tensor {
      try .arange(start, start + count, device: device).unsqueeze(0)
    }
    let before = try positions ?? counted(0, length)
    let now = try step ?? counted(length, count)
    let rows = max(before.shape[0], now.shape[0])
    func rowsOf(_ tensor: Tensor) throws -> Tensor { try tensor.expand([rows, tensor.shape[1]]) }
    let joined = try Tensor.cat([rowsOf(before), rowsOf(now)], dim: 1)
    guard padding != nil || stepPadding != nil else { return (joined, nil) }
    func real(_ padding: Tensor?, _ length: Int) throws -> Tensor {
      try padding ?? Tensor.ones([rows, length], dtype: .bool, device: device)
    }
    return (joined, try Tensor.cat([real(padding, length), real(stepPadding, count)], dim: 1))
  }

  /// Takes a step as done, after all its layers have been appended.
  func advance(by count: Int, positions: Tensor?, padding: Tensor?) {
    length += count
    self.positions = positions
    self.padding = padding
  }

  /// Keeps the given rows of the batch, in this order, some more than once: for beams. Buffers stay where they are
  /// while the number of rows does.
  /// - Parameters:
  ///   - rows: int64 [new rows]
  ///   - keepsContexts: each row's context stays the same, as when beams of one picture change places
  public func reorder(_ rows: Tensor, keepsContexts: Bool = false) throws {
    func pick(_ buffer: Tensor) throws -> Tensor {
      let held = try buffer.narrow(2, start: 0, length: length).indexSelect(0, rows)
      let shape = [held.shape[0]] + buffer.shape.dropFirst()
      let target =
        shape == buffer.shape
        ? buffer : try Tensor(uninitialized: shape, dtype: buffer.dtype, device: buffer.device)
      try target.narrow(2, start: 0, length: length).copy_(held)
      return target
    }
    selfAttention = try selfAttention.map {
      KeysAndValues(keys: try pick($0.keys), values: try pick($0.values))
    }
    if !keepsContexts {
      crossAttention = try crossAttention.map {
        KeysAndValues(keys: try $0.keys.indexSelect(0, rows), values: try $0.values.indexSelect(0, rows))
      }
    }
    if let positions, positions.shape[0] > 1 { self.positions = try positions.indexSelect(0, rows) }
    if let padding { self.padding = try padding.indexSelect(0, rows) }
  }
}

import Torch

/// What a decoder keeps of running texts: keys and values of each layer's self-attention, a slot per text, and those of
/// cross-attention, a slot per picture, which texts of the same picture share.
///
/// A text begins at the first column of its slot whatever others do, so decoding knows neither padding nor masks. Slots that
/// are left are used again, and buffers grow in steps, so memory follows the most and the longest texts there were at once.
final class DecoderCache {
  let texts: SlotBuffers
  let contexts: SlotBuffers

  /// As many of each as there will be at once, as far as that is known.
  init(texts: Int = 1, pictures: Int = 1) {
    self.texts = SlotBuffers(expected: texts)
    contexts = SlotBuffers(expected: pictures)
  }
}

/// Keys and values of every layer, [slots, heads, capacity, head width] each, and how many of each slot are held.
final class SlotBuffers {
  /// One per layer; none before the first `reserve`.
  private(set) var layers: [KeysAndValues] = []
  /// By slot; how many positions are held.
  private(set) var lengths: [Int] = []
  /// By slot; 0 where it is free.
  private var users: [Int] = []
  private var free: [Int] = []
  private(set) var capacity = 0
  /// How many slots the first buffers have; more are made as they are taken.
  private let expected: Int

  init(expected: Int) { self.expected = expected }

  var slots: Int { lengths.count }

  /// A slot that holds nothing, with one user.
  func take() -> Int {
    guard let slot = free.popLast() else {
      lengths.append(0)
      users.append(1)
      return lengths.count - 1
    }
    lengths[slot] = 0
    users[slot] = 1
    return slot
  }

  /// One user more.
  func share(_ slot: Int) { users[slot] += 1 }

  /// One user less; without any, the slot is free.
  func leave(_ slot: Int) {
    users[slot] -= 1
    guard users[slot] == 0 else { return }
    lengths[slot] = 0
    free.append(slot)
  }

  func advance(_ slot: Int, by count: Int) { lengths[slot] += count }

  /// Forgets what a slot holds.
  func clear(_ slot: Int) { lengths[slot] = 0 }

  /// Makes room in every slot that was taken.
  /// - Parameters:
  ///   - length: positions needed in the longest slot
  ///   - most: positions that are never exceeded
  ///   - layers: how many
  ///   - shape: of the first buffers: heads and their width
  func reserve(
    length: Int, most: Int, layers count: Int, shape: (heads: Int, width: Int), dtype: DType, device: Device
  ) throws {
    let first = layers.first?.keys
    let held = first?.shape[0] ?? 0
    guard length > capacity || slots > held else { return }
    let newSlots = slots > held ? max(slots, 2 * held, expected) : held
    let newCapacity =
      length > capacity ? min(max(most, length), max(length, 2 * capacity, 64)) : capacity
    let longest = lengths.max() ?? 0
    func grown(_ old: Tensor?) throws -> Tensor {
      let new = try Tensor(
        uninitialized: [newSlots, shape.heads, newCapacity, shape.width], dtype: dtype, device: device)
      guard let old, longest > 0 else { return new }
      func part(_ buffer: Tensor) throws -> Tensor {
        try buffer.narrow(0, start: 0, length: held).narrow(2, start: 0, length: min(longest, capacity))
      }
      try part(new).copy_(part(old))
      return new
    }
    layers = try (0..<count).map { layer in
      let old = layer < layers.count ? layers[layer] : nil
      return KeysAndValues(keys: try grown(old?.keys), values: try grown(old?.values))
    }
    capacity = newCapacity
  }

  /// Copies what the slots `sources` hold to the slots `targets`.
  func copy(_ sources: [Int], to targets: [Int]) throws {
    guard let first = layers.first?.keys, !sources.isEmpty else { return }
    try reserve(
      length: 0, most: capacity, layers: layers.count, shape: (first.shape[1], first.shape[3]),
      dtype: first.dtype, device: first.device)
    for (source, target) in zip(sources, targets) { lengths[target] = lengths[source] }
    let longest = sources.map { lengths[$0] }.max() ?? 0
    guard longest > 0 else { return }
    let from = try Tensor(sources).to(device: first.device)
    let to = try Tensor(targets).to(device: first.device)
    for layer in layers {
      for buffer in [layer.keys, layer.values] {
        let held = try buffer.narrow(2, start: 0, length: longest)
        try held.indexCopy_(0, to, held.indexSelect(0, from))
      }
    }
  }
}

/// The texts of one step as the decoder's layers see them.
struct SlotRows {
  struct Row {
    /// In self-attention its text's slot, in cross-attention its picture's.
    let slot: Int
    /// The row's first token among those of the step, and how many it has.
    let first: Int
    let count: Int
    /// Keys that the slot holds before the step.
    let held: Int
  }

  let rows: [Row]
  /// int64 [rows, 4] on the CPU, for the kernel
  let table: Tensor

  init(_ rows: [Row]) throws {
    self.rows = rows
    table = try Tensor(rows.flatMap { [$0.slot, $0.first, $0.count, $0.held] }, shape: [rows.count, 4])
  }
}

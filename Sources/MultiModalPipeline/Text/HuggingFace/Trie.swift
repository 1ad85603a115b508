/// Whole numbers by 64-bit keys, in one flat table. It grows as needed; nothing is taken out.
struct IntegerTable: Sendable {
  private struct Entry {
    var key = UInt64.max
    var value: Int32 = 0

    var isEmpty: Bool { key == .max }
  }

  // Key and value side by side, because nearly every look is a miss of the processor's cache.
  private var entries: [Entry]
  private(set) var count = 0

  /// Drawn for each process, so that no file can be made whose keys all fall into one place.
  static let multiplier = UInt64.random(in: .min ... .max) | 1

  init(capacity: Int = 8) {
    var size = 16
    while size < 2 * capacity { size *= 2 }
    entries = Array(repeating: Entry(), count: size)
  }

  /// Where a key lies, or is to be put.
  private func place(of key: UInt64) -> Int {
    let mask = entries.count - 1
    var place = Int(truncatingIfNeeded: (key &* Self.multiplier) >> 32) & mask
    while entries[place].key != key && !entries[place].isEmpty { place = (place + 1) & mask }
    return place
  }

  subscript(key: UInt64) -> Int32? {
    let entry = entries[place(of: key)]
    return entry.isEmpty ? nil : entry.value
  }

  mutating func set(_ key: UInt64, _ value: Int32) {
    if 2 * count >= entries.count { grow() }
    let place = place(of: key)
    if entries[place].isEmpty { count += 1 }
    entries[place] = Entry(key: key, value: value)
  }

  private mutating func grow() {
    var larger = IntegerTable(capacity: entries.count)
    for entry in entries where !entry.isEmpty { larger.set(entry.key, entry.value) }
    self = larger
  }
}

/// Texts by their Unicode scalars, each with a number. `String` would hold canonically equivalent ones for one.
struct Trie: Sendable {
  private var edges: IntegerTable
  private var values: [Int32] = [-1]

  static let root: Int32 = 0

  init(capacity: Int = 8) { edges = IntegerTable(capacity: capacity) }

  private static func key(_ node: Int32, _ scalar: Unicode.Scalar) -> UInt64 {
    UInt64(UInt32(bitPattern: node)) << 32 | UInt64(scalar.value)
  }

  /// The node a scalar leads to.
  func child(of node: Int32, _ scalar: Unicode.Scalar) -> Int32? { edges[Self.key(node, scalar)] }

  /// The number of the text that ends at a node.
  func value(at node: Int32) -> Int? {
    let value = values[Int(node)]
    return value < 0 ? nil : Int(value)
  }

  /// The node a text leads to.
  func node(_ text: some Sequence<Unicode.Scalar>, from start: Int32 = root) -> Int32? {
    var node = start
    for scalar in text {
      guard let next = child(of: node, scalar) else { return nil }
      node = next
    }
    return node
  }

  mutating func insert(_ text: some Sequence<Unicode.Scalar>, _ value: Int) {
    var node = Self.root
    for scalar in text {
      if let next = child(of: node, scalar) {
        node = next
      } else {
        let next = Int32(values.count)
        edges.set(Self.key(node, scalar), next)
        values.append(-1)
        node = next
      }
    }
    values[Int(node)] = Int32(value)
  }

  /// The longest text that begins at an index.
  /// - Returns: where it ends, and its number
  func longest(in text: [Unicode.Scalar], at start: Int, from root: Int32 = root) -> (end: Int, value: Int)? {
    var found: (end: Int, value: Int)?
    var node = root
    var end = start
    while end < text.count, let next = child(of: node, text[end]) {
      node = next
      end += 1
      if let value = value(at: node) { found = (end, value) }
    }
    return found
  }
}

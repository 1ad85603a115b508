import Torch

/// Some elements of many, each as likely as any other (Vitter's algorithm R).
struct Reservoir<Element: Sendable>: Sendable {
  private(set) var elements: [Element] = []
  private let count: Int
  private var seen = 0
  private var generator: SplitMix64

  /// Whether it holds all elements there were.
  var isWhole: Bool { seen == elements.count }

  init(count: Int, seed: UInt64) {
    self.count = count
    generator = SplitMix64(seed: seed)
  }

  mutating func add(_ element: Element) {
    seen += 1
    if elements.count < count {
      elements.append(element)
    } else {
      let place = Int.random(in: 0..<seen, using: &generator)
      if place < count { elements[place] = element }
    }
  }
}

/// Makes the next element of a sequence on another thread while the current one is used, and none beyond the last.
struct Prefetcher<Element: Sendable> {
  private let make: @Sendable (Int) throws -> Element
  private var remaining: Range<Int>
  private var pending: Task<Element, any Error>?

  /// - Parameter make: gives the element of an index
  init(_ indices: Range<Int>, make: @escaping @Sendable (Int) throws -> Element) {
    self.make = make
    remaining = indices
    begin()
  }

  private mutating func begin() {
    pending = remaining.popFirst().map { [make] index in Task.detached { try make(index) } }
  }

  /// The elements in order; nil after the last.
  mutating func next() async throws -> Element? {
    guard let element = try await pending?.value else { return nil }
    begin()
    return element
  }

  /// Waits for what is being made and makes no more. A program must not exit before: what it takes down would still be
  /// in use.
  mutating func finish() async {
    remaining = 0..<0
    _ = await pending?.result
    pending = nil
  }
}

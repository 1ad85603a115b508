/// Makes the next elements of a sequence on other threads while the current one is used, and none beyond the last.
struct Prefetcher<Element: Sendable> {
  private let make: @Sendable (Int) throws -> Element
  private var remaining: Range<Int>
  private var pending: [Task<Element, any Error>] = []

  /// - Parameters:
  ///   - ahead: how many are made at once
  ///   - make: gives the element of an index; called from several threads
  init(_ indices: Range<Int>, ahead: Int = 4, make: @escaping @Sendable (Int) throws -> Element) {
    self.make = make
    remaining = indices
    for _ in 0..<ahead { begin() }
  }

  private mutating func begin() {
    guard let index = remaining.popFirst() else { return }
    pending.append(Task.detached { [make] in try make(index) })
  }

  /// The elements in order; nil after the last.
  mutating func next() async throws -> Element? {
    guard !pending.isEmpty else { return nil }
    let element = try await pending.removeFirst().value
    begin()
    return element
  }

  /// Waits for what is being made and makes no more. A program must not exit before: what it takes down would still be
  /// in use.
  mutating func finish() async {
    remaining = 0..<0
    for task in pending { _ = await task.result }
    pending = []
  }
}

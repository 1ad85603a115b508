/// Makes the next elements of a sequence on other threads while the current one is used, and none beyond the last.
///
/// An element is made in two parts: plans are made one after the other, in order, and elements of their plans at once.
struct Prefetcher<Element: Sendable> {
  /// An element that is being made.
  private struct Making: Sendable {
    let planned: Task<Void, any Error>
    let stopPlanning: @Sendable () -> Void
    let element: Task<Element, any Error>
  }

  private let begin: @Sendable (_ index: Int, _ before: Task<Void, any Error>?) -> Making
  private var remaining: Range<Int>
  private var last: Task<Void, any Error>?
  private var pending: [Making] = []

  /// - Parameters:
  ///   - ahead: how many are made at once
  ///   - plan: what an index's element is made of; its task is cancelled when nobody waits for it any more
  ///   - make: gives the element of an index and its plan; called from several threads
  init<Plan: Sendable>(
    _ indices: Range<Int>, ahead: Int = 4, plan: @escaping @Sendable (Int) async throws -> Plan,
    make: @escaping @Sendable (Int, Plan) throws -> Element
  ) {
    begin = { index, before in
      let planning = Task.detached {
        // None after one that failed: it could take long to fail too.
        try await before?.value
        return try await plan(index)
      }
      return Making(
        planned: Task.detached { _ = try await planning.value }, stopPlanning: { planning.cancel() },
        element: Task.detached { try make(index, await planning.value) })
    }
    remaining = indices
    for _ in 0..<ahead { start() }
  }

  private mutating func start() {
    guard let index = remaining.popFirst() else { return }
    let making = begin(index, last)
    last = making.planned
    pending.append(making)
  }

  /// The elements in order; nil after the last.
  /// - Throws: the element's error; where the task was cancelled and its plan heeds that, `CancellationError`
  mutating func next() async throws -> Element? {
    guard !pending.isEmpty else { return nil }
    let making = pending.removeFirst()
    let element = try await withTaskCancellationHandler {
      try await making.element.value
    } onCancel: {
      making.stopPlanning()
    }
    start()
    return element
  }

  /// Calls `body` with the elements in order. Where one cannot be made, or `body` throws, nothing is being made afterwards.
  mutating func forEach(_ body: (Element) async throws -> Void) async throws {
    do {
      while let element = try await next() { try await body(element) }
    } catch {
      await finish()
      throw error
    }
  }

  /// Waits for what is being made and makes no more. A program must not exit before: what it takes down would still be
  /// in use.
  mutating func finish() async {
    remaining = 0..<0
    for making in pending { making.stopPlanning() }
    for making in pending { _ = await making.element.result }
    pending = []
  }
}

import Synchronization

/// Cancels what takes too long. One task looks at all deadlines, because a task that sleeps keeps its memory until the time it
/// was to wake, even where it was cancelled long before.
final class TimeLimit: Sendable {
  private struct Entry {
    let deadline: ContinuousClock.Instant
    let cancel: @Sendable () -> Void
    var isOver = false
  }

  private struct State {
    var entries: [Int: Entry] = [:]
    var nextID = 0
    var isWatching = false
  }

  private let state = Mutex(State())
  private let duration: Duration
  private static let precision = Duration.milliseconds(50)

  init(seconds: Double) { duration = .seconds(seconds) }

  /// - Throws: `APIError.timeout` where the body took longer and was cancelled, else what it throws.
  func run<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) async throws -> Result {
    let work = Task { try await body() }
    let id = add { work.cancel() }
    let result = await withTaskCancellationHandler {
      await work.result
    } onCancel: {
      work.cancel()
    }
    if remove(id) { throw APIError.timeout }
    return try result.get()
  }

  private func add(_ cancel: @escaping @Sendable () -> Void) -> Int {
    let (id, begins) = state.withLock { state in
      state.nextID += 1
      state.entries[state.nextID] = Entry(deadline: .now + duration, cancel: cancel)
      defer { state.isWatching = true }
      return (state.nextID, !state.isWatching)
    }
    if begins { Task { await watch() } }
    return id
  }

  /// - Returns: whether its time was over
  private func remove(_ id: Int) -> Bool {
    state.withLock { $0.entries.removeValue(forKey: id)?.isOver ?? false }
  }

  private func watch() async {
    while true {
      try? await Task.sleep(for: Self.precision)
      let over = state.withLock { state -> [Entry]? in
        guard !state.entries.isEmpty else {
          state.isWatching = false
          return nil
        }
        let now = ContinuousClock.now
        return state.entries.keys.compactMap { id in
          guard let entry = state.entries[id], !entry.isOver, entry.deadline < now else { return nil }
          state.entries[id]?.isOver = true
          return entry
        }
      }
      guard let over else { return }
      for entry in over { entry.cancel() }
    }
  }
}

import Synchronization

/// Lets so many texts run at once and so many requests wait for that, in the order in which they came.
final class AdmissionQueue: Sendable {
  /// Leave to run, given back when nobody holds it any more.
  final class Slot: Sendable {
    private let queue: AdmissionQueue
    private let texts: Int

    fileprivate init(_ queue: AdmissionQueue, _ texts: Int) {
      self.queue = queue
      self.texts = texts
    }

    deinit { queue.leave(texts) }
  }

  private struct Waiter {
    let id: Int
    let texts: Int
    let continuation: CheckedContinuation<Slot, any Error>
  }

  private struct State {
    var running = 0
    var waiting: [Waiter] = []
    var nextID = 0
    /// Whoever was cancelled before it began to wait.
    var cancelled: Set<Int> = []
  }

  private let state = Mutex(State())
  private let most: Int
  private let mostWaiting: Int

  /// - Parameters:
  ///   - most: texts that run
  ///   - waiting: requests that wait
  init(most: Int, waiting: Int) {
    self.most = most
    mostWaiting = waiting
  }

  /// How many texts run, and how many requests wait.
  var load: (running: Int, waiting: Int) { state.withLock { ($0.running, $0.waiting.count) } }

  /// - Throws: `APIError.overloaded` where too many wait, `CancellationError`.
  func enter(texts: Int) async throws -> Slot {
    let texts = min(texts, most)
    let id = state.withLock { state in
      state.nextID += 1
      return state.nextID
    }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let answer = state.withLock { state -> Result<Slot, any Error>? in
          if state.cancelled.remove(id) != nil { return .failure(CancellationError()) }
          if state.waiting.isEmpty, state.running + texts <= most {
            state.running += texts
            return .success(Slot(self, texts))
          }
          guard state.waiting.count < mostWaiting else { return .failure(APIError.overloaded) }
          state.waiting.append(Waiter(id: id, texts: texts, continuation: continuation))
          return nil
        }
        if let answer { continuation.resume(with: answer) }
      }
    } onCancel: {
      cancel(id)
    }
  }

  private func cancel(_ id: Int) {
    let waiter = state.withLock { state -> Waiter? in
      guard let index = state.waiting.firstIndex(where: { $0.id == id }) else {
        state.cancelled.insert(id)
        return nil
      }
      return state.waiting.remove(at: index)
    }
    waiter?.continuation.resume(throwing: CancellationError())
    // Whoever waited behind it may need less.
    leave(0)
  }

  private func leave(_ texts: Int) {
    let next = state.withLock { state -> [Waiter] in
      state.running -= texts
      var next: [Waiter] = []
      while let first = state.waiting.first, state.running + first.texts <= most {
        state.running += first.texts
        next.append(state.waiting.removeFirst())
      }
      return next
    }
    for waiter in next { waiter.continuation.resume(returning: Slot(self, waiter.texts)) }
  }
}

import CTorch

/// A collective operation under way.
public final class Work: @unchecked Sendable {
  private let handle: OpaquePointer
  private let operation: String
  private let group: ProcessGroup

  init(owning handle: OpaquePointer, _ operation: String, _ group: ProcessGroup) {
    self.handle = handle
    self.operation = operation
    self.group = group
  }

  deinit { ct_work_release(handle) }

  /// Blocks this thread until the result is in the operation's tensors; on a GPU, until what follows sees it.
  /// - Throws: `LostProcessError` when another process ended, or did not come within the group's time-out or, on the CPU, within
  ///   seconds after the task was cancelled
  public func wait() throws {
    try withExtendedLifetime(self) {
      try group.explainingLostPeers(operation) { try check(ct_work_wait(handle) { Task.isCancelled }) }
    }
  }
}

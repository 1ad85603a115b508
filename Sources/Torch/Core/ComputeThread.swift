import Foundation
import Synchronization

/// A thread of its own for tasks that compute with tensors.
///
/// LibTorch's operators share their work with OpenMP threads that belong to the thread that calls them. A task that moves
/// between the threads of Swift's pool would own several such teams, which then take the cores from each other.
///
///     try await Task(executorPreference: ComputeThread.shared) { ... }.value
public final class ComputeThread: TaskExecutor, SerialExecutor {
  /// The one that captioners compute on.
  public static let shared = ComputeThread()

  private let jobs = Mutex<[UnownedJob]>([])
  private let ready = DispatchSemaphore(value: 0)

  /// A thread that waits for tasks.
  public init() {
    let thread = Thread { [self] in
      while true {
        ready.wait()
        let job = jobs.withLock { $0.removeFirst() }
        LibTorch.adoptThreads()
        job.runSynchronously(
          isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor())
      }
    }
    thread.name = "compute"
    thread.stackSize = 8 << 20
    thread.start()
  }

  /// Runs a job behind those that wait.
  public func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    jobs.withLock { $0.append(job) }
    ready.signal()
  }

  /// For `Actor.unownedExecutor`.
  public func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

  /// For `Task(executorPreference:)`.
  public func asUnownedTaskExecutor() -> UnownedTaskExecutor { UnownedTaskExecutor(ordinary: self) }
}

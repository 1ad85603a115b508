import CTorch
import Synchronization

/// The LibTorch that this process runs on.
public enum LibTorch {
  /// Such as `2.15.0`.
  public static var version: String { String(cString: ct_version()) }

  /// How it was built and what its parallel back ends are, in LibTorch's own words.
  public static var configuration: String {
    guard let text = ct_configuration() else { return "" }
    defer { ct_free(text) }
    return String(cString: text)
  }

  /// The instructions that the packed layers compute with on this CPU, such as "AVX2". At most what LibTorch's own variable
  /// ATEN_CPU_CAPABILITY allows: default, avx2 or avx512.
  public static var instructionSet: String { String(cString: ct_instruction_set()) }

  /// Makes the packed layers compute with other instructions than the best, to test those too; what was packed before may not
  /// fit any more.
  /// - Returns: whether this CPU has them
  package static func use(instructionSet: String) -> Bool { ct_use_instruction_set(instructionSet) }

  /// Whether this CPU multiplies bfloat16. Where it does not, LibTorch's products of it take many times as long as those of
  /// float32 (measured: a training step of a minute instead of two seconds).
  public static var multipliesBFloat16: Bool { ct_multiplies_bfloat16() }

  /// Threads that one operator may use, where it is called on this thread.
  public static var threads: Int { Int(ct_threads()) }

  /// What `setThreads` was given last; 0 before.
  private static let chosenThreads = Atomic(0)

  /// Sets `threads` for this thread, for those that have not computed yet, and for each `ComputeThread` from its next job
  /// on. Other threads that have computed already keep the number they began with, as LibTorch has it.
  public static func setThreads(_ count: Int) throws {
    guard (1...1024).contains(count) else {
      throw TorchError("threads must be from 1 to 1024, got \(count)")
    }
    try check(ct_set_threads(Int32(count)), "set_num_threads")
    chosenThreads.store(count, ordering: .relaxed)
  }

  /// Takes on what `setThreads` was given on another thread, on this one.
  static func adoptThreads() {
    let count = chosenThreads.load(ordering: .relaxed)
    guard count > 0, count != threads else { return }
    // The number was allowed there.
    ct_free(ct_set_threads(Int32(count)))
  }

  /// Whether threads that wait for the others of an operator spin before they sleep. They do on an idle machine, and stop for
  /// as long as this process' threads have to wait for a CPU, because other programs use it too. The variables
  /// OMP_WAIT_POLICY and GOMP_SPINCOUNT decide instead where they are set.
  package static var waitingThreadsSpin: Bool { ct_waiting_threads_spin() }

  private static let allowsAllocatorTuning = Atomic(false)

  /// Whether what makes and drops large tensors once, as `GPT4MultiModal.prepareForInference` does, may set how the C
  /// library's allocator keeps freed memory (glibc's `mallopt`), which lowers the peak. That concerns the whole process and
  /// stays so, so it is the program's to allow, once at its start; not allowed at first.
  public static var tunesAllocator: Bool {
    get { allowsAllocatorTuning.load(ordering: .relaxed) }
    set { allowsAllocatorTuning.store(newValue, ordering: .relaxed) }
  }

  /// Has the threads that are not there yet share two of the C library's pools of memory (glibc's arenas; elsewhere nothing). By
  /// default there are eight for each CPU, and with `tunesAllocator` each keeps up to 64 MB of what was freed, so that a process
  /// that serves for weeks grows to a multiple of what it uses. That concerns the whole process, so it is the program's to say,
  /// at its start.
  public static func shareMemoryPools() { ct_limit_arenas(2) }

  /// Gives back to the system what the C library keeps of freed memory now (glibc's `malloc_trim`; elsewhere nothing), which
  /// takes milliseconds.
  public static func giveBackFreeMemory() { ct_trim_memory() }

  /// Runs `body`, which makes and drops large tensors once, without keeping their memory for later ones: with
  /// `tunesAllocator`, where the C library is glibc, they come from the system directly and return to it.
  package static func withoutKeepingMemory<Result>(_ body: () throws -> Result) rethrows -> Result {
    guard tunesAllocator else { return try body() }
    ct_keep_memory(false)
    defer { ct_keep_memory(true) }
    return try body()
  }
}

/// As long as one of these is there, the memory of large tensors on the CPU is kept when they are freed, for the next ones of
/// about their size: what training wants, whose steps make and drop the same results again and again. What is used and kept is
/// together at most twice what was used at once.
package final class KeptTensorMemory: Sendable {
  package init() { ct_keep_tensor_memory() }
  deinit { ct_stop_keeping_tensor_memory() }
}

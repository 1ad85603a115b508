import CTorch

/// Sums gradients over the processes of a group, while the backward pass still computes the rest.
///
///     reducer.isEnabled = isLastMicroBatch
///     try loss.backward()
///     try reducer.finish()  // after the last one
///
/// Gradients are sent in buckets, in the parameters' reverse order and the same order in every process. All processes
/// have the same parameters; one without a gradient counts as zeros and has one afterwards, unless no process has one.
/// Parameters must not be replaced while a reducer holds them.
public final class GradientReducer {
  /// Whether a backward pass sends what is ready; off while gradients of several micro-batches add up. `finish` sends
  /// what is left in any case.
  public var isEnabled = true {
    didSet { ct_gradient_reducer_set_enabled(handle, isEnabled) }
  }

  private let handle: OpaquePointer
  private let group: ProcessGroup

  /// - Parameters:
  ///   - parameters: those that are trained; what needs no gradient is left out
  ///   - bucketMegabytes: of 2²⁰ bytes; the first bucket is at most 1 of them, so that sending begins early
  /// - Throws: `TorchError` when no parameter needs a gradient.
  public init(parameters: [Parameter], group: ProcessGroup, bucketMegabytes: Double = 25) throws {
    guard bucketMegabytes > 0, bucketMegabytes <= 65536 else {
      throw TorchError("buckets of \(bucketMegabytes) MB: more than 0 and at most 65536 are allowed")
    }
    let tensors = parameters.map(\.value).filter(\.requiresGrad)
    let bytes = Int64((bucketMegabytes * 1_048_576).rounded(.up))
    var result: OpaquePointer?
    try withExtendedLifetime(tensors) {
      try check(
        ct_gradient_reducer_create(
          group.handle, tensors.map(\.handle), Int64(tensors.count), min(bytes, 1 << 20), bytes, &result),
        "gradient_reducer", ["\(tensors.count) parameters"])
    }
    guard let result else { throw TorchError("LibTorch returned no gradient reducer") }
    handle = result
    self.group = group
  }

  deinit { ct_gradient_reducer_release(handle) }

  /// Sends what is left, waits for the other processes, and puts the sums in the gradients' place.
  /// - Throws: `LostProcessError` when another process ended, or did not come within the group's time-out.
  public func finish() throws {
    try group.explainingLostPeers("the gradients' all_reduce") {
      try check(ct_gradient_reducer_finish(handle) { Task.isCancelled })
    }
  }

  /// How many buckets the gradients are sent in.
  public var bucketCount: Int { Int(ct_gradient_reducer_bucket_count(handle)) }

  /// Bytes that this process gave to be summed in the last step.
  public var bytesPerStep: Int { Int(statistics.bytes) }

  /// Buckets of the last step that were sent while its backward pass still ran.
  public var bucketsSentEarly: Int { Int(statistics.early) }

  /// Buckets of the last step that were sent twice, since a gradient changed after the first time.
  public var bucketsSentAgain: Int { Int(statistics.again) }

  private var statistics: (bytes: Int64, early: Int64, again: Int64) {
    var (bytes, early, again): (Int64, Int64, Int64) = (0, 0, 0)
    ct_gradient_reducer_statistics(handle, &bytes, &early, &again)
    return (bytes, early, again)
  }
}

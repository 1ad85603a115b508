import CTorch
import Foundation

/// Several processes that compute together: over Gloo on the CPU, over NCCL on NVIDIA's GPUs.
///
/// Every process calls the same operations in the same order. Each blocks its thread until it is done, or throws within
/// the time-out.
public final class ProcessGroup: @unchecked Sendable {
  /// How what processes give becomes one.
  public enum Reduction: Sendable {
    /// The sum, the largest or the smallest.
    case sum, max, min

    fileprivate var bridged: CTReduction {
      switch self {
      case .sum: CT_SUM
      case .max: CT_MAXIMUM
      case .min: CT_MINIMUM
      }
    }
  }

  /// 0 ..< size
  public let rank: Int
  /// How many processes there are.
  public let size: Int
  /// The place among the processes of this machine.
  public let localRank: Int
  /// How long an operation may take.
  public let timeout: Duration
  /// Where the tensors of its operations lie.
  public let device: Device
  /// The bridge starts one operation at a time, hence the unchecked conformance.
  let handle: OpaquePointer

  /// Waits for all processes.
  /// - Throws: `TorchError` when one does not come within the time-out, or this build cannot reach others.
  public init(
    _ configuration: ProcessGroupConfiguration, device: Device = .cpu, timeout: Duration = .seconds(600)
  ) throws {
    let (rank, size, place) = (
      configuration.rank, configuration.size, "\(configuration.address):\(configuration.port)"
    )
    let milliseconds = (timeout / .milliseconds(1)).rounded()
    guard milliseconds > 0, milliseconds <= Double(Int32.max) else {
      throw TorchError("a time-out of \(timeout): more than none and less than 24 days is needed")
    }
    guard ct_process_group_available(device.kind.rawValue) else { throw ProcessGroup.unavailable(on: device) }
    var result: OpaquePointer?
    do {
      try check(
        ct_process_group_create(
          configuration.address, Int32(configuration.port), configuration.servesStore,
          "gpt4mm/\(configuration.attempt)", Int32(rank), Int32(size), Int64(milliseconds),
          device.kind.rawValue,
          device.bridgeIndex, &result))
    } catch let error as TorchError {
      if error.message.contains("EADDRINUSE") {
        throw TorchError(
          "port \(configuration.port) of this machine is taken by another program: set MASTER_PORT to a free one (LibTorch: \(error.message.sentence))"
        )
      }
      throw TorchError(
        "rank \(rank) waited up to \(timeout.inWords) for \(size) processes to meet at \(place), in vain: start all of them with the same address and port, and see that rank 0's machine can be reached there (LibTorch: \(error.message.sentence))"
      )
    }
    guard let result else { throw TorchError("LibTorch returned no process group") }
    handle = result
    self.rank = rank
    self.size = size
    localRank = configuration.localRank
    self.timeout = timeout
    self.device = device
  }

  deinit { ct_process_group_release(handle) }

  private static func unavailable(on device: Device) -> TorchError {
    switch device.kind {
    case .cpu:
      TorchError(
        "this build cannot train in several processes on the CPU, as Gloo's headers were missing: install them (Debian: apt-get install libgloo-dev), then build again"
      )
    case .cuda:
      TorchError(
        "this build cannot train in several processes on GPUs, as NCCL's and CUDA's headers were missing: install them, then build again"
      )
    default: TorchError("several processes train together on cpu or cuda only, not on \(device)")
    }
  }

  // MARK: Tensors

  /// Puts rank `root`'s elements in every process's tensor.
  /// - Parameter tensor: contiguous, of one shape and dtype in all processes
  public func broadcast_(_ tensor: Tensor, from root: Int) throws {
    guard (0..<size).contains(root) else {
      throw TorchError(
        "there is no rank \(root) to broadcast from: the group has \(size) processes, counted from 0")
    }
    try start("broadcast", tensor) { ct_process_group_broadcast(handle, $0, Int32(root), &$1) }.wait()
  }

  /// Puts the processes' sum, maximum or minimum in every process's tensor.
  /// - Parameter tensor: contiguous, of one shape and dtype in all processes
  public func allReduce_(_ tensor: Tensor, _ reduction: Reduction = .sum) throws {
    try allReduceStarted_(tensor, reduction).wait()
  }

  /// The same without waiting. Until `wait()` has returned, `tensor` must be neither read nor written.
  public func allReduceStarted_(_ tensor: Tensor, _ reduction: Reduction = .sum) throws -> Work {
    try start("all_reduce", tensor) { ct_process_group_all_reduce(handle, $0, reduction.bridged, &$1) }
  }

  /// Every process's tensor, by rank.
  /// - Parameter tensor: of one shape and dtype in all processes
  public func allGather(_ tensor: Tensor) throws -> [Tensor] {
    let input = try tensor.detach().contiguous()
    let outputs = try (0..<size).map { _ in
      try Tensor(uninitialized: input.shape, dtype: input.dtype, device: input.device)
    }
    try withExtendedLifetime(outputs) {
      try start("all_gather", input) { ct_process_group_all_gather(handle, $0, outputs.map(\.handle), &$1) }
        .wait()
    }
    return outputs
  }

  /// Returns when every process has come here.
  public func barrier() throws {
    try start("barrier") { ct_process_group_barrier(handle, &$0) }.wait()
  }

  // MARK: Bytes

  /// Rank `root`'s bytes, in every process.
  /// - Parameter bytes: needed by rank `root`, ignored elsewhere
  public func broadcast(bytes: Data?, from root: Int) throws -> Data {
    if rank == root, bytes == nil { throw TorchError("rank \(root) has no bytes to broadcast") }
    let own = rank == root ? bytes ?? Data() : Data()
    let count = try Tensor([own.count]).to(device: device)
    try broadcast_(count, from: root)
    let length = try count.item(Int.self)
    guard length > 0 else { return Data() }
    let content = try tensor(of: own, length: length)
    try broadcast_(content, from: root)
    return try content.withUnsafeBytes { Data($0) }
  }

  /// Every process's bytes, by rank; they may differ in length.
  public func allGather(bytes: Data) throws -> [Data] {
    let lengths = try allGather(Tensor([bytes.count]).to(device: device)).map { try $0.item(Int.self) }
    guard let longest = lengths.max(), longest > 0 else { return lengths.map { _ in Data() } }
    let padded = try allGather(tensor(of: bytes, length: longest))
    return try zip(padded, lengths).map { tensor, length in
      try tensor.withUnsafeBytes { Data($0.prefix(length)) }
    }
  }

  /// uint8 [length], padded with zeros
  private func tensor(of bytes: Data, length: Int) throws -> Tensor {
    let padded = bytes.prefix(length) + Data(count: Swift.max(0, length - bytes.count))
    return try Tensor([UInt8](padded)).to(device: device)
  }

  // MARK: Errors

  private func start(
    _ name: String, _ tensor: Tensor, _ body: (OpaquePointer, inout OpaquePointer?) -> CTError?
  )
    throws -> Work
  {
    try tensor.withHandle { handle in try start(name, [tensor.summary]) { body(handle, &$0) } }
  }

  private func start(
    _ name: String, _ arguments: @autoclosure () -> [String] = [], _ body: (inout OpaquePointer?) -> CTError?
  ) throws -> Work {
    var work: OpaquePointer?
    try check(body(&work), name, arguments())
    guard let work else { throw TorchError("LibTorch returned no work", operatorName: name) }
    return Work(owning: work, name, self)
  }

  /// What fails while an operation runs is another process that is gone, late or doing something else.
  func explainingLostPeers<Result>(_ operation: String, _ body: () throws -> Result) throws -> Result {
    let start = ContinuousClock.now
    do {
      return try body()
    } catch let error as TorchError {
      let waited = ContinuousClock.now - start
      throw LostProcessError(
        "rank \(rank) waited \(waited.inWords) for the other processes in \(operation): one of them ended, hangs or does something else; look at their output, then start all again (LibTorch: \(error.message.sentence))"
      )
    }
  }
}

/// Another process of a group ended, hangs or does something else, so that what all do together came to nothing.
public struct LostProcessError: SentenceError {
  /// One sentence, for people.
  public let description: String

  init(_ description: String) { self.description = description }
}

extension Duration {
  /// `0.4 s`, `30 s`
  fileprivate var inWords: String {
    let seconds = self / .seconds(1)
    return seconds < 10 ? "\((seconds * 10).rounded() / 10) s" : "\(Int(seconds.rounded())) s"
  }
}

extension String {
  /// LibTorch's message without places in its source, backtraces and advice.
  fileprivate var sentence: String {
    var line = Substring(split(whereSeparator: \.isNewline).first ?? self[...])
    if line.hasPrefix("["), let end = line.firstRange(of: "] ") { line = line[end.upperBound...] }
    if let advice = line.firstRange(of: ". This is typically") { line = line[..<advice.lowerBound] }
    return String(line)
  }
}

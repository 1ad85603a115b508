import Foundation
import MultiModalPipeline
import Torch

/// The times of one piece of work, and what the machine could do at best.
public struct BenchmarkResult: Sendable, Codable {
  /// What was timed.
  public let work: Workload.Kind
  /// What it computed in.
  public let precision: Precision
  /// Pictures at a time.
  public let batch: Int
  /// Tokens of a text.
  public let textLength: Int
  /// LibTorch's.
  public let threads: Int
  /// How often it was timed.
  public let runs: Int
  /// The shortest run.
  public let minSeconds: Double
  /// Half of the runs took longer.
  public let medianSeconds: Double
  /// Floating-point operations of one run.
  public let flops: Double
  /// Bytes of the weights that a run reads.
  public let weightBytes: Int
  /// The largest memory that the process took until then.
  public let peakMemoryBytes: Int?
  /// What the machine's limits allow: arithmetic, or for `decode` reading the weights, whichever takes longer.
  public private(set) var limitSeconds: Double?

  /// Times the work so many times after a warm-up.
  public static func measure(
    _ work: Workload.Kind, _ setting: Setting, folder: ModelFolder, runs: Int, device: Device
  ) throws -> BenchmarkResult {
    let workload = try Workload(work, setting, folder: folder, device: device)
    let times = try workload.times(runs: runs, warmUp: 2).sorted()
    return BenchmarkResult(
      work: work, precision: setting.precision, batch: setting.batch, textLength: workload.textLength,
      threads: LibTorch.threads, runs: runs, minSeconds: times[0], medianSeconds: times[times.count / 2],
      flops: workload.flops, weightBytes: workload.weightBytes, peakMemoryBytes: ProcessMemory.peakBytes)
  }

  /// The result beside what a machine can do.
  public func compared(with limits: MachineLimits) -> BenchmarkResult {
    let rate = limits.matmulGigaflops[precision.matmul.rawValue] ?? .infinity
    let arithmetic = flops / (rate * 1e9)
    let reading = Double(weightBytes) / (limits.memoryReadGigabytesPerSecond * 1e9)
    var result = self
    result.limitSeconds = work == .decode ? max(arithmetic, reading) : arithmetic
    return result
  }

  /// The heads of the columns of `line`.
  public static let heads = "work      precision               best       median  of limit"

  /// A row of a table.
  public var line: String {
    func padded(_ text: String, _ width: Int) -> String {
      text + String(repeating: " ", count: max(0, width - text.count))
    }
    let share = limitSeconds.map { String(format: "%8.0f %%", 100 * $0 / minSeconds) } ?? ""
    return padded(work.rawValue, 10) + padded(precision.rawValue, 17)
      + String(format: "%9.3f ms %9.3f ms", 1e3 * minSeconds, 1e3 * medianSeconds) + share
  }
}

extension Workload {
  /// What implementations are compared by: one run's result, or the losses of the first five training steps.
  public func firstResults() throws -> [String: Tensor] {
    try prepareRun()
    guard work == .train else { return try run() }
    let losses = try (0..<5).compactMap { _ in try run()["losses"] }
    return ["losses": try .cat(losses)]
  }

  /// Whether training can compute in a precision.
  public static func trains(in precision: Precision) -> Bool { precision.quantization == nil }

  /// Seconds of each run.
  public func times(runs: Int, warmUp: Int = 0) throws -> [Double] {
    try (0..<warmUp + runs).map { _ in
      try prepareRun()
      return try Stopwatch.seconds { try run() }
    }.suffix(runs)
  }
}

extension Precision {
  /// The kind of matrix product it computes.
  var matmul: Precision {
    switch self {
    case .float32, .bfloat16, .int8: self
    case .int8WeightOnly, .int4WeightOnly: .float32
    }
  }
}

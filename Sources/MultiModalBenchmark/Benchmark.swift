import Foundation
import MultiModalPipeline
import Torch

/// The times of one piece of work, and what the machine could do at best.
public struct BenchmarkResult: Sendable, Codable {
  public let work: Work
  public let precision: Precision
  public let batch: Int
  public let textLength: Int
  public let threads: Int
  public let runs: Int
  public let minSeconds: Double
  public let medianSeconds: Double
  public let flops: Double
  public let weightBytes: Int
  /// What the machine's limits allow: arithmetic, or for `decode` reading the weights, whichever takes longer.
  public let limitSeconds: Double?
  public let peakMemoryBytes: Int?

  /// Times the work so many times after a warm-up.
  public static func measure(
    _ work: Work, _ setting: Setting, folder: ModelFolder, runs: Int, limits: MachineLimits?, device: Device
  ) throws -> BenchmarkResult {
    let workload = try Workload(work, setting, folder: folder, device: device)
    let times = try workload.times(runs: runs, warmUp: 2).sorted()
    let limit = limits.map { limits in
      let rate = limits.matmulGigaflops[setting.precision.matmul.rawValue] ?? .infinity
      let arithmetic = workload.flops / (rate * 1e9)
      guard work == .decode else { return arithmetic }
      return max(
        arithmetic, Double(workload.weightBytes) / (limits.memoryReadGigabytesPerSecond * 1e9))
    }
    return BenchmarkResult(
      work: work, precision: setting.precision, batch: setting.batch, textLength: setting.textLength,
      threads: LibTorch.threads, runs: runs, minSeconds: times[0], medianSeconds: times[times.count / 2],
      flops: workload.flops, weightBytes: workload.weightBytes, limitSeconds: limit,
      peakMemoryBytes: ProcessMemory.peakBytes)
  }
}

extension BenchmarkResult {
  /// A row of a table.
  public var line: String {
    let share = limitSeconds.map { String(format: "%5.0f %% of the limit", 100 * $0 / minSeconds) } ?? ""
    let memory = peakMemoryBytes.map { String(format: "%6.0f MB", Double($0) / 1e6) } ?? ""
    return String(
      format: "%-9@ %-17@ %10.3f ms at best, %10.3f ms median %@ %@", work.rawValue, precision.rawValue,
      1e3 * minSeconds, 1e3 * medianSeconds, share, memory)
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

/// What the process took of the machine's memory.
public enum ProcessMemory {
  /// The largest resident size so far; nil where the system does not tell.
  public static var peakBytes: Int? {
    guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8),
      let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmHWM:") }),
      let kibibytes = line.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
        ?? line.split(whereSeparator: { !$0.isNumber }).first.flatMap({ Int($0) })
    else { return nil }
    return kibibytes * 1024
  }
}

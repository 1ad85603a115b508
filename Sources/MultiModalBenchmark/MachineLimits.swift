import Foundation
import Torch

/// What this machine can do at best, whatever the program: multiplying and adding in registers alone, and reading memory.
public struct MachineLimits: Sendable, Codable {
  /// The instructions that were used, as `LibTorch.instructionSet` names them.
  public let instructionSet: String
  /// Multiplications and additions of each kind, in 10⁹ per second.
  public let matmulGigaflops: [String: Double]
  /// Reading memory that no cache holds, in 10⁹ bytes per second.
  public let memoryReadGigabytesPerSecond: Double

  /// Measures; takes a few seconds.
  public static func measure() throws -> MachineLimits {
    var rates: [String: Double] = [:]
    for precision in [Precision.float32, .bfloat16, .int8] {
      rates[precision.rawValue] = try multiplyAddRate(precision) / 1e9
    }
    return MachineLimits(
      instructionSet: LibTorch.instructionSet, matmulGigaflops: rates,
      memoryReadGigabytesPerSecond: try memoryReadRate() / 1e9)
  }

  private static func multiplyAddRate(_ precision: Precision) throws -> Double {
    let rates = try [false, true].map { saturates in
      var count = 0
      let seconds = try Stopwatch.best(of: 40) {
        count = try MachineWork.multiplyAdds(precision, saturates: saturates, repetitions: 100_000)
      }
      return 2 * Double(count) / seconds
    }
    return rates.max() ?? 0
  }

  private static func memoryReadRate() throws -> Double {
    let reading = try MemoryReading()
    return Double(MemoryReading.bytes) / (try Stopwatch.best(of: 10) { try reading.run() })
  }
}

/// Reads more memory than a cache holds, and does nothing else, in as many places at a time as is fastest here.
public struct MemoryReading {
  /// What is read, more than caches hold.
  public static let bytes = 512 << 20
  private let words: Tensor
  private let streams: Int

  /// Takes the memory, and sees in how many places at a time reading is fastest.
  public init() throws {
    let words = try MachineWork.weightMemory(bytes: Self.bytes)
    let times = try [1, 2, 4].map { streams in
      (streams, try Stopwatch.best(of: 3) { try MachineWork.read(words, streams: streams) })
    }
    streams = times.min { $0.1 < $1.1 }?.0 ?? 1
    self.words = words
  }

  /// Reads all of it once.
  public func run() throws { try MachineWork.read(words, streams: streams) }
}

/// Times in seconds.
public enum Stopwatch {
  /// The time that `body` took.
  public static func seconds(_ body: () throws -> Void) rethrows -> Double {
    let began = ContinuousClock.now
    try body()
    return (ContinuousClock.now - began) / .seconds(1)
  }

  static func best(of runs: Int, _ body: () throws -> Void) rethrows -> Double {
    // As many as fit into a fifth of a second, so that a slow machine does not take minutes.
    let end = ContinuousClock.now + .milliseconds(200)
    try body()
    var best = Double.infinity
    for run in 0..<runs + 2 where run == 0 || ContinuousClock.now < end {
      best = min(best, try seconds(body))
    }
    return best
  }
}

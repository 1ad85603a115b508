import Foundation
import Torch

/// What this machine can do at best, as measured with the same kernels that the model uses.
public struct MachineLimits: Sendable, Codable {
  /// Multiplications and additions of the best matrix product of each kind, in 10⁹ per second.
  public let matmulGigaflops: [String: Double]
  /// Reading memory that no cache holds, in 10⁹ bytes per second.
  public let memoryReadGigabytesPerSecond: Double

  /// Measures; takes a few seconds.
  public static func measure() throws -> MachineLimits {
    try withoutGradients {
      var rates: [String: Double] = [:]
      for precision in [Precision.float32, .bfloat16, .int8] {
        rates[precision.rawValue] = try matmulRate(precision) / 1e9
      }
      return MachineLimits(
        matmulGigaflops: rates, memoryReadGigabytesPerSecond: try memoryReadRate() / 1e9)
    }
  }

  private static func matmulRate(_ precision: Precision) throws -> Double {
    var best = 0.0
    for (rows, inputs, outputs) in [(64, 3072, 512), (512, 512, 2048), (512, 2048, 2048)] {
      let store = ParameterStore(contents: .random(try Generator(seed: 0)))
      let layer = try Linear(store.root, inputs: inputs, outputs: outputs, bias: false)
      try layer.prepareForInference(precision)
      let x = try Tensor.randn([rows, inputs])
      let seconds = try Stopwatch.best(of: 20) { _ = try layer(x) }
      best = max(best, 2 * Double(rows * inputs * outputs) / seconds)
    }
    return best
  }

  private static func memoryReadRate() throws -> Double {
    let reading = try MemoryReading()
    return Double(MemoryReading.bytes) / (try Stopwatch.best(of: 10) { try reading.run() })
  }
}

/// Reads more memory than a cache holds, and does nothing else.
public struct MemoryReading {
  public static let bytes = 512 << 20
  private let words: Tensor

  public init() throws { words = try Tensor.ones([Self.bytes / 4]) }

  /// Reads all of it once.
  public func run() throws { _ = try words.sum() }
}

/// Times in seconds.
public enum Stopwatch {
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

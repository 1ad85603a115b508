import Foundation
import Torch

/// A file in `Tests/Fixtures`.
func fixture(_ path: String) -> URL {
  URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures").appendingPathComponent(path)
}

/// Runs `body` with the path of a file that is removed afterwards.
func withTemporaryFile<Result>(
  _ contents: Data? = nil, suffix: String = ".safetensors", _ body: (URL) throws -> Result
)
  throws -> Result
{
  let url = FileManager.default.temporaryDirectory.appendingPathComponent(
    "gpt4mm-\(UUID().uuidString)\(suffix)")
  defer { try? FileManager.default.removeItem(at: url) }
  if let contents { try contents.write(to: url) }
  return try body(url)
}

/// Repeatable pseudo-random numbers (Knuth's MMIX generator).
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return state ^ (state >> 33)
  }
}

/// Drawn from a seed.
func randn(_ shape: [Int], _ seed: UInt64) throws -> Tensor {
  try .randn(shape, generator: Generator(seed: seed))
}

/// The largest between elements.
func difference(_ a: Tensor, _ b: Tensor) throws -> Float {
  guard a.shape == b.shape else { throw TorchError("shapes \(a.shape) and \(b.shape) differ") }
  return try (a.to(dtype: .float32) - b.to(dtype: .float32)).abs().amax().item()
}

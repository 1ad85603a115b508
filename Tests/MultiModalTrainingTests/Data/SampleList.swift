import Foundation
import MultiModalPipeline
import Testing

@testable import MultiModalTraining

/// Samples in memory, as shards of a dataset.
struct SampleList: Dataset {
  let name = "/list"
  let parts: [[Sample]]
  var shardCount: Int { parts.count }

  init(_ samples: [Sample]) { parts = [samples] }
  init(shards: [[Sample]]) { parts = shards }

  func samples(ofShard shard: Int) throws -> () throws -> Sample? {
    var rest = parts[shard][...]
    return { rest.popFirst() }
  }
}

extension Sample: Equatable {
  /// By what they say, and where their pictures are.
  public static func == (one: Sample, other: Sample) -> Bool {
    (one.picture.place, one.picture.range, one.prompt, one.text)
      == (other.picture.place, other.picture.range, other.prompt, other.text)
  }
}

extension Dataset {
  func all() throws -> [Sample] {
    var samples: [Sample] = []
    try forEach { samples.append($0) }
    return samples
  }
}

extension TemporaryFolder {
  func file(_ name: String) -> URL { url.appendingPathComponent(name) }

  /// A square of one colour.
  func writePicture(_ name: String, _ colour: [UInt8] = [9, 99, 199], side: Int = 16) throws {
    try write("", name)
    let pixels = (0..<side * side).flatMap { _ in colour }
    try Picture(height: side, width: side, channels: 3, pixels: pixels).png().write(to: file(name))
  }
}

/// The sentence that `body` fails with.
func refusal<Result>(_ body: () throws -> Result) -> String {
  do {
    _ = try body()
    return "none"
  } catch let error as TrainingError {
    return error.description
  } catch { return "\(type(of: error)): \(error)" }
}

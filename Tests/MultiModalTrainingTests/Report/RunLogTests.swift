import Foundation
import Testing

@testable import MultiModalTraining

extension RunLog {
  /// The lines that can be read; none where there is no log.
  static func read(_ url: URL) -> [[String: Value]] {
    ((try? Data(contentsOf: url)) ?? Data()).split(separator: UInt8(ascii: "\n"))
      .compactMap { try? JSONDecoder().decode([String: Value].self, from: $0) }
  }
}

@Suite struct RunLogTests {
  private func text(_ url: URL) throws -> String {
    String(decoding: try Data(contentsOf: url), as: UTF8.self)
  }

  @Test func aLineHasItsKeysInOrderAndComesBack() throws {
    let folder = try TemporaryFolder()
    let url = folder.url.appendingPathComponent("log.jsonl")
    #expect(RunLog.read(url).isEmpty)
    var log = try RunLog(url, keepingStepsUpTo: 0)
    try log.append(["step": 1, "loss": 0.5, "gradient_norm": .number(.infinity)])
    try log.append(["step": 2, "event": "left/out\n", "ids": ["b", "a"]])
    #expect(
      try text(url) == """
        {"gradient_norm":null,"loss":0.5,"step":1}
        {"event":"left/out\\n","ids":["b","a"],"step":2}

        """)
    let lines = RunLog.read(url)
    #expect(lines.count == 2)
    #expect(lines[0]["loss"] == 0.5)
    #expect(lines[0]["gradient_norm"]?.number?.isNaN == true)
    #expect(lines[1] == ["step": 2, "event": "left/out\n", "ids": ["b", "a"]])
  }

  @Test func aResumedRunGoesOnFromItsStep() throws {
    let folder = try TemporaryFolder()
    let deep = String(repeating: "[", count: 100_000)
    try folder.write(
      """
      {"event": "began"}
      {"loss": 3,  "step": 1}
      not JSON
      {"step": 1e999}
      {"loss": 2, "step": 2}\r
      [1, 2]
      {"step": \(deep)
      {"step": null, "loss": 7}

      {"event": 5, "ids": ["x"], "step": 2}
      {"loss": 1, "step": 3}
      {"validation_loss": 1, "step": 3}
      {"loss": 1, "st
      """, "log.jsonl")
    let url = folder.url.appendingPathComponent("log.jsonl")
    var log = try RunLog(url, keepingStepsUpTo: 2)
    try log.append(["step": 3, "loss": 0.75])
    #expect(
      try text(url) == """
        {"event": "began"}
        {"loss": 3,  "step": 1}
        {"loss": 2, "step": 2}\r
        {"event": 5, "ids": ["x"], "step": 2}
        {"loss":0.75,"step":3}

        """)
    #expect(RunLog.read(url).count == 5)
  }

  @Test func bytesThatAreNoTextAreDropped() throws {
    let folder = try TemporaryFolder()
    let url = folder.url.appendingPathComponent("log.jsonl")
    try (Data([0xff, 0xfe, 0, 10]) + Data(#"{"step":1}"#.utf8) + Data([10]) + Data([0x80])).write(to: url)
    #expect(RunLog.read(url) == [["step": 1]])
    _ = try RunLog(url, keepingStepsUpTo: 5)
    #expect(try text(url) == "{\"step\":1}\n")
  }

  @Test func aCompleteLastLineWithoutItsEndIsKept() throws {
    let folder = try TemporaryFolder()
    try folder.write(#"{"step":1}"#, "log.jsonl")
    let url = folder.url.appendingPathComponent("log.jsonl")
    var log = try RunLog(url, keepingStepsUpTo: 1)
    try log.append(["step": 2])
    #expect(try text(url) == "{\"step\":1}\n{\"step\":2}\n")
  }

  @Test func aLinkStaysALink() throws {
    let folder = try TemporaryFolder()
    try folder.write("{\"step\":9}\n", "real.jsonl")
    let link = folder.url.appendingPathComponent("log.jsonl")
    let real = folder.url.appendingPathComponent("real.jsonl")
    try FileManager.default.createSymbolicLink(at: link, withDestinationURL: real)
    var log = try RunLog(link, keepingStepsUpTo: 1)
    try log.append(["step": 2])
    #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link.path) == real.path)
    #expect(try text(real) == "{\"step\":2}\n")
  }

  @Test func aPlaceThatCannotBeWrittenIsNamed() throws {
    let folder = try TemporaryFolder()
    let url = folder.url.appendingPathComponent("missing/log.jsonl")
    let error = #expect(throws: TrainingError.self) { try RunLog(url, keepingStepsUpTo: 0) }
    #expect(error?.description.contains("missing/log.jsonl cannot be written") == true)
  }

  #if os(Linux)
    /// /dev/full is a disk without room.
    @Test func aFullDiskIsToldOnce() throws {
      var log = try RunLog(URL(fileURLWithPath: "/dev/full"), keepingStepsUpTo: 0)
      #expect(throws: TrainingError.self) { try log.append(["step": 1]) }
      try log.append(["step": 2])
    }
  #endif
}

import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

/// What passes between the start of a process and the first token of a picture's text.
public struct StartUp: Sendable, Codable {
  /// A part of the way.
  public struct Stage: Sendable, Codable {
    /// For people.
    public let name: String
    /// How long it took.
    public let seconds: Double
  }

  /// In their order.
  public let stages: [Stage]
  /// All of them together.
  public let totalSeconds: Double

  private init(stages: [Stage]) {
    self.stages = stages
    totalSeconds = stages.reduce(0) { $0 + $1.seconds }
  }

  /// Seconds on a clock that all processes share.
  private static var now: Double { Double(clock_gettime_nsec()) / 1e9 }

  private static func clock_gettime_nsec() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
  }

  /// Starts a process that captions a picture, so many times, and gives the quickest.
  /// - Parameter command: a program and its arguments, behind which the time of the start and the picture's path are given
  ///   as `time:path`; it must call `run` with them and print what it gives as JSON
  public static func measure(runs: Int = 5, command: [String]) throws -> StartUp {
    let picture = FileManager.default.temporaryDirectory
      .appendingPathComponent("gpt4mm-start-\(ProcessInfo.processInfo.processIdentifier).jpg")
    let side = 512
    let pixels = (0..<side * side * 3).map { UInt8(truncatingIfNeeded: 7 * $0 + $0 / side) }
    try Picture(height: side, width: side, channels: 3, pixels: pixels).jpeg().write(to: picture)
    defer { try? FileManager.default.removeItem(at: picture) }
    let all = try (0..<runs).map { _ in
      let process = Process()
      let output = Pipe()
      process.executableURL = URL(fileURLWithPath: command[0])
      process.standardOutput = output
      process.arguments = command.dropFirst() + ["\(now):\(picture.path)"]
      try process.run()
      let data = output.fileHandleForReading.readDataToEndOfFile()
      process.waitUntilExit()
      guard process.terminationStatus == 0 else {
        throw ModelError("the process that was started failed, see above")
      }
      return try JSONDecoder().decode(StartUp.self, from: data)
    }
    guard let best = all.min(by: { $0.totalSeconds < $1.totalSeconds }) else { return StartUp(stages: []) }
    return best
  }

  /// Captions a picture as far as the first token, in a process that has just begun.
  /// - Parameter began: when the process was started, as `measure` says it
  public static func run(model: URL, began: Double, picture: URL) async throws -> StartUp {
    var stages: [Stage] = []
    var last = began
    func stage(_ name: String) {
      let time = now
      stages.append(Stage(name: name, seconds: time - last))
      last = time
    }
    stage("process and its libraries loaded")
    _ = try Tensor.ones([1])
    stage("LibTorch's first operator")
    let captioner = try Captioner(contentsOf: model)
    stage("model read and prepared")
    let image = try captioner.processor(picture)
    stage("picture decoded and resized")
    for try await _ in captioner.stream(image) { break }
    stage("picture encoded and first token chosen")
    return StartUp(stages: stages)
  }
}

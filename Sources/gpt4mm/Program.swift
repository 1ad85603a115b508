import Foundation
import MultiModalModel
import MultiModalPipeline
import MultiModalTraining
import Synchronization
import Torch

/// The work failed and said why.
struct Failed: Error {}

/// Ends the running command on Ctrl-C, SIGTERM or when the terminal goes (SIGHUP): at once, or, while the command has work to
/// save, by cancelling its task the first time.
final class Interruption: Sendable {
  static let shared = Interruption()

  private struct State {
    var task: Task<Void, any Error>?
    var saves = false
  }

  private let state = Mutex(State())

  private init() {
    for number in [SIGINT, SIGTERM, SIGHUP] {
      // Who ignores SIGHUP, such as nohup, means that the work goes on.
      let before = signal(number, SIG_IGN)
      guard number != SIGHUP || unsafeBitCast(before, to: Int.self) != unsafeBitCast(SIG_IGN, to: Int.self)
      else {
        continue
      }
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      // The source keeps itself alive by its handler, as long as the process.
      source.setEventHandler { [self] in
        withExtendedLifetime(source) {
          let state = state.withLock { $0 }
          guard state.saves, let running = state.task, !running.isCancelled else {
            Terminal.note("gpt4mm: interrupted")
            _exit(130)
          }
          running.cancel()
        }
      }
      source.resume()
    }
  }

  func run(_ command: Command, _ arguments: Arguments) async throws {
    let running = Task(executorPreference: ComputeThread.shared) { try await command.run(arguments) }
    state.withLock { $0.task = running }
    try await running.value
  }

  /// The running command ends on its own when its task is cancelled, after saving what it has.
  func savesFromNow() { state.withLock { $0.saves = true } }
}

enum Program {
  static let version = "0.1.0"

  static let root = Command(
    name: "gpt4mm", summary: "Image-and-text models: train, caption, serve, inspect.",
    subcommands: [
      .caption, .explain, .serve, .train, .merge, .evaluate, .quantize, .bench, .forward, .initialize,
      .inspect,
      .tokenizer,
      .doctor,
    ])

  /// - Returns: the exit code
  static func run() async -> Int32 {
    do {
      let words = try Words.given()
      var command = root
      var path = root.name
      var rest = words[...]
      while !command.subcommands.isEmpty, let word = rest.first, !word.hasPrefix("-") {
        guard let next = command.subcommands.first(where: { $0.name == word }) else {
          throw UsageError.unknown("command", word, among: command.subcommands.map { $0.name })
        }
        command = next
        path += " \(word)"
        rest = rest.dropFirst()
      }
      let options = rest.prefix { $0 != "--" }
      if options.contains("--help") || options.contains("-h") || words.isEmpty {
        Terminal.print(command.help(path: path))
        return 0
      }
      if path == root.name, options.contains("--version") {
        Terminal.print("gpt4mm \(version)")
        return 0
      }
      guard command.subcommands.isEmpty else {
        if let option = rest.first {
          throw UsageError.unknown("option", option, among: ["--help"])
        }
        throw UsageError(
          "'\(path)' needs a command: \(command.subcommands.map { $0.name }.joined(separator: ", "))")
      }
      let arguments = try Arguments(rest, of: command)
      if command.runsForWeeks { LibTorch.shareMemoryPools() }
      try await Interruption.shared.run(command, arguments)
      return 0
    } catch let error as UsageError {
      Terminal.note("gpt4mm: \(error)")
      return 2
    } catch is Failed {
      return 1
    } catch is CancellationError {
      Terminal.note("gpt4mm: interrupted")
      return 130
    } catch {
      Terminal.note("gpt4mm: \(message(of: error))")
      return 1
    }
  }

  /// One sentence.
  private static func message(of error: any Error) -> String {
    error.localizedDescription.sentence()
  }
}

import Foundation
import Testing

@testable import gpt4mm

@Suite struct ArgumentsTests {
  private let command = Command(
    name: "work", summary: "Works.", arguments: "FILE...",
    options: [
      Option("count", "N", default: "3", "how many"), Option("rate", "X", "how fast"),
      Option("name", "TEXT", "who"),
      Option("loud", "loudly"),
    ])

  /// Who uses a library has no command line.
  @Test func noSentenceOfALibraryNamesAnOption() throws {
    let sources = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent("Sources")
    for library in ["Torch", "MultiModalModel", "MultiModalPipeline", "MultiModalTraining"] {
      let folder = sources.appendingPathComponent(library)
      let files = try FileManager.default.subpathsOfDirectory(atPath: folder.path).filter {
        $0.hasSuffix(".swift")
      }
      #expect(!files.isEmpty)
      for file in files {
        let text = try String(contentsOf: folder.appendingPathComponent(file), encoding: .utf8)
        // A model folder's README shows the command that captions with it.
        for line in text.split(separator: "\n") where !line.contains("gpt4mm caption") {
          #expect(line.range(of: "[a-z] --[a-z]", options: .regularExpression) == nil, "\(file): \(line)")
        }
      }
    }
  }

  private func message(_ words: [String], _ read: (Arguments) throws -> Void = { _ in }) -> String {
    do {
      try read(Arguments(words, of: command))
      return "no error"
    } catch { return "\(error)" }
  }

  @Test func valuesComeBehindASpaceOrAnEqualsSign() throws {
    let arguments = try Arguments(
      ["a", "--count", "5", "--rate=-1.5", "--loud", "b", "--name=x=y", "--", "--c"], of: command)
    #expect(arguments.positional == ["a", "b", "--c"])
    #expect(try arguments.int("count") == 5)
    #expect(try arguments.double("rate") == -1.5)
    #expect(arguments.string("name") == "x=y")
    #expect(arguments.flag("loud"))
  }

  @Test func whatIsNotGivenHasItsDefault() throws {
    let arguments = try Arguments(["-", "-5"], of: command)
    #expect(arguments.positional == ["-", "-5"])
    #expect(try arguments.int("count") == 3)
    #expect(try arguments.double("rate") == nil)
    #expect(!arguments.flag("loud"))
    #expect(arguments.strings("name") == [])
  }

  @Test func mistakesAreNamed() {
    #expect(message(["--cuont", "5"]) == "option '--cuont' is not known: did you mean '--count'?")
    #expect(message(["--something"]) == "option '--something' is not known: see --help")
    #expect(message(["-x"]) == "option '-x' is not known: see --help")
    #expect(message(["--count"]) == "--count needs a value: --count N")
    #expect(message(["--loud=yes"]) == "--loud takes no value")
    #expect(
      message(["--count", "many"]) { _ = try $0.int("count") } == "--count must be a whole number, got 'many'"
    )
    #expect(
      message(["--rate", "fast"]) { _ = try $0.double("rate") } == "--rate must be a number, got 'fast'")
    #expect(message([]) { _ = try $0.required("name") } == "'work' needs --name TEXT")
  }

  @Test func theNearestWordIsProposed() {
    let known = ["caption", "train", "serve"]
    for (word, meant) in [("capiton", "caption"), ("drain", "train"), ("sreve", "serve")] {
      #expect(
        UsageError.unknown("command", word, among: known).description
          == "command '\(word)' is not known: did you mean '\(meant)'?")
    }
    #expect(UsageError.unknown("command", "x", among: known).description.hasSuffix("see --help"))
  }

  @Test func helpListsEveryOption() {
    let help = command.help(path: "gpt4mm work")
    for text in [
      "usage: gpt4mm work [options] FILE...", "--count N", "how many (default: 3)", "--loud", "--help",
    ] {
      #expect(help.contains(text), "\(text)")
    }
    #expect(help.split(separator: "\n").allSatisfy { $0.count <= 100 })
  }

  @Test func progressShowsShareRateAndWhatIsLeft() {
    #expect(
      ProgressBar.line(done: 50, count: 200, seconds: 10, details: "loss 1.0")
        == "[#####...............] 50/200 25%  loss 1.0  0:10 gone, 0:30 left")
    #expect(
      ProgressBar.line(done: 60, count: 100, first: 50, seconds: 5, details: "").hasSuffix(
        "0:05 gone, 0:20 left"))
    #expect(ProgressBar.line(done: 0, count: 100, seconds: 0, details: "").hasSuffix("0:00 gone, ? left"))
    #expect(ProgressBar.duration(3725) == "1:02:05")
  }
}

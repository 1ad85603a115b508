import Foundation
import Testing

/// What becomes of work when its standard streams, or the names it is given, are unusual.
@Suite struct StreamTests {
  /// Runs the program by a shell script, as `"$0"`.
  private func shell(_ script: String, _ arguments: String..., in folder: URL? = nil) throws -> GPT4MM.Result
  {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/bash")
    process.arguments = ["-c", script, GPT4MM.executable.path] + arguments
    process.currentDirectoryURL = folder
    return try GPT4MM.finish(process)
  }

  private static let small =
    #"{"image_size": 16, "patch_size": 8, "encoder_dim": 16, "encoder_depth": 1, "encoder_heads": 1, "num_tokens": 30, "max_seq_len": 8, "decoder_dim": 16, "decoder_depth": 1, "decoder_heads": 2, "alibi_num_heads": 1}"#

  @Test func resultsWaitForASlowReaderThatMadeThePipeNonBlocking() throws {
    let script = """
      "$0" --help > "$1/expected"
      python3 - "$0" <<'END'
      import os, subprocess, sys, time, fcntl
      read, write = os.pipe()
      fcntl.fcntl(write, fcntl.F_SETFL, os.O_NONBLOCK)
      fcntl.fcntl(write, 1031, 4096)
      # Fills the pipe, so that nothing can be written at first.
      while True:
        try: os.write(write, b"x" * 512)
        except BlockingIOError: break
      process = subprocess.Popen([sys.argv[1], "--help"], stdout=write, stderr=write)
      os.close(write)
      time.sleep(1)
      text = b""
      while more := os.read(read, 100): text += more
      sys.stdout.buffer.write(text.lstrip(b"x"))
      sys.exit(process.wait())
      END
      """
    let folder = try TemporaryFolder()
    let result = try shell(script, folder.url.path)
    #expect(result.code == 0, "\(result.errors)")
    #expect(try result.output == String(contentsOfFile: folder.path("expected"), encoding: .utf8))
  }

  @Test func aClosedStandardOutputIsSaidAndNoFileTakesItsPlace() throws {
    let folder = try TemporaryFolder()
    try folder.write(Self.small, "config.json")
    let closed = try shell(#""$0" init --config "$1/config.json" --out "$1/m" >&-"#, folder.url.path)
    #expect(closed.code == 1)
    #expect(closed.errors == "gpt4mm: standard output is closed\n")
    let all = try shell(#""$0" inspect "$1/m" <&- 2>&-; echo $?"#, folder.url.path)
    #expect(all.output.hasSuffix("\n0\n"))
    let silent = try shell(#""$0" nonsense 2>&-; echo $?; "$0" nonsense 2> /dev/full; echo $?"#)
    #expect(silent.output == "2\n2\n")
    let input = try shell(#""$0" caption --model Models/emoji - <&-"#, in: Self.root)
    #expect(input.code == 1 && input.errors.contains("standard input"), "\(input.errors)")
  }

  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent()
    .deletingLastPathComponent()

  @Test func aPictureFromAPipeThatDoesNotWaitIsWaitedFor() throws {
    let script = """
      python3 - "$0" <<'END'
      import fcntl, os, subprocess, sys, time
      read, write = os.pipe()
      fcntl.fcntl(read, fcntl.F_SETFL, os.O_NONBLOCK)
      process = subprocess.Popen([sys.argv[1], "caption", "--quiet", "-"], stdin=read)
      os.close(read)
      picture = open("Examples/pictures/picture-1.jpg", "rb").read()
      time.sleep(2)
      os.write(write, picture[:1000])
      time.sleep(0.2)
      os.write(write, picture[1000:])
      os.close(write)
      sys.exit(process.wait())
      END
      """
    let result = try shell(script, in: Self.root)
    #expect(result.code == 0 && result.output.hasPrefix("-: "), "\(result.errors)")
  }

  @Test func pipesAndStandardInputServeAsFiles() throws {
    let folder = try TemporaryFolder()
    try folder.write(Self.small, "config.json")
    for (name, source) in [
      ("a", #"<(sleep 0.3; cat "$1/config.json")"#), ("b", #"/dev/stdin < "$1/config.json""#),
    ] {
      let result = try shell(#""$0" init --out "$1/$2" --config \#(source)"#, folder.url.path, name)
      #expect(result.code == 0, "\(result.errors)")
    }
    #expect(mkfifo(folder.path("pipe"), 0o600) == 0)
    let nobody = try GPT4MM.run("init", "--config", folder.path("pipe"), "--out", folder.path("c"))
    #expect(
      nobody.code == 1 && nobody.errors.hasSuffix("pipe is a pipe that nobody writes to\n"),
      "\(nobody.errors)")
  }

  #if os(Linux)
    @Test func namesThatAreNoUTF8AreTheFilesOfThatName() throws {
      let folder = try TemporaryFolder()
      try folder.write(Self.small, "config.json")
      let script = #"""
        set -e
        cd "$1"
        here=$(printf 'caf\351'); mkdir "$here"; cp config.json "$here/"; cp config.json "$(printf 'c\350.json')"
        "$0" init --config "$here/config.json" --out "$here/m"
        "$0" init --config="$(printf 'c\350.json')" --out n
        cd "$here"
        "$0" init --config config.json --out inside
        "$0" inspect inside > list
        test -e m/config.json -a -e inside/model.safetensors -a -s list
        """#
      let result = try shell(script, folder.url.path)
      #expect(result.code == 0, "\(result.errors)")
      #expect(result.output.contains("caf\u{FFFD}/m: "))
      let names = try shell(#"ls "$1" | wc -l"#, folder.url.path)
      #expect(names.output == "4\n")
      let absent = try shell(#""$0" inspect "$(printf 'n\351')""#)
      #expect(absent.code == 2 && absent.errors.contains("is not UTF-8, nor a file or folder that is there"))
    }
  #endif

  @Test func whatIsPrintedHoldsNoControlCharacters() throws {
    let folder = try TemporaryFolder()
    let name = "red\u{1B}[31m\u{9B}2J"
    let missing = try GPT4MM.run("inspect", folder.path(name))
    #expect(!missing.errors.unicodeScalars.contains { $0 == "\u{1B}" || $0 == "\u{9B}" })
    #expect(missing.errors.split(separator: "\n").count == 1)
    let long = try GPT4MM.run(
      "caption", "--model", folder.path(String(repeating: "x", count: 20_000)), "a.png")
    #expect(long.errors.count < 700)
  }

  @Test func theFileOfResultsIsCheckedFirstAndFiguresArePrintedWhateverBecomesOfIt() throws {
    let folder = try ColouredSquares.folder(
      colours: 2, settings: ["training": #"{"epochs": 2, "batch_size": 2, "validation_every": 1000}"#])
    let train = try GPT4MM.run(
      "train", "--data", folder.url.path, "--config", folder.path("config.json"), "--out", folder.path("run"))
    try #require(train.code == 0, "\(train.errors)")
    func evaluate(_ output: String) throws -> GPT4MM.Result {
      try GPT4MM.run(
        "evaluate", "--model", folder.path("run"), "--data", folder.path("validation"), "--output", output)
    }
    let nowhere = try evaluate(folder.path("none/results.jsonl"))
    #expect(nowhere.code == 1 && nowhere.output.isEmpty)
    #expect(nowhere.errors.contains("there is no folder \(folder.path("none")), make it first"))
    let redirected = try shell(
      #""$0" evaluate --model "$1/run" --data "$1/validation" --output /dev/stdout > "$1/all""#,
      folder.url.path)
    #expect(redirected.code == 0, "\(redirected.errors)")
    let all = try String(contentsOfFile: folder.path("all"), encoding: .utf8)
    #expect(all.hasPrefix("{") && all.contains("2 pictures: "))
    #if os(Linux)
      let full = try evaluate("/dev/full")
      #expect(
        full.code == 1 && full.output.contains("2 pictures: ")
          && full.errors.contains("/dev/full cannot be written"))
    #endif
  }
}

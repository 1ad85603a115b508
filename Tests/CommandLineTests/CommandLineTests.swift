import Foundation
import MultiModalPipeline
import Testing
import Torch

@Suite struct CommandLineTests {
  @Test(arguments: [
    [], ["caption"], ["train"], ["evaluate"], ["forward"], ["init"], ["inspect"], ["tokenizer"],
    ["tokenizer", "train"],
    ["tokenizer", "encode"], ["tokenizer", "decode"], ["doctor"],
  ])
  func everyCommandHasHelp(command: [String]) throws {
    let result = try GPT4MM.finish(GPT4MM.process(command + ["--help"]))
    #expect(result.code == 0)
    #expect(result.output.contains("usage: \((["gpt4mm"] + command).joined(separator: " "))"))
    #expect(result.errors.isEmpty)
    #expect(!result.output.contains("\u{1B}"))
  }

  @Test func explainWritesAHeatMapForEachToken() throws {
    let folder = try TemporaryFolder()
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let result = try GPT4MM.run(
      "explain", "--out", folder.path("owl.png"), "Examples/pictures/picture-1.jpg", in: root)
    #expect(result.code == 0)
    #expect(result.output.split(separator: "\n").count == 4)
    #expect(result.output.hasPrefix("owl\n"))
    let picture = try Picture(contentsOf: URL(fileURLWithPath: folder.path("owl.png")))
    // What the model saw and three maps of 240 pixels, with gaps of 8.
    #expect((picture.width, picture.height) == (4 * 248 + 8, 256))
    #expect(try GPT4MM.run("explain", "a.png", in: root).code == 2)
  }

  @Test func wrongCallsExitWithTwoAndSayWhatIsMeant() throws {
    let wrong: [([String], String)] = [
      (["capton", "x.png"], "command 'capton' is not known: did you mean 'caption'?"),
      (["caption", "--modle", "x"], "option '--modle' is not known: did you mean '--model'?"),
      (["caption"], "'caption' needs at least one picture"),
      (["caption", "--top-p", "1.2", "x.png"], "top_p must be in (0, 1], got 1.2"),
      (["tokenizer", "trian"], "command 'trian' is not known: did you mean 'train'?"),
      (["tokenizer"], "'gpt4mm tokenizer' needs a command: train, encode, decode"),
      (["forward", "--input", "a"], "'forward' needs --model DIR"),
      (["doctor", "now"], "'doctor' takes no argument, got 'now'"),
      (["train", "--data", "x", "--out", "y"], "'train' needs --config FILE"),
      (["train", "--data", "x", "--out="], "--out must not be empty"),
      (["caption", "--threads", "0", "x.png"], "--threads must be from 1 to 1024, got 0"),
      (["caption", "--min-confidence", "90", "x.png"], "--min-confidence must be from 0 to 1, got 90"),
      (["evaluate", "--data", "x", "--batch-size", "0"], "--batch-size must be from 1 to"),
      (["evaluate", "--data", "x", "--beams", "0"], "num_beams must be from 1 to 64, got 0"),
    ]
    for (call, message) in wrong {
      let result = try GPT4MM.finish(GPT4MM.process(call))
      #expect(result.code == 2, "\(call)")
      #expect(result.errors.hasPrefix("gpt4mm: ") && result.errors.contains(message), "\(result.errors)")
      #expect(result.errors.split(separator: "\n").count == 1)
      #expect(result.output.isEmpty)
    }
  }

  @Test func workThatFailsExitsWithOneAndOneSentence() throws {
    let folder = try TemporaryFolder()
    try folder.write("{\"image_size\": 30}", "config.json")
    try folder.write(
      #"{"num_tokens": 5, "encoder_depth": 1, "decoder_depth": 1, "max_seq_len": 4}"#, "small.json")
    try folder.write(#"{"encoder_depth": 1000, "encoder_dim": 65536, "encoder_heads": 1024}"#, "huge.json")
    let failing: [([String], String)] = [
      (
        ["init", "--config", folder.path("huge.json"), "--out", folder.path("m")],
        "GB), more than this machine's memory holds: make it smaller"
      ),
      (["caption", "--model", "/nonexistent", "x.png"], "there is no model folder at /nonexistent"),
      (["inspect", "/nonexistent"], "there is no file /nonexistent"),
      (
        ["init", "--config", folder.path("config.json"), "--out", folder.path("m")],
        "image_size must be a multiple of patch_size"
      ),
      (
        ["init", "--config", "/nonexistent.json", "--out", folder.path("m")],
        "/nonexistent.json cannot be read"
      ),
      (
        ["init", "--config", folder.path("small.json"), "--out", folder.path("config.json")],
        "config.json is no folder that can be written to"
      ),
      (["caption", "--device", "cuda:77", "x.png"], "device \"cuda:77\""),
      (
        ["train", "--data", "/nonexistent", "--config", folder.path("config.json"), "--out", "y"],
        "image_size is not known here"
      ),
      (["tokenizer", "encode", "--model", folder.path("config.json"), "text"], "is no SentencePiece model"),
    ]
    for (call, message) in failing {
      let result = try GPT4MM.finish(GPT4MM.process(call))
      #expect(result.code == 1, "\(call)")
      #expect(result.errors.hasPrefix("gpt4mm: ") && result.errors.contains(message), "\(result.errors)")
      #expect(result.errors.split(separator: "\n").count == 1)
      #expect(result.output.isEmpty)
    }
    #expect(!FileManager.default.fileExists(atPath: folder.path("m")))
  }

  @Test(arguments: [
    #"{"model": \#(small), "image": {"resize_mode": "pad"}, "training": {"epochs": 3}}"#, small,
  ])
  func aModelThatIsMadeWithATokenizerWritesTexts(settings: String) throws {
    let folder = try TemporaryFolder()
    try folder.write(settings, "config.json")
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let made = try GPT4MM.run(
      "init", "--config", folder.path("config.json"), "--tokenizer", "Models/emoji", "--out",
      folder.path("model"), in: root)
    #expect(made.code == 0, "\(made.errors)")
    let captioned = try GPT4MM.run(
      "caption", "--quiet", "--model", folder.path("model"), "Examples/pictures/picture-1.jpg", in: root)
    #expect(captioned.code == 0 && captioned.errors.isEmpty, "\(captioned.errors)")
    #expect(captioned.output.hasPrefix("Examples/pictures/picture-1.jpg: "))
    let processor = try ImageProcessor.Configuration(folder: folder.url.appendingPathComponent("model"))
    #expect(processor.size == .init(height: 16, width: 16))
    #expect(processor.resizeMode == (settings == Self.small ? .stretch : .pad))
  }

  private static let small =
    #"{"image_size": 16, "patch_size": 8, "encoder_dim": 16, "encoder_depth": 1, "encoder_heads": 1, "num_tokens": 30, "max_seq_len": 8, "decoder_dim": 16, "decoder_depth": 1, "decoder_heads": 2, "alibi_num_heads": 1}"#

  @Test func aModelIsMadeInspectedAndRunForward() throws {
    let folder = try TemporaryFolder()
    try folder.write(Self.small, "config.json")
    let made = try GPT4MM.run(
      "init", "--config", folder.path("config.json"), "--seed", "3", "--out", folder.path("model"))
    #expect(made.code == 0, "\(made.errors)")
    let again = try GPT4MM.run(
      "init", "--config", folder.path("config.json"), "--seed", "3", "--out", folder.path("again"))
    #expect(again.code == 0)
    let weights = { (name: String) in
      try Data(contentsOf: folder.url.appendingPathComponent("\(name)/model.safetensors"))
    }
    let (first, second) = (try weights("model"), try weights("again"))
    #expect(first == second)

    let inspected = try GPT4MM.run("inspect", folder.path("model"))
    #expect(inspected.output.contains("to_logits") && inspected.output.contains("float32"))

    let img = try Tensor.randn([2, 16, 16, 3], generator: Generator(seed: 1))
    let text = try Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3])
    try Safetensors.write(
      [("img", img), ("text", text)], to: folder.url.appendingPathComponent("in.safetensors"))
    func forward(_ more: String...) throws -> (GPT4MM.Result, Tensor?) {
      let output = folder.url.appendingPathComponent("out.safetensors")
      let result = try GPT4MM.finish(
        GPT4MM.process(
          [
            "forward", "--model", folder.path("model"), "--input", folder.path("in.safetensors"), "--output",
            output.path,
          ]
            + more))
      return (result, try? Safetensors.read(output).tensors["logits"])
    }
    let (result, documented) = try forward()
    #expect(result.code == 0, "\(result.errors)")
    let zetascale = try forward("--compatibility", "zetascale").1
    let expected = try withoutGradients {
      try ModelFolder(folder.url.appendingPathComponent("model")).model().forward(img: img, text: text)
    }
    #expect(try (#require(documented) - expected).abs().amax().item(Float.self) == 0)
    #expect(try (#require(zetascale) - expected).abs().amax().item(Float.self) > 1e-3)
    #expect(try forward("--compatibility", "zeta").0.code == 2)

    try Safetensors.write(
      [("img", img), ("text", Tensor([1, 99], shape: [2, 1]))],
      to: folder.url.appendingPathComponent("in.safetensors"))
    #expect(try forward().0.errors == "gpt4mm: text holds token 99, but num_tokens is 30\n")
  }

  @Test func aVocabularyIsTrainedAndUsed() throws {
    let folder = try TemporaryFolder()
    try folder.write("a cat\na dog\nthe cat and the dog\n", "text.txt")
    let model = folder.path("tokenizer.model")
    let trained = try GPT4MM.run(
      "tokenizer", "train", "--input", folder.path("text.txt"), "--vocabulary-size", "280", "--output", model)
    #expect(trained.code == 0, "\(trained.errors)")
    #expect(trained.errors.isEmpty)
    let ids = try GPT4MM.run("tokenizer", "encode", "--model", model, "the 猫").output
    let words = ids.split(whereSeparator: \.isWhitespace).map(String.init)
    let text = try GPT4MM.finish(GPT4MM.process(["tokenizer", "decode", "--model", model] + words)).output
    #expect(text == "the 猫\n")
  }

  @Test func linesAreEncodedAndDecodedWithAFoldersTokenizer() throws {
    let folder = try TemporaryFolder()
    try folder.write(#"{"a": 0, "b": 1, "ab": 2, "<s>": 3, "</s>": 4, "<unk>": 5, "<pad>": 6}"#, "vocab.json")
    try folder.write("a b\n", "merges.txt")
    func answer(_ command: String, _ option: String, _ lines: String) throws -> String {
      try GPT4MM.run(
        "tokenizer", command, "--model", folder.path(""), "--lines", option, input: Data(lines.utf8)
      ).output
    }
    #expect(try answer("encode", "--target", "\"ab\"\n\"a</s>\"\n") == "[3,2,4]\n[3,0,4,4]\n")
    #expect(try answer("decode", "--lines", "[3,2,0]\n[]\n") == "\"aba\"\n\"\"\n")
    #expect(
      try GPT4MM.run("tokenizer", "encode", "--model", folder.path(""), "--lines", input: Data("x".utf8)).code
        == 1)
  }

  @Test func aReaderThatLeavesEndsTheProgramQuietly() throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", "'\(GPT4MM.executable.path)' --help | true"]
    let result = try GPT4MM.finish(process)
    #expect(result.errors.isEmpty)
  }

  @Test func namesOfHostileFilesAreShownSafely() throws {
    let folder = try TemporaryFolder()
    let file = folder.url.appendingPathComponent("a.safetensors")
    let deep = String(repeating: "a.", count: 60_000) + "b"
    try Safetensors.write(
      [(deep, Tensor([1])), ("red\u{1B}[31m", Tensor([1])), ("a..b", Tensor([1]))],
      metadata: ["note": "\u{1B}[2J"], to: file)
    let result = try GPT4MM.run("inspect", "--depth", "40", file.path)
    #expect(result.code == 0)
    #expect(!result.output.contains("\u{1B}"))
    #expect(result.output.contains("red\u{FFFD}[31m"))
  }

  @Test func aCommandThatWaitsEndsAtTheFirstInterruption() throws {
    let process = GPT4MM.process(["caption", "-"])
    process.standardInput = Pipe()  // never written to
    process.standardOutput = Pipe()
    let errors = Pipe()
    process.standardError = errors
    process.currentDirectoryURL = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    try process.run()
    Thread.sleep(forTimeInterval: 1.5)
    process.terminate()
    process.waitUntilExit()
    #expect(process.terminationStatus == 130)
    #expect(
      String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        == "gpt4mm: interrupted\n")
  }

  @Test func aFullDiskIsSaid() throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", "'\(GPT4MM.executable.path)' --help > /dev/full"]
    let result = try GPT4MM.finish(process)
    #expect(result.code == 1)
    #expect(result.errors == "gpt4mm: standard output cannot be written: is the disk full?\n")
  }

  @Test func doctorFindsEverythingThatIsNeeded() throws {
    let result = try GPT4MM.run("doctor")
    #expect(result.code == 0, "\(result.output)\(result.errors)")
    for subject in ["LibTorch: 2.15", "cpu", "libvips", "SentencePiece"] {
      #expect(result.output.contains("ok      \(subject)"))
    }
    #expect(try GPT4MM.run("doctor", "--json").output.contains("\"subject\" : \"LibTorch\""))
  }
}

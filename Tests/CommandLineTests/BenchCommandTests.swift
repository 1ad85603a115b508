import Foundation
import MultiModalModel
import MultiModalPipeline
import TestSupport
import Testing
import Torch

@Suite struct BenchCommandTests {
  /// A model folder `model` with a tokenizer, and a folder `data` of three pictures.
  private func folder() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try SmallBundle(vocabularySize: 272, width: 64).write(to: folder.url.appendingPathComponent("model"))
    var lines = ""
    for (index, text) in ["a cat", "a dog", "a cat"].enumerated() {
      let pixels: [UInt8] = (0..<256).flatMap { _ in [UInt8(60 * index), 100, 200] }
      try folder.write("", "data/.keep")
      try Picture(height: 16, width: 16, channels: 3, pixels: pixels).png()
        .write(to: folder.url.appendingPathComponent("data/\(index).png"))
      lines += #"{"file_name": "\#(index).png", "text": "\#(text)"}"# + "\n"
    }
    try folder.write(lines, "data/metadata.jsonl")
    return folder
  }

  private func run(_ words: [String], input: String? = nil) throws -> GPT4MM.Result {
    try GPT4MM.finish(GPT4MM.process(words), input: input.map { Data($0.utf8) })
  }

  private func json(_ text: String) throws -> [String: Any] {
    try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
  }

  private func number(_ object: [String: Any], _ name: String) throws -> Double {
    try #require(object[name] as? NSNumber, "\(name)").doubleValue
  }

  @Test(arguments: [["bench"], ["quantize"]]) func everyCommandHasHelp(command: [String]) throws {
    let result = try run(command + ["--help"])
    #expect(result.code == 0 && result.errors.isEmpty)
    #expect(result.output.contains("usage: gpt4mm \(command[0])"))
  }

  @Test func aModelIsQuantisedAndSaysHowMuchSmallerItIs() throws {
    let folder = try folder()
    let model = folder.path("model")
    for (precision, limit) in [("int8", 0.4), ("int4_weight_only", 0.35), ("bfloat16", 0.55)] {
      let out = folder.path(precision)
      let result = try run(["quantize", "--model", model, "--precision", precision, "--out", out])
      #expect(result.code == 0, "\(result.errors)")
      #expect(
        result.output.hasPrefix("\(out): \(precision), ") && result.output.hasSuffix(" MB of weights\n"))
      let sizes = result.output.matches(of: /([0-9.]+) MB of weights/).compactMap { Double($0.1) }
      #expect(sizes.count == 2)
      #expect(try #require(sizes.first) < limit * #require(sizes.last) + 0.1)
      let inspected = try run(["inspect", out])
      #expect(inspected.code == 0, "\(inspected.errors)")
      let caption = try run([
        "caption", "--model", out, "--quiet", "--max-new-tokens", "4", folder.path("data/0.png"),
      ])
      #expect(caption.code == 0, "\(caption.errors)")
    }
    let again = try run(["quantize", "--model", folder.path("int8"), "--out", folder.path("again")])
    #expect(again.code == 1)
    #expect(again.errors.contains("is quantised already: give the folder that it was made from"))
    let itself = try run(["quantize", "--model", model, "--out", model])
    #expect(itself.code == 1 && itself.errors.contains("is the folder to quantise: choose another to write"))
    #expect(!FileManager.default.fileExists(atPath: folder.path("again")))
  }

  @Test func wrongCallsExitWithTwoAndSayWhatIsMeant() throws {
    let wrong: [([String], String)] = [
      (["quantize", "--out", "x"], "'quantize' needs --model DIR"),
      (["quantize", "--model", "x"], "'quantize' needs --out DIR"),
      (
        ["quantize", "--model", "x", "--precision", "float32", "--out", "y"],
        "--precision float32 does not quantise: choose another"
      ),
      (
        ["quantize", "--model", "x", "--precision", "int3", "--out", "y"],
        "--precision must be float32 or bfloat16 or int8 or int8_weight_only or int4_weight_only, got 'int3'"
      ),
      (["bench", "--work", "forwrad"], "--work 'forwrad' is not known: did you mean 'forward'?"),
      (["bench", "--precision", "int9"], "--precision 'int9' is not known: did you mean 'int8'?"),
      (["bench", "--runs", "0"], "--runs must be from 1 to 1000000, got '0'"),
      (["bench", "--runs", "many"], "--runs must be a whole number, got 'many'"),
      (["bench", "--work", ""], "--work must not be empty"),
      (["bench", "--paced"], "--work 'forward,encode,generate,decode,train' is not known"),
      (
        ["bench", "--paced", "--work", "forward", "--batch", "-1"],
        "--batch must be from 1 to 1000000, got '-1'"
      ),
      (
        ["bench", "--paced", "--work", "forward", "--precision", "int8,bfloat16"],
        "--precision 'int8,bfloat16' is not known"
      ),
      (["bench", "--threads", "0"], "--threads must be from 1 to 1024, got 0"),
      (["evaluate", "--data", "x", "--precision", "int7"], "--precision must be float32 or bfloat16"),
      (["caption", "--precision", "half", "x.png"], "--precision must be float32 or bfloat16"),
    ]
    for (call, message) in wrong {
      let result = try run(call)
      #expect(result.code == 2, "\(call)")
      #expect(result.errors.hasPrefix("gpt4mm: ") && result.errors.contains(message), "\(result.errors)")
      #expect(result.errors.split(separator: "\n").count == 1)
      #expect(result.output.isEmpty)
    }
  }

  @Test func workIsTimedBesideTheMachinesLimits() throws {
    let folder = try folder()
    let result = try run([
      "bench", "--model", folder.path("model"), "--work", "forward,decode", "--precision", "float32,int8",
      "--text-length", "9", "--new-tokens", "5", "--runs", "2", "--json",
    ])
    #expect(result.code == 0, "\(result.errors)")
    #expect(result.errors.contains("Timing decode in int8"))
    let report = try json(result.output)
    let limits = try #require(report["limits"] as? [String: Any])
    let rates = try #require(limits["matmul_gigaflops"] as? [String: Double])
    #expect(rates.keys.sorted() == ["bfloat16", "float32", "int8"])
    #expect(rates.values.allSatisfy { $0 > 0 })
    #expect(try number(limits, "memory_read_gigabytes_per_second") > 0)
    #expect(report["start"] == nil)
    let results = try #require(report["results"] as? [[String: Any]])
    #expect(
      results.map { "\($0["work"] ?? "") \($0["precision"] ?? "")" } == [
        "forward float32", "forward int8", "decode float32", "decode int8",
      ])
    for result in results {
      #expect(try number(result, "runs") == 2 && number(result, "batch") == 1)
      #expect(try number(result, "text_length") == 9)
      #expect(try 0 < number(result, "min_seconds"))
      #expect(try number(result, "min_seconds") <= number(result, "median_seconds"))
      #expect(try number(result, "limit_seconds") > 0 && number(result, "flops") > 0)
      #expect(try number(result, "weight_bytes") > 0 && number(result, "threads") >= 1)
    }
    // int8 reads a quarter of the decoder's weights.
    #expect(try number(results[3], "weight_bytes") * 4 == number(results[2], "weight_bytes"))
  }

  @Test(arguments: ["forward", "encode", "generate", "decode", "train"])
  func aPacedBenchRunsAsOftenAsItIsTold(work: String) throws {
    let folder = try folder()
    let output = folder.url.appendingPathComponent("out.safetensors")
    let result = try run(
      [
        "bench", "--model", folder.path("model"), "--paced", "--work", work, "--precision", "bfloat16",
        "--text-length", "9", "--new-tokens", "5", "--batch", "2", "--output", output.path,
      ], input: "3\n2\n")
    #expect(result.code == 0, "\(result.errors)")
    let lines = try result.output.split(separator: "\n").map { try json(String($0)) }
    try #require(lines.count == 4)
    #expect(lines.first?["ready"] as? Bool == true)
    #expect(try number(lines[0], "flops") > 0)
    #expect(try number(lines[0], "weight_bytes") <= number(lines[0], "weight_bytes_total"))
    #expect((lines[1]["seconds"] as? [Double])?.count == 3)
    #expect((lines[2]["seconds"] as? [Double])?.count == 2)
    #expect(try number(lines[3], "peak_memory_bytes") > 1e6)
    let tensors = try Safetensors.read(output).tensors
    let vocabulary = try ModelFolder(folder.url.appendingPathComponent("model")).configuration()
      .vocabularySize
    let shapes: [String: [String: [Int]]] = [
      "forward": ["logits": [2, 9, vocabulary]], "encode": ["embeddings": [2, 4, 64]],
      "generate": ["tokens": [2, 5]], "decode": ["tokens": [2]], "train": ["losses": [5]],
    ]
    #expect(tensors.mapValues(\.shape) == shapes[work])
  }

  @Test func weightsLeaveMemoryAsTheyArePacked() throws {
    let folder = try TemporaryFolder()
    func peak(depth: Int) throws -> Double {
      let model = folder.url.appendingPathComponent("\(depth) layers")
      try SmallBundle(vocabularySize: 272, width: 512) {
        $0.decoderDepth = depth
        $0.decoderHeads = 8
      }.write(to: model)
      let result = try run(
        ["bench", "--model", model.path, "--paced", "--work", "decode", "--precision", "int8"], input: "1\n")
      #expect(result.code == 0, "\(result.errors)")
      let last = try #require(result.output.split(separator: "\n").last)
      return try number(json(String(last)), "peak_memory_bytes")
    }
    // A layer's two attentions and feed-forward have 16 x 512 x 512 weights: seven more are 117 MB as they are read and
    // 29 MB packed.
    let more = 7.0 * 16 * 512 * 512
    #expect(try peak(depth: 8) - peak(depth: 1) < 2.5 * more)
  }

  @Test func aPacedBenchTakesItsInputsAndRefusesWhatIsNoNumber() throws {
    let folder = try folder()
    let input = folder.url.appendingPathComponent("in.safetensors")
    let output = folder.url.appendingPathComponent("out.safetensors")
    let img = try Tensor.randn([1, 3, 16, 16], generator: Generator(seed: 1))
    let text = try Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3])
    try Safetensors.write([("img", img), ("text", text)], to: input)
    let call = [
      "bench", "--model", folder.path("model"), "--paced", "--work", "forward", "--precision", "float32",
      "--input",
      input.path, "--output", output.path,
    ]
    for word in ["0", "-1", "x", "1000001", "1.5", ""] {
      let result = try run(call, input: word + "\n")
      #expect(result.code == 2)
      #expect(
        result.errors == "gpt4mm: standard input must hold whole numbers from 1 on, got '\(word)'\n")
    }
    let expected = try withoutGradients {
      try ModelFolder(folder.url.appendingPathComponent("model")).model().forward(
        img: Tensor.cat([img, img]), text: text)
    }
    let logits = try #require(Safetensors.read(output).tensors["logits"])
    #expect(try (logits - expected).abs().amax().item(Float.self) < 1e-4)
  }

  @Test func aFolderIsEvaluatedInAPrecisionWithItsLoss() throws {
    let folder = try folder()
    func evaluate(_ more: String...) throws -> [String: Any] {
      let result = try run(
        ["evaluate", "--model", folder.path("model"), "--data", folder.path("data"), "--json"] + more)
      #expect(result.code == 0, "\(result.errors)")
      return try json(result.output)
    }
    let plain = try evaluate("--loss")
    let int8 = try evaluate("--loss", "--precision", "int8")
    #expect(try number(plain, "count") == 3)
    #expect(try abs(number(plain, "loss") - number(int8, "loss")) < 0.1)
    #expect(try number(plain, "loss") != number(int8, "loss"))
    #expect(try evaluate()["loss"] == nil)
    let text = try run([
      "evaluate", "--model", folder.path("model"), "--data", folder.path("data"), "--loss", "--precision",
      "int8",
    ])
    #expect(text.output.hasPrefix("3 pictures: exact match ") && text.output.contains(", loss "))
  }
}

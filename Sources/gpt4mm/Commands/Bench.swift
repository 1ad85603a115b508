import Foundation
import MultiModalBenchmark
import MultiModalModel
import MultiModalPipeline
import Torch

extension Command {
  static let bench = Command(
    name: "bench", summary: "Time a model on this machine, beside what the machine could do at best.",
    options: [
      Option("model", "DIR", default: "Models/emoji", "the model folder"),
      Option(
        "work", "LIST", default: "forward,encode,generate,decode,train",
        "what to time; also limits (the machine alone) and start (from the process's start to the first token)"
      ),
      Option(
        "precision", "LIST", default: "float32,bfloat16,int8,int8_weight_only",
        "what to compute in; also int4_weight_only"),
      Option("batch", "N", default: "1", "pictures and texts at once"),
      Option(
        "text-length", "N", "tokens of a text for forward and train (default: 50, or what the model takes)"),
      Option("image-size", "N", "height and width of the pictures (default: the model's)"),
      Option("new-tokens", "N", "tokens to generate (default: 64, or what the model takes)"),
      Option("runs", "N", default: "20", "timed runs of each, after two that do not count"),
      Option("activation-checkpointing", "train with less memory and more time"),
      Option("input", "FILE", "a safetensors file with img and text to compute with, for --paced"),
      Option("output", "FILE", "the safetensors file to write what was computed to, for --paced"),
      Option(
        "paced", "time one work in one precision, so many runs for each number read from standard input"),
      Shared.device, Shared.threads, Shared.json,
      Option(
        "first-token", "TIME:PICTURE", "what --work start runs, with the time at which it started the process"
      ),
    ],
    details:
      "Times are of whole calls as a program makes them. A share is what the machine's limit (its best matrix product, or "
      + "for decode reading the weights once) is of the shortest time.",
    examples: [
      "gpt4mm bench --model Models/emoji",
      "gpt4mm bench --model DIR --work decode --precision int8_weight_only",
    ]
  ) { arguments in
    if let start = arguments.string("first-token")?.split(separator: ":", maxSplits: 1), start.count == 2,
      let began = Double(start[0])
    {
      let model = try url(arguments.required("model"))
      let startUp = try await StartUp.run(model: model, began: began, picture: url(String(start[1])))
      return Terminal.print(try Shared.plain(startUp))
    }
    if arguments.flag("paced") { return try runPaced(arguments) }
    let device = try Shared.machine(arguments)
    let names = try list(arguments.required("work"))
    let works = try names.filter { $0 != "limits" && $0 != "start" }
      .map { try choice($0, "work", Workload.Kind.self, besides: ["limits", "start"]) }
    let precisions = try list(arguments.required("precision")).map {
      try choice($0, "precision", Precision.self)
    }
    let runs = try arguments.positive("runs", atMost: 1_000_000)
    let model = try arguments.required("model")
    var report = Report()
    if names.contains("start") {
      let program = Bundle.main.executablePath ?? CommandLine.arguments[0]
      report.start = try StartUp.measure(command: [program, "bench", "--model", model, "--first-token"])
    }
    let folder = try ModelFolder(url(model))
    for work in works {
      for precision in precisions where work != .train || Workload.trains(in: precision) {
        Terminal.note("Timing \(work.rawValue) in \(precision.rawValue)")
        var setting = try setting(arguments)
        setting.precision = precision
        report.results.append(
          try BenchmarkResult.measure(work, setting, folder: folder, runs: runs, device: device))
      }
    }
    // Last, because it takes more memory than many a model.
    if device == .cpu && names != ["start"] {
      Terminal.note("Measuring what the machine can do")
      let limits = try MachineLimits.measure()
      report.limits = limits
      report.results = report.results.map { $0.compared(with: limits) }
    }
    Terminal.print(arguments.flag("json") ? try Shared.encode(report, pretty: true) : report.table)
  }

  /// Speaks with a program that times several implementations in turn: a line of JSON when ready, one with the seconds of
  /// so many runs for each number read, and one with the peak of memory at the end.
  private static func runPaced(_ arguments: Arguments) throws {
    let device = try Shared.machine(arguments)
    if arguments.string("work") == "limits" {
      let reading = try MemoryReading()
      let bytes = MemoryReading.bytes
      return try serve(Ready(ready: true, flops: 0, weightBytes: bytes, weightBytesTotal: bytes)) { runs in
        try (0..<runs).map { _ in try Stopwatch.seconds { try reading.run() } }
      }
    }
    let work = try choice(arguments.required("work"), "work", Workload.Kind.self)
    var setting = try setting(arguments)
    setting.precision = try choice(arguments.required("precision"), "precision", Precision.self)
    if let output = arguments.string("output") { try AtomicFile.check(url(output)) }
    let inputs = try arguments.string("input").map { try Safetensors.read(url($0)).tensors } ?? [:]
    let workload = try Workload(
      work, setting, folder: ModelFolder(url(arguments.required("model"))), inputs: inputs, device: device)
    let results = try workload.firstResults()
    if let output = arguments.string("output") {
      try Safetensors.write(results.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }, to: url(output))
    }
    _ = try workload.times(runs: 2)
    let ready = Ready(
      ready: true, flops: workload.flops, weightBytes: workload.weightBytes,
      weightBytesTotal: workload.totalWeightBytes)
    try serve(ready) { try workload.times(runs: $0) }
  }

  private static func serve(_ ready: Ready, _ times: (Int) throws -> [Double]) throws {
    Terminal.print(try Shared.encode(ready))
    while let line = readLine() {
      guard let runs = Int(line), (1...1_000_000).contains(runs) else {
        throw UsageError("standard input must hold whole numbers from 1 on, got '\(line)'")
      }
      Terminal.print(try Shared.encode(Times(seconds: try times(runs))))
    }
    Terminal.print(try Shared.encode(Peak(peakMemoryBytes: ProcessMemory.peakBytes)))
  }

  private struct Ready: Encodable {
    let ready: Bool
    let flops: Double
    let weightBytes: Int
    let weightBytesTotal: Int
  }

  private struct Times: Encodable { let seconds: [Double] }

  private struct Peak: Encodable { let peakMemoryBytes: Int? }

  private struct Report: Encodable {
    var limits: MachineLimits?
    var start: StartUp?
    var results: [BenchmarkResult] = []

    var table: String {
      var lines = results.isEmpty ? [] : [BenchmarkResult.heads] + results.map(\.line)
      if let start {
        lines += start.stages.map { String(format: "%8.3f s  ", $0.seconds) + $0.name }
        lines.append(
          String(format: "%8.3f s  ", start.totalSeconds) + "from the process's start to the first token")
      }
      if let limits {
        let rates = limits.matmulGigaflops.sorted { $0.value < $1.value }
          .map { String(format: "%@ %.0f", $0.key, $0.value) }.joined(separator: ", ")
        lines.append("matrix products, GFLOP/s: \(rates)")
        lines.append(String(format: "reading memory, GB/s: %.1f", limits.memoryReadGigabytesPerSecond))
      }
      return lines.joined(separator: "\n")
    }
  }

  private static func setting(_ arguments: Arguments) throws -> Setting {
    var setting = Setting()
    setting.batch = try arguments.positive("batch", atMost: 1_000_000)
    func optional(_ name: String) throws -> Int? {
      arguments.string(name) == nil ? nil : try arguments.positive(name, atMost: 1_000_000)
    }
    setting.textLength = try optional("text-length")
    setting.imageSize = try optional("image-size")
    setting.newTokens = try optional("new-tokens")
    setting.activationCheckpointing = arguments.flag("activation-checkpointing")
    return setting
  }

  private static func list(_ text: String) -> [String] {
    text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
  }

  private static func choice<Choice: RawRepresentable & CaseIterable>(
    _ name: String, _ option: String, _ type: Choice.Type, besides others: [String] = []
  ) throws -> Choice where Choice.RawValue == String {
    guard let choice = Choice(rawValue: name) else {
      throw UsageError.unknown("--\(option)", name, among: Choice.allCases.map(\.rawValue) + others)
    }
    return choice
  }
}

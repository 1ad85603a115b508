import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

extension Command {
  static let initialize = Command(
    name: "init", summary: "Make a model folder with random weights.",
    options: [
      Option(
        "config", "FILE", "config.json with the documented parameters; missing ones have their defaults"),
      Option("seed", "N", default: "0", "the same seed gives the same weights"),
      Option("out", "DIR", "the folder to write"),
    ], examples: ["gpt4mm init --config config.json --seed 1 --out model"]
  ) { arguments in
    let configuration = try ModelFolder.configuration(contentsOf: url(arguments.required("config")))
    let out = try arguments.required("out")
    try check(configuration)
    let seed = try arguments.unsigned("seed") ?? 0
    let model = try configuration.makeModel(
      contents: .random(Generator(seed: seed)), dtype: .float32, device: .cpu)
    try ModelFolder.write(model, to: url(out))
    Terminal.print("\(out): \(model.parameters.count) parameters")
  }

  /// Says how much is to be drawn where that takes long, and refuses what does not fit.
  private static func check(_ configuration: any ImageToTextConfiguration) throws {
    let count = configuration.approximateParameters
    let size = String(format: "about %.1f billion parameters (%.0f GB)", count / 1e9, 4 * count / 1e9)
    guard 4 * count < Double(ProcessInfo.processInfo.physicalMemory) else {
      throw ModelError("the model would have \(size), more than this machine's memory holds: make it smaller")
    }
    if count > 5e8 { Terminal.note("Drawing \(size)") }
  }
}

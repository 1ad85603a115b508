import Foundation
import MultiModalModel
import MultiModalPipeline
import MultiModalTraining
import Torch

extension Command {
  static let initialize = Command(
    name: "init", summary: "Make a model folder with random weights.",
    options: [
      Option(
        "config", "FILE",
        "config.json with the documented parameters, or a recipe's, which says them in \"model\"; missing ones have their "
          + "defaults"),
      Option(
        "tokenizer", "PATH",
        "a tokenizer.model, or a model folder, whose vocabulary the model gets: without one it writes no texts"
      ),
      Option("seed", "N", default: "0", "the same seed gives the same weights"),
      Option("out", "DIR", "the folder to write"),
    ],
    examples: [
      "gpt4mm init --config config.json --seed 1 --out model",
      "gpt4mm init --config Examples/recipes/emoji/config.json --tokenizer Models/emoji --out model",
    ]
  ) { arguments in
    var (configuration, image) = try settings(url(arguments.required("config")))
    let out = try arguments.required("out")
    let tokenizer = try arguments.string("tokenizer").map { try Command.tokenizer(url($0)) }
    if let tokenizer { configuration.vocabularySize = tokenizer.vocabularySize }
    try check(configuration)
    let seed = try arguments.unsigned("seed") ?? 0
    let model = try configuration.makeModel(
      contents: .random(Generator(seed: seed)), dtype: .float32, device: .cpu)
    try ModelFolder.write(
      model, tokenizer: tokenizer, processor: ImageProcessor(configuration: image), to: url(out))
    Terminal.print("\(out): \(model.parameters.count) parameters")
  }

  /// What a model's or a recipe's file says of the model and its pictures.
  private static func settings(_ file: URL) throws -> (
    any ImageToTextConfiguration, ImageProcessor.Configuration
  ) {
    // Once: a pipe gives nothing more.
    let json = try InputFile.json(file)
    guard (try? JSONDecoder().decode([String: JSONValue].self, from: json))?["model"] == nil else {
      let recipe = try TrainingConfiguration(json, name: file.path)
      return (recipe.model.family, recipe.image)
    }
    let model = try ModelFolder.configuration(json, name: file.path)
    var image = ImageProcessor.Configuration()
    image.size = .init(height: model.pictureSize.height, width: model.pictureSize.width)
    return (model, image)
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

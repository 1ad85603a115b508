import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

/// Adapters without the weights they lie beside: a folder with `adapter_config.json` and `adapter_model.safetensors`, named as
/// Hugging Face's PEFT names them.
public enum AdapterFolder {
  struct Configuration: Codable {
    let rank: Int
    let alpha: Double
    /// Empty for all linear layers.
    let layers: [String]

    enum CodingKeys: String, CodingKey {
      case rank = "r"
      case alpha = "lora_alpha"
      case layers = "target_modules"
    }
  }

  static let configurationName = "adapter_config.json"
  static let weightsName = "adapter_model.safetensors"

  static func write(_ parameters: ParameterStore, rank: Int, alpha: Double, layers: [String], to url: URL)
    throws
  {
    try AtomicFile.makeFolder(url)
    try Safetensors.write(parameters.adapterTensors, to: url.appendingPathComponent(weightsName))
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    try AtomicFile.write(
      encoder.encode(Configuration(rank: rank, alpha: alpha, layers: layers)),
      to: url.appendingPathComponent(configurationName))
  }

  /// Writes a model folder with the adapters added to the weights of the model that they were learned for.
  /// - Throws: an error in the user's words when a part is missing or does not fit.
  public static func merge(_ url: URL, into base: ModelFolder, to other: URL) throws {
    let file = url.appendingPathComponent(configurationName)
    guard let data = try? Data(contentsOf: file) else {
      throw TrainingError(
        "\(file.path) cannot be read: give the folder \"adapter\" that a run with lora leaves")
    }
    let configuration: Configuration
    do {
      configuration = try JSONDecoder().decode(Configuration.self, from: data)
    } catch {
      throw TrainingError("\(file.path) must have r, lora_alpha and target_modules")
    }
    guard other.resolvingSymlinksInPath().path != base.url.resolvingSymlinksInPath().path else {
      throw TrainingError("\(other.path) is the model's own folder: choose another to write")
    }
    let model = try base.model()
    let parameters = model.parameters
    try parameters.addAdapters(
      rank: configuration.rank, alpha: configuration.alpha, layers: configuration.layers,
      contents: .uninitialized)
    let adapters = try Safetensors.read(url.appendingPathComponent(weightsName)).tensors
    let names = Set(try parameters.adapterTensors.map(\.0))
    guard names == Set(adapters.keys) else {
      throw TrainingError(
        "\(url.path) has adapters of other layers than \(base.url.path): give the model that they were learned for"
      )
    }
    var all = Dictionary(uniqueKeysWithValues: try parameters.tensors())
    all.merge(adapters) { $1 }
    _ = try parameters.load(all)
    try parameters.mergeAdapters()
    try ModelFolder.write(
      model, tokenizer: base.tokenizer(), processor: base.processor(), to: other,
      readme: "# A GPT4MultiModal model\n\nAdapters added to another model by `gpt4mm merge`.\n")
  }
}

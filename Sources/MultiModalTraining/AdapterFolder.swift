import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

/// Adapters without the weights they lie beside: a folder with `adapter_config.json` and `adapter_model.safetensors`, as
/// Hugging Face's PEFT writes and reads it.
public enum AdapterFolder {
  /// What PEFT needs to read adapters of plain layers, `W x + α / r B A x`, under its names.
  private struct Settings: Encodable {
    let type = "LORA"
    let rank: Int
    let alpha: Double
    /// The names of all layers that have adapters.
    let layers: [String]
    let bias = "none"
    let dropout = 0.0
    /// Whether alpha is divided by the rank's root instead of the rank.
    let dividesByRoot = false
    /// Of single layers.
    let alphas: [String: Double] = [:]

    enum CodingKeys: String, CodingKey {
      case type = "peft_type"
      case rank = "r"
      case alpha = "lora_alpha"
      case layers = "target_modules"
      case bias
      case dropout = "lora_dropout"
      case dividesByRoot = "use_rslora"
      case alphas = "alpha_pattern"
    }
  }

  private static let configurationName = "adapter_config.json"
  private static let weightsName = "adapter_model.safetensors"
  /// PEFT's own modules around the model; missing in folders of older versions.
  private static let prefix = "base_model.model."

  static func write(_ parameters: ParameterStore, rank: Int, alpha: Double, to url: URL) throws {
    try AtomicFile.makeFolder(url)
    try Safetensors.write(
      parameters.adapterTensors.map { (prefix + $0.0, $0.1) }, metadata: ["format": "pt"],
      to: url.appendingPathComponent(weightsName))
    let layers = parameters.parameters.filter { $0.adapter != nil }.map { layer(of: $0.name) }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    try AtomicFile.write(
      encoder.encode(Settings(rank: rank, alpha: alpha, layers: layers)),
      to: url.appendingPathComponent(configurationName))
  }

  /// The layer that a parameter belongs to.
  private static func layer(of name: String) -> String {
    String(name.dropLast(".weight".count))
  }

  /// Writes a model folder with the adapters added to the weights of the model that they were learned for.
  /// - Throws: an error in the user's words when a part is missing or does not fit.
  public static func merge(_ url: URL, into base: ModelFolder, to other: URL) throws {
    guard other.resolvingSymlinksInPath().path != base.url.resolvingSymlinksInPath().path else {
      throw TrainingError("\(other.path) is the model's own folder: choose another to write")
    }
    let bundle = try base.bundle(base.model())
    try merge(url, into: bundle.model.parameters)
    do { try bundle.model.parameters.checkFinite() } catch {
      throw TrainingError("\(other.path) is not written: \(error)")
    }
    try ModelFolder.write(
      bundle, to: other,
      readme:
        "# A model that writes texts for pictures\n\nAdapters added to another model by `gpt4mm merge`.\n")
  }

  /// Adds the adapters to a model's weights.
  static func merge(_ url: URL, into parameters: ParameterStore) throws {
    let (rank, alpha) = try scale(of: url)
    let adapters = try Dictionary(
      uniqueKeysWithValues: Safetensors.read(url.appendingPathComponent(weightsName)).tensors.map {
        ($0.hasPrefix(prefix) ? String($0.dropFirst(prefix.count)) : $0, $1)
      })
    let suffix = ".lora_A.weight"
    let layers = adapters.keys.filter { $0.hasSuffix(suffix) }.map { String($0.dropLast(suffix.count)) }
    let known = Set(parameters.parameters.map { layer(of: $0.name) })
    guard Set(layers.flatMap { [$0 + suffix, $0 + ".lora_B.weight"] }) == Set(adapters.keys),
      !layers.isEmpty, layers.allSatisfy(known.contains)
    else {
      throw TrainingError(
        "\(url.path) has adapters of other layers than the model: give the model that they were learned for")
    }
    try parameters.addAdapters(rank: rank, alpha: alpha, layers: layers, contents: .uninitialized)
    var all = Dictionary(uniqueKeysWithValues: try parameters.tensors())
    all.merge(adapters) { $1 }
    _ = try parameters.load(all)
    try parameters.mergeAdapters()
  }

  /// - Throws: `TrainingError` for adapters whose layers are no plain ones, or are not learned beside the base's own weights.
  ///   Which layers they are the weights' names say.
  private static func scale(of url: URL) throws -> (rank: Int, alpha: Double) {
    let file = url.appendingPathComponent(configurationName)
    guard access(file.path, F_OK) == 0 else {
      throw TrainingError(
        "\(file.path) cannot be read: give the folder \"adapter\" that a run with lora leaves")
    }
    let fields = try JSONFields(InputFile.json(file), name: file.path, error: TrainingError.init)
    try fields.expect("peft_type", "\"LORA\", the kind that is read here") { $0.string == "LORA" }
    try fields.expect("bias", "\"none\"") { $0.string == "none" }
    for name in ["use_rslora", "use_dora", "lora_bias"] {
      try fields.expect(name, "false") { $0.bool == false }
    }
    for name in ["alpha_pattern", "rank_pattern"] {
      try fields.expect(name, "empty, one rank and alpha for all layers") { $0.object?.isEmpty == true }
    }
    try fields.expect("init_lora_weights", "a beginning that leaves the base's weights as they are") {
      $0.bool != nil || ["gaussian", "eva", "orthogonal"].contains($0.string)
    }
    return (
      try fields.required("r") { try fields.integer($0, in: 1...4096) },
      try fields.required("lora_alpha") { try fields.number($0) }
    )
  }
}

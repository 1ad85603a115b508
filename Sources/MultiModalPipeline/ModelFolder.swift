import Foundation
import MultiModalModel
import Torch

/// A model as a folder: `config.json`, the weights (`model.safetensors`, a sharded
/// `model.safetensors.index.json`, or a PyTorch file), and what turns pictures and text into tensors
/// (`preprocessor_config.json`, `tokenizer.model`).
public struct ModelFolder: Sendable {
  public static let configurationName = "config.json"
  public static let weightsName = "model.safetensors"
  public static let tokenizerName = "tokenizer.model"
  public static let processorName = "preprocessor_config.json"

  public let url: URL

  /// - Throws: `ModelError` when there is no such folder or it lacks `config.json`.
  public init(_ url: URL) throws {
    self.url = url
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder), isFolder.boolValue else {
      throw ModelError("there is no model folder at \(url.path)")
    }
    guard FileManager.default.fileExists(atPath: file(Self.configurationName).path) else {
      throw ModelError("\(url.path) is no model folder: it lacks \(Self.configurationName)")
    }
  }

  private func file(_ name: String) -> URL { url.appendingPathComponent(name) }

  /// The parameters in `config.json`; those not in it have their defaults.
  public func configuration() throws -> Configuration {
    try Self.configuration(contentsOf: file(Self.configurationName))
  }

  public static func configuration(contentsOf url: URL) throws -> Configuration {
    let data: Data
    do {
      data = try Data(contentsOf: url)
    } catch {
      throw ModelError("\(url.path) cannot be read: \(error.localizedDescription)")
    }
    do {
      return try JSONDecoder().decode(Configuration.self, from: data)
    } catch let error as ModelError {
      throw ModelError("\(url.path): \(error.description)")
    } catch {
      throw ModelError("\(url.path) is not a JSON object with the model's parameters")
    }
  }

  /// Builds the model without initialising it and maps its weights.
  /// - Parameters:
  ///   - precision: prepares the model for inference in it; nil leaves it as it is, to be trained, unless the folder's
  ///     weights are quantised: then the model is prepared in their precision
  ///   - compatibility: instead of what `config.json` says
  /// - Throws: `TorchError` that lists every missing, unexpected and misshapen tensor.
  public func model(
    precision: Precision? = nil, compatibility: Configuration.Compatibility? = nil, device: Device = .cpu,
    dtype: DType = .float32
  ) throws -> GPT4MultiModal {
    let contents = try WeightFile.read(url)
    let precision = try precision ?? Self.precision(of: contents, in: url)
    let model = try load(
      contents, .uninitialized, compatibility, device, dtype, strict: true, keepsDType: precision != nil
    ).model
    if let precision { try model.prepareForInference(precision) }
    return model
  }

  /// What the folder's weights were quantised for; nil where they are not.
  public func precision() throws -> Precision? { try Self.precision(of: WeightFile.read(url), in: url) }

  private static func precision(of contents: Safetensors.Contents, in url: URL) throws -> Precision? {
    guard let name = contents.metadata[precisionKey] else { return nil }
    guard let precision = Precision(rawValue: name) else {
      throw ModelError(
        "the weights in \(url.path) have the precision \"\(name)\": known are "
          + Precision.allCases.map(\.rawValue).joined(separator: ", "))
    }
    return precision
  }

  private static let precisionKey = "precision"

  /// A model with those weights that fit it; the others are drawn as for a new model.
  /// - Parameters:
  ///   - seed: of the weights that are drawn
  ///   - compatibility: instead of what `config.json` says
  /// - Returns: also the names of all tensors that are missing, unexpected or misshapen
  public func partialModel(
    seed: UInt64, compatibility: Configuration.Compatibility? = nil, device: Device = .cpu,
    dtype: DType = .float32
  ) throws -> (model: GPT4MultiModal, report: LoadReport) {
    let weights = try WeightFile.read(url)
    guard try Self.precision(of: weights, in: url) == nil else {
      throw ModelError(
        "\(url.path) is quantised, so it cannot be loaded in part: use the folder it was made from")
    }
    return try load(weights, .random(Generator(seed: seed)), compatibility, device, dtype, strict: false)
  }

  /// Writes this folder's model to another folder with its weights quantised; what belongs to pictures and text is copied.
  public func quantized(_ precision: Precision, to other: URL) throws {
    guard other.resolvingSymlinksInPath().path != url.resolvingSymlinksInPath().path else {
      throw ModelError("\(url.path) is the folder to quantise: choose another to write")
    }
    func part(_ name: String) -> Bool { FileManager.default.fileExists(atPath: file(name).path) }
    let readme = part("README.md") ? try? String(contentsOf: file("README.md"), encoding: .utf8) : nil
    try Self.write(
      model(), tokenizer: part(Self.tokenizerName) ? tokenizer() : nil,
      processor: part(Self.processorName) ? processor() : nil, to: other, precision: precision,
      readme: readme.map {
        $0 + "\nIts weights were quantised for \(precision.rawValue) by `gpt4mm quantize`.\n"
      })
  }

  private func load(
    _ weights: Safetensors.Contents, _ contents: ParameterStore.Contents,
    _ compatibility: Configuration.Compatibility?, _ device: Device,
    _ dtype: DType, strict: Bool, keepsDType: Bool = false
  ) throws -> (model: GPT4MultiModal, report: LoadReport) {
    var configuration = try configuration()
    if let compatibility { configuration.compatibility = compatibility }
    let model = try GPT4MultiModal(configuration, contents: contents, dtype: dtype, device: device)
    return (model, try model.parameters.load(weights.tensors, strict: strict, keepsDType: keepsDType))
  }

  public func tokenizer() throws -> Tokenizer { try Tokenizer(contentsOf: file(Self.tokenizerName)) }

  public func processor() throws -> ImageProcessor {
    try ImageProcessor(configuration: .init(contentsOf: file(Self.processorName)))
  }

  /// Writes a model folder, each file complete or not at all.
  /// - Parameters:
  ///   - dtype: that of the weights in the file; bfloat16 halves it
  ///   - precision: instead, quantises the weights for it; such a folder is for inference alone
  public static func write(
    _ model: GPT4MultiModal, tokenizer: Tokenizer? = nil, processor: ImageProcessor? = nil, to url: URL,
    dtype: DType = .float32, precision: Precision? = nil, readme: String? = nil
  ) throws {
    let tensors =
      try precision.map { try model.parameters.tensors($0) } ?? model.parameters.tensors(dtype: dtype)
    try AtomicFile.makeFolder(url)
    let folder = { (name: String) in url.appendingPathComponent(name) }
    var metadata = ["format": "pt"]
    metadata[precisionKey] = precision?.rawValue
    try Safetensors.write(tensors, metadata: metadata, to: folder(weightsName))
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    try AtomicFile.write(encoder.encode(model.configuration), to: folder(configurationName))
    try processor?.configuration.write(to: folder(processorName))
    if let tokenizer { try AtomicFile.write(tokenizer.modelData, to: folder(tokenizerName)) }
    if let readme { try AtomicFile.write(Data(readme.utf8), to: folder("README.md")) }
  }
}

import Foundation
import MultiModalModel
import Torch

/// A model as a folder: `config.json`, the weights (`model.safetensors`, a sharded
/// `model.safetensors.index.json`, or a PyTorch file), and what turns pictures and text into tensors
/// (`preprocessor_config.json`, `tokenizer.model`).
public struct ModelFolder: Sendable {
  /// Where a folder says what model it holds.
  public static let configurationName = "config.json"
  /// Where a folder holds its weights, if they are one file of safetensors.
  public static let weightsName = "model.safetensors"
  /// Where a folder says what is done with pictures.
  public static let processorName = "preprocessor_config.json"
  /// Where newer versions of transformers write the same.
  static let newProcessorName = "processor_config.json"
  /// Where a folder says how its texts are generated.
  public static let generationName = "generation_config.json"

  /// The folder.
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

  /// What `config.json` says; parameters that are not in it have their defaults.
  public func configuration() throws -> any ImageToTextConfiguration {
    try Self.configuration(contentsOf: file(Self.configurationName))
  }

  /// What a `config.json` says, of any family.
  public static func configuration(contentsOf url: URL) throws -> any ImageToTextConfiguration {
    try configuration(InputFile.json(url), name: url.path)
  }

  /// - Parameter name: the file's, for errors
  package static func configuration(_ json: Data, name: String) throws -> any ImageToTextConfiguration {
    do {
      return try JSONDecoder().decode(ModelConfiguration.self, from: json).family
    } catch let error as ModelError {
      throw ModelError("\(name): \(error.description)")
    } catch {
      throw ModelError("\(name) is not a JSON object with the model's parameters")
    }
  }

  /// Builds the model without initialising it and maps its weights.
  /// - Parameters:
  ///   - precision: prepares the model for inference in it; nil leaves it as it is, to be trained, unless the folder's
  ///     weights are quantised: then the model is prepared in their precision
  ///   - configuration: instead of what `config.json` says
  /// - Throws: `TorchError` that lists every missing, unexpected and misshapen tensor.
  public func model(
    precision: Precision? = nil, configuration: (any ImageToTextConfiguration)? = nil, device: Device = .cpu,
    dtype: DType = .float32
  ) throws -> any ImageToTextModel {
    let contents = try WeightFile.read(url)
    let precision = try precision ?? Self.precision(of: contents, in: url)
    return try model(of: consume contents, precision, configuration, device, dtype)
  }

  /// - Parameter contents: given up, so that each tensor's memory is free again as soon as it is packed
  private func model(
    of contents: consuming Safetensors.Contents, _ precision: Precision?,
    _ configuration: (any ImageToTextConfiguration)?, _ device: Device, _ dtype: DType
  ) throws -> any ImageToTextModel {
    let stamps = contents.stamps
    let model = try load(
      consume contents, .uninitialized, configuration, device, dtype, strict: true,
      keepsDType: precision != nil
    ).model
    // What is neither packed nor converted is copied first, while little else is in memory.
    try model.parameters.leaveFiles {
      switch $0.role {
      case .weight: false
      case .embedding: try precision == nil || $0.value.dtype == precision?.storageDType
      case .vector, .position, .buffer: true
      }
    }
    if let precision {
      try model.prepareForInference(precision)
      try checkFinite(model)
    }
    try model.parameters.leaveFiles { $0.role == .weight }
    for stamp in stamps { try stamp.checkUnchanged() }
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
  ///   - configuration: instead of what `config.json` says
  /// - Returns: also the names of all tensors that are missing, unexpected or misshapen
  public func partialModel(
    seed: UInt64, configuration: (any ImageToTextConfiguration)? = nil, device: Device = .cpu,
    dtype: DType = .float32
  ) throws -> (model: any ImageToTextModel, report: LoadReport) {
    let weights = try WeightFile.read(url)
    guard try Self.precision(of: weights, in: url) == nil else {
      throw ModelError(
        "\(url.path) is quantised, so it cannot be loaded in part: use the folder it was made from")
    }
    return try load(weights, .random(Generator(seed: seed)), configuration, device, dtype, strict: false)
  }

  /// Writes this folder's model to another folder with its weights quantised; what belongs to pictures and text is copied.
  public func quantized(_ precision: Precision, to other: URL) throws {
    guard other.resolvingSymlinksInPath().path != url.resolvingSymlinksInPath().path else {
      throw ModelError("\(url.path) is the folder to quantise: choose another to write")
    }
    func part(_ name: String) -> Bool { FileManager.default.fileExists(atPath: file(name).path) }
    let readme = part("README.md") ? try? String(contentsOf: file("README.md"), encoding: .utf8) : nil
    let model = try model()
    try checkFinite(model)
    let tokenizer = TokenizerFiles.lie(in: url) ? try tokenizer() : nil
    let hasProcessor = [Self.processorName, Self.newProcessorName].contains(where: part)
    try Self.write(
      model, tokenizer: tokenizer, processor: hasProcessor ? processor() : nil,
      generation: tokenizer.map { try generation(model.configuration, $0) }, to: other, precision: precision,
      readme: readme.map {
        $0 + "\nIts weights were quantised for \(precision.rawValue) by `gpt4mm quantize`.\n"
      })
  }

  /// - Throws: `ModelError` for weights that hold NaN or infinity, which would be numbers like others once they are rounded.
  private func checkFinite(_ model: any ImageToTextModel) throws {
    do { try model.parameters.checkFinite() } catch { throw ModelError("\(url.path): \(error)") }
  }

  private func load(
    _ weights: consuming Safetensors.Contents, _ contents: ParameterStore.Contents,
    _ given: (any ImageToTextConfiguration)?, _ device: Device, _ dtype: DType, strict: Bool,
    keepsDType: Bool = false
  ) throws -> (model: any ImageToTextModel, report: LoadReport) {
    let model = try (given ?? configuration()).makeModel(contents: contents, dtype: dtype, device: device)
    // Quantised weights have our own names.
    let isOwn = weights.metadata[Self.precisionKey] != nil
    do {
      let tensors = try isOwn ? weights.tensors : model.parameterTensors(of: weights.tensors)
      return (model, try model.parameters.load(tensors, strict: strict, keepsDType: keepsDType))
    } catch let error as TorchError {
      throw TorchError(
        "\(url.path): \(error.description); config.json and the weights must be of the same model: copy both from its folder anew"
      )
    }
  }

  /// The model with its tokenizer, processor and generation settings.
  /// - Parameter precision: what to compute in; what the folder's weights were quantised for, or float32, when nil
  /// - Throws: an error in the user's words when the folder lacks a part or its parts do not fit together.
  public func bundle(precision: Precision? = nil, device: Device = .cpu) throws -> ModelBundle {
    let contents = try WeightFile.read(url)
    let precision = try precision ?? Self.precision(of: contents, in: url) ?? .float32
    return try bundle(model(of: consume contents, precision, nil, device, .float32))
  }

  /// The folder's other parts with a model, such as one that is trained further.
  public func bundle(_ model: any ImageToTextModel) throws -> ModelBundle {
    let (tokenizer, processor) = (try tokenizer(), try processor())
    do {
      return try ModelBundle(
        model: model, tokenizer: tokenizer, processor: processor,
        generation: generation(model.configuration, tokenizer))
    } catch {
      throw ModelError("the parts of \(url.path) do not fit together: \(error)")
    }
  }

  /// - Throws: `TokenizerError` for a folder without one, or of a kind that is not known.
  public func tokenizer() throws -> any Tokenizer { try TokenizerFiles(contentsOf: url).tokenizer(url.path) }

  /// What makes its pictures ready.
  public func processor() throws -> ImageProcessor {
    let (settings, saysLayout) = try ImageProcessor.Configuration.read(folder: url)
    // Our own kind of file says how pictures are laid out; one that does not, beside a checkpoint, has lost its class.
    guard try saysLayout || settings.huggingFace != nil || configuration().generationFields == nil else {
      throw PictureError(
        .invalidArgument,
        "\(file(Self.processorName).path) names no image_processor_type: add the class that the model was trained with, such as ViTImageProcessor"
      )
    }
    return try ImageProcessor(configuration: settings)
  }

  /// How the folder's texts begin and end, where its `config.json` and tokenizer alone do not say it.
  package func bundledGeneration() throws -> [String: JSONValue]? {
    let (configuration, tokenizer) = (try configuration(), try tokenizer())
    let settings = try generation(configuration, tokenizer)
    return settings == (try? GenerationSettings(configuration, tokenizer)) ? nil : settings.fields
  }

  /// How texts begin and end and what is asked for by default: what `generation_config.json` says or, without it, `config.json`.
  package func generation(_ configuration: any ImageToTextConfiguration, _ tokenizer: (any Tokenizer)?) throws
    -> GenerationSettings
  {
    let fields = try generationFields(configuration)
    do {
      return try GenerationSettings(configuration, tokenizer, fields)
    } catch {
      throw ModelError("\(file(Self.generationName).path): \(error)")
    }
  }

  /// By the names of transformers' `GenerationConfig`; nil where neither file says anything.
  func generationFields(_ configuration: any ImageToTextConfiguration) throws -> [String: JSONValue]? {
    let file = file(Self.generationName)
    let own = configuration.generationFields
    guard FileManager.default.fileExists(atPath: file.path) else { return own }
    guard let fields = try? JSONDecoder().decode([String: JSONValue].self, from: InputFile.json(file)) else {
      throw ModelError("\(file.path) is not a JSON object with settings for generating")
    }
    return own.map { Self.resolved(fields, $0) } ?? fields
  }

  private static let startNames = ["decoder_start_token_id", "bos_token_id"]
  private static let tokenNames = startNames + ["eos_token_id", "pad_token_id"]

  /// As transformers 4 resolves them: a `generation_config.json` that was itself made of `config.json` yields to what that says now.
  /// - Parameters:
  ///   - fields: of `generation_config.json`
  ///   - own: what `config.json` says
  private static func resolved(_ fields: [String: JSONValue], _ own: [String: JSONValue]) -> [String:
    JSONValue]
  {
    if fields["_from_model_config"] == .bool(true), own.keys.contains(where: { !tokenNames.contains($0) }) {
      return own
    }
    guard startNames.allSatisfy({ fields[$0] ?? .null == .null }) else { return fields }
    return fields.merging(own.filter { startNames.contains($0.key) }) { $1 }
  }

  /// Writes a model folder with all its parts.
  /// - Parameter dtype: that of the weights in the file; bfloat16 halves it
  public static func write(
    _ bundle: ModelBundle, to url: URL, dtype: DType = .float32, readme: String? = nil
  ) throws {
    try write(
      bundle.model, tokenizer: bundle.tokenizer, processor: bundle.processor, generation: bundle.generation,
      to: url, dtype: dtype, readme: readme)
  }

  /// Writes a model folder, each file complete or not at all.
  /// - Parameters:
  ///   - dtype: that of the weights in the file; bfloat16 halves it
  ///   - precision: instead, quantises the weights for it; such a folder is for inference alone
  public static func write(
    _ model: any ImageToTextModel, tokenizer: (any Tokenizer)? = nil, processor: ImageProcessor? = nil,
    generation: GenerationSettings? = nil, to url: URL,
    dtype: DType = .float32, precision: Precision? = nil, readme: String? = nil
  ) throws {
    let tensors =
      try precision.map { try model.parameters.tensors($0) }
      ?? model.checkpointTensors(of: model.parameters.tensors(dtype: dtype))
    try AtomicFile.makeFolder(url)
    let folder = { (name: String) in url.appendingPathComponent(name) }
    var metadata = ["format": "pt"]
    metadata[precisionKey] = precision?.rawValue
    try Safetensors.write(tensors, metadata: metadata, to: folder(weightsName))
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    try AtomicFile.write(
      encoder.encode(ModelConfiguration(model.configuration)), to: folder(configurationName))
    try processor?.configuration.write(to: folder(processorName))
    try tokenizer?.files.write(to: url)
    if let fields = generationFields(generation, model.configuration, tokenizer) {
      try AtomicFile.write(encoder.encode(fields), to: folder(generationName))
    }
    if let readme { try AtomicFile.write(Data(readme.utf8), to: folder("README.md")) }
  }

  /// What a `generation_config.json` must say; nil where the other files say it.
  private static func generationFields(
    _ generation: GenerationSettings?, _ configuration: any ImageToTextConfiguration,
    _ tokenizer: (any Tokenizer)?
  ) -> [String: JSONValue]? {
    guard let generation else { return nil }
    guard configuration.generationFields != nil else {
      return generation == (try? GenerationSettings(configuration, tokenizer)) ? nil : generation.fields
    }
    var fields = generation.fields
    // transformers ends texts at 20 tokens where nothing is said; the last token of a text is not fed back.
    if generation.options.maxLength == nil, generation.options.maxNewTokens == nil {
      fields["max_length"] = .int(configuration.longestText + 1)
    }
    return fields
  }
}

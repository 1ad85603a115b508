import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

// What is missing keeps its default, what is unknown is refused, because a misspelt setting that is silently ignored trains
// another model. So is null, which may be meant for none.

extension JSONFields {
  init(training decoder: any Decoder) throws {
    try self.init(from: decoder, takesNull: false) { TrainingError("\($0) \($1)") }
  }
}

extension TrainingConfiguration {
  /// A text with values put in.
  /// - Parameter settings: as in `training.epochs=3`; what is no JSON is a string
  static func setting(_ settings: [String], in data: Data) throws -> Data {
    guard !settings.isEmpty else { return data }
    var whole = try JSONDecoder().decode(JSONValue.self, from: data)
    for setting in settings {
      let parts = setting.split(separator: "=", maxSplits: 1)
      guard parts.count == 2 else {
        throw TrainingError(
          "\"\(setting)\" sets nothing: write a setting and its value, as in training.epochs=3")
      }
      whole = try put(
        value(String(parts[1])), at: parts[0].split(separator: ".")[...], in: whole, setting)
    }
    return try JSONEncoder().encode(whole)
  }

  /// What is JSON to the strict reader of files; else a text.
  private static func value(_ text: String) -> JSONValue {
    let json = Data(text.utf8)
    guard (try? json.withUnsafeBytes { try JSONScanner.parse($0) }) != nil,
      let value = try? JSONDecoder().decode(JSONValue.self, from: json)
    else { return .string(text) }
    return value
  }

  private static func put(
    _ value: JSONValue, at path: ArraySlice<Substring>, in whole: JSONValue?, _ setting: String
  ) throws -> JSONValue {
    guard let name = path.first else { return value }
    guard case .object(var fields) = whole ?? [:] else {
      throw TrainingError("\"\(setting)\" finds no object in braces that \(name) could be a field of")
    }
    fields[String(name)] = try put(value, at: path.dropFirst(), in: fields[String(name)], setting)
    return .object(fields)
  }
}

extension TrainingConfiguration.Vocabulary {
  /// Reads the settings that are given.
  public init(from decoder: any Decoder) throws {
    self.init()
    let fields = try JSONFields(training: decoder)
    vocabularySize = try fields.integer("vocabulary_size") ?? vocabularySize
    type = try fields.choice("type") ?? type
    try fields.refuseUnknown()
  }
}

extension TrainingConfiguration.DataReading {
  /// Reads the settings that are given.
  public init(from decoder: any Decoder) throws {
    self.init()
    let fields = try JSONFields(training: decoder)
    shuffleBuffer = try fields.integer("shuffle_buffer") ?? shuffleBuffer
    bucketBatches = try fields.integer("bucket_batches") ?? bucketBatches
    workers = try fields.integer("workers") ?? workers
    maxDamagedShare = try fields.number("max_damaged_share") ?? maxDamagedShare
    validation = try fields.string("validation") ?? validation
    validationShare = try fields.number("validation_share") ?? validationShare
    try fields.refuseUnknown()
  }
}

extension TrainingConfiguration.Distribution {
  /// Reads the settings that are given.
  public init(from decoder: any Decoder) throws {
    self.init()
    let fields = try JSONFields(training: decoder)
    bucketMegabytes = try fields.number("bucket_megabytes") ?? bucketMegabytes
    shardOptimizer = try fields.bool("shard_optimizer") ?? shardOptimizer
    timeoutSeconds = try fields.integer("timeout_seconds") ?? timeoutSeconds
    try fields.refuseUnknown()
  }
}

extension TrainingConfiguration.LowRankAdaptation {
  /// Reads the settings that are given.
  public init(from decoder: any Decoder) throws {
    self.init()
    let fields = try JSONFields(training: decoder)
    rank = try fields.integer("rank") ?? rank
    alpha = try fields.number("alpha") ?? alpha
    layers = try fields.texts("layers") ?? layers
    try fields.refuseUnknown()
  }
}

extension TrainingConfiguration.Training {
  /// Reads the settings that are given.
  public init(from decoder: any Decoder) throws {
    self.init()
    let fields = try JSONFields(training: decoder)
    epochs = try fields.integer("epochs") ?? epochs
    batchSize = try fields.integer("batch_size") ?? batchSize
    gradientAccumulationSteps = try fields.integer("gradient_accumulation_steps") ?? gradientAccumulationSteps
    precision = try fields.choice("precision") ?? precision
    activationCheckpointing = try fields.bool("activation_checkpointing") ?? activationCheckpointing
    learningRate = try fields.number("learning_rate") ?? learningRate
    minLearningRate = try fields.number("min_learning_rate") ?? minLearningRate
    warmupSteps = try fields.integer("warmup_steps") ?? warmupSteps
    schedule = try fields.choice("schedule") ?? schedule
    labelSmoothing = try fields.number("label_smoothing") ?? labelSmoothing
    weightDecay = try fields.number("weight_decay") ?? weightDecay
    beta1 = try fields.number("beta1") ?? beta1
    beta2 = try fields.number("beta2") ?? beta2
    clipNorm = try fields.number("clip_norm") ?? clipNorm
    emaDecay = try fields.number("ema_decay") ?? emaDecay
    freeze = try fields.texts("freeze") ?? freeze
    seed = try fields.integer("seed", in: 0...Int.max).map(UInt64.init) ?? seed
    validationEvery = try fields.integer("validation_every") ?? validationEvery
    generatedSamples = try fields.integer("generated_samples") ?? generatedSamples
    earlyStopPatience = try fields.integer("early_stop_patience") ?? earlyStopPatience
    checkpointEvery = try fields.integer("checkpoint_every") ?? checkpointEvery
    keepCheckpoints = try fields.integer("keep_checkpoints") ?? keepCheckpoints
    maxSkippedSteps = try fields.integer("max_skipped_steps") ?? maxSkippedSteps
    export = try fields.choice("export") ?? export
    weights = try fields.choice("weights") ?? weights
    if fields["lora"] != nil {
      lora = try decoder.container(keyedBy: CodingKeys.self).decode(type(of: lora), forKey: .lora)
    }
    try fields.refuseUnknown()
  }
}

import Foundation
import MultiModalModel
import MultiModalPipeline
import MultiModalTraining
import Torch

/// The sizes of a piece of work.
public struct Setting: Sendable {
  /// What is computed in.
  public var precision = Precision.float32
  /// Pictures at a time.
  public var batch = 1
  /// Tokens of a text; 50, or as many as the model takes, when nil.
  public var textLength: Int?
  /// Height and width of the pictures; the model's own when nil.
  public var imageSize: Int?
  /// Tokens to generate; 64, or as many as the model takes, when nil.
  public var newTokens: Int?
  /// While training.
  public var activationCheckpointing = false

  /// One picture in float32.
  public init() {}
}

/// A model with inputs, ready to be timed. Inputs are drawn with a seed, or given.
public final class Workload {
  /// What can be timed.
  public enum Kind: String, Sendable, CaseIterable, Codable {
    /// Logits of pictures and texts.
    case forward
    /// The encoder's output of pictures.
    case encode
    /// So many tokens, greedily, from a picture and one token on.
    case generate
    /// One token more with the cache, as `generate` computes it.
    case decode
    /// Forward, backward and AdamW.
    case train
  }

  /// Floating-point operations of the matrix products of one run.
  public let flops: Double
  /// Bytes of weights that one run reads at least; those of a decoder's step for `decode`.
  public let weightBytes: Int
  /// Bytes of all the model's weights in its precision.
  public let totalWeightBytes: Int
  let work: Kind
  private let setting: Setting
  private let model: any ImageToTextModel
  /// Tokens of each text, and how many are generated.
  let textLength: Int
  let newTokens: Int
  private let img: Tensor
  private let text: Tensor
  private let training: TrainingStep?
  private var stream: TokenStream.Iterator?
  private var streamed = 0

  /// - Parameter inputs: `img` and `text` as `gpt4mm forward` takes them, one row of which is repeated to fill the batch; drawn where
  ///   missing. `lengths`, [batch], is how many of each text's tokens `generate` and `decode` begin with, 1 where it is missing
  /// - Throws: `ModelError` for sizes that the model cannot take.
  public init(
    _ work: Kind, _ setting: Setting, folder: ModelFolder, inputs: [String: Tensor] = [:],
    device: Device = .cpu
  ) throws {
    let isTraining = work == .train
    guard !isTraining || Self.trains(in: setting.precision) else {
      throw ModelError("training computes in float32 or bfloat16, not in \(setting.precision.rawValue)")
    }
    try Self.check(inputs)
    var setting = setting
    if let rows = inputs["text"]?.shape.first, rows > 1 { setting.batch = rows }
    self.work = work
    self.setting = setting
    let model = try folder.model(precision: isTraining ? nil : setting.precision, device: device)
    self.model = model
    let limits = model.decoder.limits
    let own = model.configuration.pictureSize
    let (height, width) = (setting.imageSize ?? own.height, setting.imageSize ?? own.width)
    let generator = try Generator(seed: 0)
    func repeated(_ given: Tensor?, _ make: () throws -> Tensor) throws -> Tensor {
      let one = try given ?? make()
      guard one.shape[0] == 1 || one.shape[0] == setting.batch else {
        throw ModelError(
          "the input has \(one.shape[0]) rows, but the batch is \(setting.batch): they must be equal")
      }
      let rows = Array(one.shape.dropFirst())
      return try (one.shape[0] == setting.batch ? one : one.expand([setting.batch] + rows)).contiguous()
        .to(device: device)
    }
    img = try repeated(inputs["img"]) {
      try .rand([1, model.configuration.channels, height, width], generator: generator)
    }
    newTokens = setting.newTokens ?? min(64, limits.longestText - 1)
    let wanted = setting.textLength ?? min(50, limits.longestText)
    text = try repeated(inputs["text"]) {
      let drawn = try Tensor.rand([1, wanted], generator: generator)
      return try (drawn * Double(limits.vocabulary)).to(dtype: .int64)
    }
    textLength = text.shape[1]
    prompts = try Self.prompts(text, inputs["lengths"])
    training = isTraining ? try Self.trainingStep(model, setting, device) : nil
    let img = img
    let positions = try withoutGradients { try model.encode(img).shape[1] }
    let cost = WorkCost(model, positions: positions)
    flops = cost.flops(work, batch: setting.batch, textLength: textLength, newTokens: newTokens)
    totalWeightBytes = cost.weightBytes(setting.precision)
    weightBytes = work == .decode ? cost.decoderStepBytes(setting.precision) : totalWeightBytes
  }

  private static func check(_ inputs: [String: Tensor]) throws {
    for (name, rank) in [("img", 4), ("text", 2)] {
      if let shape = inputs[name]?.shape, shape.count != rank || shape.contains(0) {
        throw ModelError(
          "\(name) in the input has shape \(shape), but must have \(rank) dimensions, none of them 0")
      }
    }
  }

  private static func trainingStep(_ model: any ImageToTextModel, _ setting: Setting, _ device: Device) throws
    -> TrainingStep
  {
    for parameter in model.parameters.trainable { try parameter.value.requiresGrad_() }
    let optimizer = try AdamW(
      groups: [ParameterGroup(parameters: model.parameters.trainable, weightDecay: 0.01)])
    model.checkpointsActivations = setting.activationCheckpointing
    return TrainingStep(
      model, optimizer, precision: setting.precision == .bfloat16 ? .bfloat16 : .float32, clipNorm: nil,
      device: device)
  }

  /// Does the work once.
  /// - Returns: what it computed, by the names that implementations are compared by
  @discardableResult
  public func run() throws -> [String: Tensor] {
    switch work {
    case .forward:
      return try withoutGradients { ["logits": try model.forward(img: img, text: text)] }
    case .encode:
      return try withoutGradients { ["embeddings": try model.encode(img)] }
    case .generate:
      var options = GenerationOptions()
      options.maxNewTokens = newTokens
      let texts = try model.generate(img: img, prompts: prompts, options: options)
      return [
        "tokens": try Tensor(texts.flatMap { $0[0].tokens }, shape: [setting.batch, newTokens])
      ]
    case .decode:
      var tokens: [Int] = []
      for _ in 0..<setting.batch { tokens.append(try nextToken()) }
      return ["tokens": try Tensor(tokens)]
    case .train:
      guard let training else { return [:] }
      let length = text.shape[1] - 1
      let batch = Batch(
        images: img, text: text, mask: nil, targets: try text.narrow(1, start: 1, length: length),
        targetCount: setting.batch * length)
      return ["losses": try Tensor([Float(training([batch], learningRate: 1e-4).loss)])]
    }
  }

  /// What a run needs but does not count: a text to go on with.
  public func prepareRun() throws {
    guard work == .decode, stream == nil || streamed >= newTokens * setting.batch else { return }
    var options = GenerationOptions()
    options.maxNewTokens = newTokens + 1
    stream = try model.stream(img: img, prompts: prompts, options: options).makeAsyncIterator()
    streamed = 0
    for _ in 0..<setting.batch { _ = try nextToken() }
    streamed = 0
  }

  /// What generation begins with.
  private let prompts: [[Int]]

  /// - Parameter lengths: [batch], or nil for one token of each text
  private static func prompts(_ text: Tensor, _ lengths: Tensor?) throws -> [[Int]] {
    let (rows, columns) = (text.shape[0], text.shape[1])
    let lengths = try lengths?.array(of: Int.self) ?? Array(repeating: 1, count: rows)
    guard lengths.count == rows, lengths.allSatisfy({ (1...columns).contains($0) }) else {
      throw ModelError("lengths in the input must be \(rows) numbers from 1 to \(columns), got \(lengths)")
    }
    let tokens = try text.array(of: Int.self)
    return lengths.enumerated().map { Array(tokens[$0 * columns..<$0 * columns + $1]) }
  }

  private func nextToken() throws -> Int {
    streamed += 1
    guard let token = try stream?.advance() else { throw ModelError("the text ended early") }
    return token.id
  }
}

import Foundation
import MultiModalModel
import Torch

/// Pictures in, texts out: a model folder behind one call.
///
///     let captioner = try Captioner(contentsOf: URL(fileURLWithPath: "Models/emoji"))
///     let captions = try await captioner.caption([captioner.processor(url)])
///     print(captions[0][0].text)
public actor Captioner {
  /// A text for a picture.
  public struct Caption: Sendable, Equatable {
    /// Without the prompt.
    public let text: String
    /// Token ids and the model's log-probability of each.
    public let tokens: [Int]
    public let logProbabilities: [Double]
    public let finish: GeneratedText.FinishReason
    /// Of a beam search; nil otherwise.
    public let score: Double?
  }

  /// What a text is asked for.
  public struct Request: Sendable {
    /// What the text begins with, as in training; nil for none.
    public var prompt: String?
    /// The tokenizer's end of text is always a stop token too.
    public var options = GenerationOptions()
    /// Strings at which a text ends, without them.
    public var stopStrings: [String] = []

    public init(
      prompt: String? = nil, options: GenerationOptions = GenerationOptions(), stopStrings: [String] = []
    ) {
      self.prompt = prompt
      self.options = options
      self.stopStrings = stopStrings
    }
  }

  public nonisolated let tokenizer: Tokenizer
  public nonisolated let processor: ImageProcessor
  private let model: GPT4MultiModal
  private let device: Device

  public nonisolated var unownedExecutor: UnownedSerialExecutor {
    ComputeThread.shared.asUnownedSerialExecutor()
  }

  /// - Parameter precision: what to compute in; what the folder's weights were quantised for, or float32, when nil
  /// - Throws: an error in the user's words when the folder lacks a part or its parts do not fit together.
  public init(contentsOf url: URL, precision: Precision? = nil, device: Device = .cpu) throws {
    let folder = try ModelFolder(url)
    tokenizer = try folder.tokenizer()
    processor = try folder.processor()
    model = try folder.model(precision: precision ?? folder.precision() ?? .float32, device: device)
    self.device = device
    let configuration = model.configuration
    guard tokenizer.vocabularySize == configuration.numTokens else {
      throw ModelError(
        "\(url.path): tokenizer.model has \(tokenizer.vocabularySize) tokens, but num_tokens in config.json is "
          + "\(configuration.numTokens): they must be equal")
    }
    guard let size = processor.configuration.outputSize else { return }
    do {
      try configuration.validateImage(height: size.height, width: size.width)
    } catch {
      throw ModelError(
        "\(url.path): what preprocessor_config.json makes of pictures does not fit config.json: \(error)")
    }
  }

  /// - Returns: for each picture `numReturnSequences` texts
  public func caption(_ pictures: [ProcessedImage], _ request: Request = Request()) throws -> [[Caption]] {
    guard !pictures.isEmpty else { return [] }
    let prompt = try tokenizer.encodePrompt(request.prompt)
    let rows = pictures.count * request.options.numReturnSequences
    var assemblers = Array(repeating: TextAssembler(tokenizer, stopStrings: request.stopStrings), count: rows)
    let generated = try model.generate(
      img: images(pictures), prompts: Array(repeating: prompt, count: pictures.count),
      options: options(request)
    ) { row, tokens in
      guard !request.stopStrings.isEmpty else { return false }
      if request.options.numBeams == 1 {
        try assemblers[row].append(tokens.last ?? 0)
        return assemblers[row].isStopped
      }
      return try assembled(tokens, request).isStopped
    }
    return try generated.map { texts in
      try texts.map { text in
        var assembler = try assembled(text.tokens, request)
        try assembler.finish()
        return Caption(
          text: assembler.text, tokens: text.tokens, logProbabilities: text.logProbabilities,
          finish: text.finish,
          score: text.score)
      }
    }
  }

  /// The text of one picture as it is generated, in pieces that together are the text.
  public nonisolated func stream(_ picture: ProcessedImage, _ request: Request = Request())
    -> AsyncThrowingStream<String, any Error>
  {
    AsyncThrowingStream { continuation in
      let task = Task {
        do {
          try await self.run(picture, request) { continuation.yield($0) }
          continuation.finish()
        } catch {
          continuation.finish(throwing: error)
        }
      }
      continuation.onTermination = { _ in task.cancel() }
    }
  }

  private func run(_ picture: ProcessedImage, _ request: Request, emit: @Sendable (String) -> Void)
    async throws
  {
    guard request.options.numReturnSequences == 1 else {
      throw ModelError("num_return_sequences must be 1 to stream, got \(request.options.numReturnSequences)")
    }
    var assembler = TextAssembler(tokenizer, stopStrings: request.stopStrings)
    let tokens = try model.stream(
      img: images([picture]), prompts: [tokenizer.encodePrompt(request.prompt)], options: options(request))
    var iterator = tokens.makeAsyncIterator()
    while !assembler.isStopped, let token = try await iterator.next(isolation: self) {
      let piece = try assembler.append(token.id)
      if !piece.isEmpty { emit(piece) }
    }
    let rest = try assembler.finish()
    if !rest.isEmpty { emit(rest) }
  }

  private func assembled(_ tokens: [Int], _ request: Request) throws -> TextAssembler {
    var assembler = TextAssembler(tokenizer, stopStrings: request.stopStrings)
    for token in tokens { try assembler.append(token) }
    return assembler
  }

  private func images(_ pictures: [ProcessedImage]) throws -> Tensor {
    try Tensor.cat(pictures.map { try Tensor($0) }).to(device: device)
  }

  private func options(_ request: Request) -> GenerationOptions {
    var options = request.options
    if !options.stopTokens.contains(tokenizer.eos) { options.stopTokens.append(tokenizer.eos) }
    return options
  }
}

extension Tensor {
  /// One picture as a batch, [1, 3, height, width].
  public convenience init(_ image: ProcessedImage) throws {
    try self.init(image.values, shape: [1, 3, image.height, image.width])
  }
}

/// The text that tokens make, up to a stop string.
private struct TextAssembler {
  private var decoder: StreamingDecoder
  private var stops: StopStrings
  private(set) var text = ""

  init(_ tokenizer: Tokenizer, stopStrings: [String]) {
    decoder = StreamingDecoder(tokenizer)
    stops = StopStrings(stopStrings)
  }

  var isStopped: Bool { stops.isStopped }

  /// - Returns: what the token adds to the text
  @discardableResult
  mutating func append(_ token: Int) throws -> String { take(stops.append(try decoder.append(token))) }

  @discardableResult
  mutating func finish() throws -> String { take(stops.append(try decoder.finish()) + stops.finish()) }

  private mutating func take(_ piece: String) -> String {
    text += piece
    return piece
  }
}

import Foundation
import MultiModalModel
import Torch

/// Pictures in, texts out: a model folder behind one call.
///
///     let captioner = try Captioner(contentsOf: URL(fileURLWithPath: "Models/emoji"))
///     let captions = try await captioner.caption([captioner.processor(url)])
///     print(captions[0][0].text)
///
/// Everything that is asked for at the same time, by whatever tasks, runs in one batch: each text gets a token at every step,
/// and what it becomes does not depend on the others.
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

    /// How sure the model is: the mean of its tokens' probabilities, from 0 to 1. 0 without tokens.
    public var confidence: Double {
      logProbabilities.reduce(0) { $0 + exp($1) } / Double(max(logProbabilities.count, 1))
    }
  }

  /// What a text is asked for.
  public struct Request: Sendable {
    /// What the text begins with, as in training; nil for none.
    public var prompt: String?
    /// What ends the model's texts is always a stop token too.
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

  /// A picture and what is asked for it.
  public struct Input: Sendable {
    /// As `processor` makes it.
    public var picture: ProcessedImage
    /// What is asked for it; `defaultRequest` when nil.
    public var request: Request?

    /// - Parameter request: `defaultRequest` when nil
    public init(_ picture: ProcessedImage, _ request: Request? = nil) {
      self.picture = picture
      self.request = request
    }
  }

  /// A part of a text as it is generated.
  public struct Piece: Sendable, Equatable {
    /// What is certain now and was not before; all pieces' texts together are the caption's.
    public let text: String
    /// The tokens that the piece adds.
    public let tokens: [Int]
    /// The model's log-probability of each.
    public let logProbabilities: [Double]
    /// The last piece of a text that is complete has it, no other.
    public let end: End?
  }

  /// How a text ended.
  public struct End: Sendable, Equatable {
    /// Why.
    public let finish: GeneratedText.FinishReason
    /// From the first token to the last, while others may have run beside it; nil for a single token.
    public let tokensPerSecond: Double?
  }

  /// What texts are encoded and decoded by.
  public nonisolated let tokenizer: any Tokenizer
  public nonisolated let processor: ImageProcessor
  /// How texts begin and end.
  public nonisolated let generation: GenerationSettings
  private let model: any ImageToTextModel
  private let batch: DecodingBatch
  private var listeners: [DecodingBatch.ID: Listener] = [:]
  private var isRunning = false

  private typealias Listener = AsyncThrowingStream<DecodingBatch.Progress, any Error>.Continuation

  /// What is asked for where nobody says otherwise: what the model's folder says, else a greedy text as long as the model can hold.
  public nonisolated var defaultRequest: Request { Request(options: generation.options) }

  public nonisolated var unownedExecutor: UnownedSerialExecutor {
    ComputeThread.shared.asUnownedSerialExecutor()
  }

  /// Reads a model folder.
  /// - Parameter precision: what to compute in; what the folder's weights were quantised for, or float32, when nil
  /// - Throws: an error in the user's words when the folder lacks a part or its parts do not fit together.
  public init(contentsOf url: URL, precision: Precision? = nil, device: Device = .cpu) throws {
    self.init(try ModelFolder(url).bundle(precision: precision, device: device))
  }

  /// - Parameter model: which must not change from now on
  /// - Throws: `ModelError` when the parts do not fit together.
  public init(model: sending any ImageToTextModel, tokenizer: any Tokenizer, processor: ImageProcessor) throws
  {
    self.init(try ModelBundle(model: model, tokenizer: tokenizer, processor: processor))
  }

  /// - Parameter bundle: whose model must not change from now on
  public init(_ bundle: sending ModelBundle) {
    tokenizer = bundle.tokenizer
    processor = bundle.processor
    generation = bundle.generation
    model = bundle.model
    batch = DecodingBatch(bundle.model)
  }

  /// - Returns: for each picture `numReturnSequences` texts
  public nonisolated func caption(_ pictures: [ProcessedImage], _ request: Request? = nil) async throws
    -> [[Caption]]
  {
    try await caption(pictures.map { Input($0, request) })
  }

  /// Texts for pictures of any sizes, each by its own request.
  /// - Returns: for each picture its `numReturnSequences` texts
  /// - Throws: the first error, `CancellationError` when the task is cancelled
  public nonisolated func caption(_ inputs: [Input]) async throws -> [[Caption]] {
    // All join before the first is waited for.
    let running = inputs.map { progress(of: $0) }
    var captions: [[Caption]] = []
    for progress in running {
      var finished: [DecodingBatch.Text] = []
      for try await step in progress { finished = step.finished ?? [] }
      try Task.checkCancellation()
      captions.append(try finished.map(Caption.init))
    }
    return captions
  }

  /// The text of one picture as it is generated. A stream that ends without a last piece was cancelled.
  public nonisolated func stream(_ picture: ProcessedImage, _ request: Request? = nil)
    -> AsyncThrowingStream<Piece, any Error>
  {
    let progress = progress(of: Input(picture, request), isStreamed: true)
    return AsyncThrowingStream { continuation in
      let task = Task {
        do {
          var clock = Clock()
          for try await step in progress {
            for token in step.tokens { continuation.yield(try clock.piece(token)) }
          }
          continuation.finish()
        } catch {
          continuation.finish(throwing: error)
        }
      }
      continuation.onTermination = { _ in task.cancel() }
    }
  }

  /// What each step gives, until the texts end or nobody listens.
  private nonisolated func progress(of input: Input, isStreamed: Bool = false)
    -> AsyncThrowingStream<DecodingBatch.Progress, any Error>
  {
    let request = input.request ?? defaultRequest
    return AsyncThrowingStream { listener in
      let joining = Task {
        do {
          guard !isStreamed || (request.options.numReturnSequences == 1 && request.options.numBeams == 1)
          else {
            throw ModelError(
              "num_return_sequences and num_beams must be 1 to stream, got "
                + "\(request.options.numReturnSequences) and \(request.options.numBeams)")
          }
          let id = try await join(input.picture, request, listener)
          listener.onTermination = { _ in Task { await self.leave(id) } }
          // Whoever listened may have gone before that.
          if Task.isCancelled { await leave(id) }
        } catch {
          listener.finish(throwing: error)
        }
      }
      listener.onTermination = { _ in joining.cancel() }
    }
  }

  private func join(_ picture: ProcessedImage, _ request: Request, _ listener: Listener) throws
    -> DecodingBatch.ID
  {
    try Task.checkCancellation()
    let prompt = try generation.prompt(request.prompt, by: tokenizer)
    var options = request.options
    options.stopTokens += generation.end.filter { !options.stopTokens.contains($0) }
    let pixels = try Tensor(picture).to(device: model.parameters.device)
    let context = try withoutGradients { try model.encode(pixels) }
    let id = try batch.join(
      context: context, prompt: prompt, options: options,
      condition: TextAssembler(tokenizer, stopStrings: request.stopStrings))
    listeners[id] = listener
    if !isRunning {
      isRunning = true
      Task { await run() }
    }
    return id
  }

  private func leave(_ id: DecodingBatch.ID) {
    listeners[id] = nil
    batch.leave(id)
  }

  /// Steps as long as there are texts. Between two steps others come in: new requests, and those that leave.
  private func run() async {
    while !batch.isEmpty {
      do {
        for progress in try batch.step() {
          listeners[progress.id]?.yield(progress)
          if progress.finished != nil { listeners.removeValue(forKey: progress.id)?.finish() }
        }
      } catch {
        for (id, listener) in listeners {
          batch.leave(id)
          listener.finish(throwing: error)
        }
        listeners = [:]
      }
      await Task.yield()
    }
    isRunning = false
  }
}

/// Makes a text's pieces of its tokens, and times them.
private struct Clock {
  private var began: ContinuousClock.Instant?
  private var count = 0

  mutating func piece(_ token: DecodingBatch.Token) throws -> Captioner.Piece {
    count += 1
    let now = ContinuousClock.now
    let start = began ?? now
    began = start
    var text = ""
    if var assembler = token.condition as? TextAssembler {
      text = assembler.piece
      if token.token.finish != nil {
        try assembler.finish()
        text += assembler.piece
      }
    }
    return Captioner.Piece(
      text: text, tokens: [token.token.id], logProbabilities: [token.token.logProbability],
      end: token.token.finish.map {
        Captioner.End(
          finish: $0, tokensPerSecond: count > 1 ? Double(count - 1) / ((now - start) / .seconds(1)) : nil)
      })
  }
}

extension Captioner.Caption {
  fileprivate init(_ finished: DecodingBatch.Text) throws {
    var assembler = finished.condition as? TextAssembler
    try assembler?.finish()
    self.init(
      text: assembler?.text ?? "", tokens: finished.text.tokens,
      logProbabilities: finished.text.logProbabilities, finish: finished.text.finish,
      score: finished.text.score)
  }
}

extension Tensor {
  /// One picture as a batch, [1, channels, height, width].
  public convenience init(_ image: ProcessedImage) throws {
    try self.init(image.values, shape: [1, image.channels, image.height, image.width])
  }
}

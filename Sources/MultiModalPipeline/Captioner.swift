import Foundation
import MultiModalModel
import Torch

/// Pictures in, texts out: a model folder behind one call.
///
///     let captioner = try Captioner(contentsOf: URL(fileURLWithPath: "Models/emoji"))
///     let captions = try await captioner.caption([.init(contentsOf: url)])
///     print(captions[0][0].text)
///
/// Everything that is asked for at the same time, by whatever tasks, runs in one batch: each text gets a token at every step,
/// and what it becomes does not depend on the others.
public actor Captioner {
  /// What texts are encoded and decoded by.
  public nonisolated let tokenizer: any Tokenizer
  /// What pictures are made ready by.
  public nonisolated let processor: ImageProcessor
  /// How texts begin and end.
  public nonisolated let generation: GenerationSettings
  /// What texts the model takes.
  public nonisolated let limits: TextLimits
  /// What was done so far.
  public private(set) var counts = Counts()
  private let model: any ImageToTextModel
  private let batch: DecodingBatch
  private var waiting: [Encoding] = []
  /// As it was for the last ones; 0 before.
  private var secondsPerPicture = 0.0
  private var listeners: [DecodingBatch.ID: Listener] = [:]
  private var isRunning = false

  private struct Encoding {
    let id: UUID
    let picture: ProcessedImage
    let continuation: CheckedContinuation<EncodedImage, any Error>
  }

  /// About how long running texts may wait for pictures between two steps.
  private static let encodingSeconds = 0.02

  private typealias Listener = AsyncThrowingStream<DecodingBatch.Progress, any Error>.Continuation

  /// What is asked for where nobody says otherwise: what the model's folder says, else a greedy text as long as the model can hold.
  public nonisolated var defaultRequest: Request {
    Request(prompt: generation.prompt, options: generation.options)
  }

  /// The thread that all captioners compute on.
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
    limits = bundle.model.decoder.limits
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
      for try await step in progress { finished = try step.finished?.get() ?? [] }
      try Task.checkCancellation()
      captions.append(try finished.map(Caption.init))
    }
    return captions
  }

  /// The texts of one picture as they are generated. A stream that ends without a last piece of each was cancelled.
  public nonisolated func stream(_ picture: ProcessedImage, _ request: Request? = nil)
    -> AsyncThrowingStream<Piece, any Error>
  {
    stream(Input(picture, request))
  }

  /// The texts of one picture as they are generated. A stream that ends without a last piece of each was cancelled.
  public nonisolated func stream(_ input: Input) -> AsyncThrowingStream<Piece, any Error> {
    pieces(of: progress(of: input))
  }

  /// The texts of one picture that was encoded before.
  public nonisolated func stream(_ picture: EncodedImage, _ request: Request? = nil)
    -> AsyncThrowingStream<Piece, any Error>
  {
    pieces(of: progress(request) { picture })
  }

  /// A picture as the decoder sees it, for any number of texts. Pictures that are asked for at the same time are encoded
  /// together, a few between two steps of the texts that run.
  /// - Throws: `ModelError` for a picture that the model cannot take, `CancellationError` when the task is cancelled.
  public func encode(_ picture: ProcessedImage) async throws -> EncodedImage {
    let id = UUID()
    return try await withTaskCancellationHandler {
      try Task.checkCancellation()
      return try await withCheckedThrowingContinuation {
        waiting.append(Encoding(id: id, picture: picture, continuation: $0))
        runIfNeeded()
      }
    } onCancel: {
      Task { await self.cancelEncoding(id) }
    }
  }

  /// - Returns: how many tokens a text begins with
  /// - Throws: an error in the user's words for what the model cannot do.
  public nonisolated func check(_ request: Request) throws -> Int {
    let prompt = try generation.prompt(request.prompt, by: tokenizer)
    _ = try limits.newTokens(after: prompt, request.options)
    return prompt.count
  }

  private func cancelEncoding(_ id: UUID) {
    guard let place = waiting.firstIndex(where: { $0.id == id }) else { return }
    waiting.remove(at: place).continuation.resume(throwing: CancellationError())
  }

  private nonisolated func progress(of input: Input) -> AsyncThrowingStream<DecodingBatch.Progress, any Error>
  {
    progress(input.request) { try await self.encode(self.processor(input.picture)) }
  }

  /// Where the decoder looked for each token of a text. A long text is read in pieces, between which running texts have their
  /// steps.
  /// - Parameter tokens: of a text that was asked for with the prompt
  /// - Throws: `ModelError` for a model without cross-attention, `CancellationError` when the task is cancelled.
  public func attention(of picture: EncodedImage, prompt: String? = nil, tokens: [Int]) async throws
    -> AttentionGrid
  {
    let start = try generation.prompt(prompt, by: tokenizer)
    // What predicts a token is the one before it.
    let reading = try ContextAttention(
      model.decoder, text: start + tokens.dropLast(), context: picture.context)
    var seen: [Float] = []
    while let piece = try reading.next() {
      seen += piece
      await Task.yield()
      try Task.checkCancellation()
    }
    let grid = picture.grid
    return AttentionGrid(
      rows: grid.rows, columns: grid.columns,
      weights: tokens.indices.map { index in
        let row = (start.count - 1 + index) * picture.positions
        return Array(seen[row + grid.prefix..<row + picture.positions])
      })
  }

  /// What each step gives, until the texts end or nobody listens.
  private nonisolated func progress(
    _ request: Request?, of picture: @escaping @Sendable () async throws -> EncodedImage
  ) -> AsyncThrowingStream<DecodingBatch.Progress, any Error> {
    let request = request ?? defaultRequest
    return AsyncThrowingStream { listener in
      let joining = Task { () -> DecodingBatch.ID? in
        do {
          _ = try check(request)
          return try await join(picture(), request, listener)
        } catch {
          listener.finish(throwing: error)
          return nil
        }
      }
      listener.onTermination = { _ in
        joining.cancel()
        Task { if let id = await joining.value { await self.leave(id) } }
      }
    }
  }

  private func join(_ picture: EncodedImage, _ request: Request, _ listener: Listener) throws
    -> DecodingBatch.ID
  {
    try Task.checkCancellation()
    var options = request.options
    options.stopTokens += generation.end.filter { !options.stopTokens.contains($0) }
    let id = try batch.join(
      context: picture.context, prompt: generation.prompt(request.prompt, by: tokenizer), options: options,
      condition: TextAssembler(tokenizer, stopStrings: request.stopStrings))
    listeners[id] = listener
    runIfNeeded()
    return id
  }

  private func leave(_ id: DecodingBatch.ID) {
    listeners[id] = nil
    batch.leave(id)
  }

  private func runIfNeeded() {
    guard !isRunning else { return }
    isRunning = true
    Task { await run() }
  }

  /// Encodes and steps as long as there is something to do. Between two steps others come in: new requests, and those that leave.
  private func run() async {
    while !batch.isEmpty || !waiting.isEmpty {
      encodeSome()
      step()
      await Task.yield()
    }
    isRunning = false
  }

  private func step() {
    do {
      let progress = try batch.step()
      if !progress.isEmpty { counts.steps += 1 }
      for progress in progress {
        counts.tokens += progress.tokens.count
        listeners[progress.id]?.yield(progress)
        // Of a failure the listener learns by what it was given.
        if progress.finished != nil { listeners.removeValue(forKey: progress.id)?.finish() }
      }
    } catch {
      for (id, listener) in listeners {
        batch.leave(id)
        listener.finish(throwing: error)
      }
      listeners = [:]
    }
  }

  /// Encodes the pictures that have waited longest, those of one size together, for about as long as running texts may wait.
  private func encodeSome() {
    let began = ContinuousClock.now
    func left() -> Double { Self.encodingSeconds - (.now - began) / .seconds(1) }
    repeat {
      guard let first = waiting.first?.picture else { return }
      let count = secondsPerPicture > 0 ? Int(min(8, left() / secondsPerPicture)) : 1
      let places = waiting.indices.filter { waiting[$0].picture.hasSize(of: first) }.prefix(max(1, count))
      let together = places.map { waiting[$0] }
      for place in places.reversed() { waiting.remove(at: place) }
      encode(together, height: first.height, width: first.width)
    } while left() > secondsPerPicture
  }

  /// - Parameter together: pictures of one size, at least one
  private func encode(_ together: [Encoding], height: Int, width: Int) {
    let began = ContinuousClock.now
    do {
      let pixels = try Tensor.cat(together.map { try Tensor($0.picture) })
      let contexts = try withoutGradients {
        try model.encode(pixels.to(device: model.parameters.device)).split(
          Array(repeating: 1, count: together.count), dim: 0
        ).map { together.count > 1 ? try $0.clone() : $0 }  // Who keeps one must not keep the others with it.
      }
      secondsPerPicture = (.now - began) / .seconds(1) / Double(together.count)
      counts.pictures += together.count
      let grid = try model.patchGrid(height: height, width: width)
      for (encoding, context) in zip(together, contexts) {
        encoding.continuation.resume(returning: EncodedImage(context: context, grid: grid))
      }
    } catch {
      for encoding in together { encoding.continuation.resume(throwing: error) }
    }
  }
}

extension ImageProcessor {
  /// Here, not on the compute thread, so that pictures are decoded beside the model's steps.
  fileprivate func callAsFunction(_ source: Captioner.Input.Source) throws -> ProcessedImage {
    switch source {
    case .processed(let picture): picture
    case .bytes(let name, let read): try self(bytes: read(), name: name)
    case .file(let url): try self(url)
    case .decoded(let make): try self(make())
    }
  }
}

extension Tensor {
  /// One picture as a batch, [1, channels, height, width].
  public convenience init(_ image: ProcessedImage) throws {
    try self.init(image.values, shape: [1, image.channels, image.height, image.width])
  }
}

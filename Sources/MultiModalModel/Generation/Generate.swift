import Torch

extension ImageToTextModel {
  /// Texts for pictures. Each picture is encoded once, and its keys and values are computed once.
  /// - Parameters:
  ///   - img: [batch, height, width, 3] or [batch, 3, height, width]
  ///   - prompts: one per picture, of any lengths, each with at least one token
  ///   - condition: ends a text after a token, as a stop token does
  /// - Returns: for each picture `numReturnSequences` texts
  /// - Throws: `ModelError` for what the model cannot do, `CancellationError` when the task is cancelled.
  public func generate(
    img: Tensor, prompts: [[Int]], options: GenerationOptions, condition: (any StopCondition)? = nil
  ) throws -> [[GeneratedText]] {
    let (batch, ids) = try batch(img: img, prompts: prompts, options: options, condition: condition)
    var texts: [DecodingBatch.ID: [GeneratedText]] = [:]
    while !batch.isEmpty {
      try Task.checkCancellation()
      for progress in try batch.step() {
        if let finished = progress.finished { texts[progress.id] = try finished.get().map(\.text) }
      }
    }
    return ids.map { texts[$0] ?? [] }
  }

  /// The tokens of the same texts one by one, as they are chosen. Ends with `CancellationError` when the task is
  /// cancelled. Beam search knows its texts only at the end, so it cannot stream.
  public func stream(img: Tensor, prompts: [[Int]], options: GenerationOptions) throws -> TokenStream {
    guard options.numBeams == 1 else {
      throw ModelError(
        "num_beams must be 1 to stream, got \(options.numBeams): beams are known only at the end")
    }
    let (batch, ids) = try batch(img: img, prompts: prompts, options: options)
    let first = ids.enumerated().map { ($1, $0 * options.numReturnSequences) }
    return TokenStream(batch: batch, firstRows: Dictionary(uniqueKeysWithValues: first))
  }

  private func batch(
    img: Tensor, prompts: [[Int]], options: GenerationOptions, condition: (any StopCondition)? = nil
  ) throws -> (batch: DecodingBatch, ids: [DecodingBatch.ID]) {
    if let images = img.shape.first, images != prompts.count {
      throw ModelError(
        "img has a batch of \(images), but there are \(prompts.count) prompts: they must be equal")
    }
    // What is asked for is checked before a picture is encoded.
    for prompt in prompts { _ = try decoder.limits.newTokens(after: prompt, options) }
    let context = try withoutGradients { try encode(img) }
    let texts = prompts.count * max(options.numBeams, options.numReturnSequences)
    let batch = DecodingBatch(self, cache: DecoderCache(texts: texts, pictures: prompts.count))
    let ids = try prompts.enumerated().map { index, prompt in
      try batch.join(
        context: context.narrow(0, start: index, length: 1), prompt: prompt, options: options,
        condition: condition)
    }
    return (batch, ids)
  }
}

/// Tokens as they are generated: each `next()` computes on the caller's task what it returns.
public struct TokenStream: AsyncSequence {
  /// What the stream gives.
  public typealias Element = GeneratedToken

  let batch: DecodingBatch
  /// The number of each picture's first text.
  let firstRows: [DecodingBatch.ID: Int]

  /// Iterators of one stream share its texts, so use one.
  public func makeAsyncIterator() -> Iterator { Iterator(batch: batch, firstRows: firstRows) }

  /// Computes a token at each call.
  public struct Iterator: AsyncIteratorProtocol {
    let batch: DecodingBatch
    let firstRows: [DecodingBatch.ID: Int]
    private var ready: [GeneratedToken] = []

    init(batch: DecodingBatch, firstRows: [DecodingBatch.ID: Int]) {
      self.batch = batch
      self.firstRows = firstRows
    }

    /// The next token; nil at the end.
    public mutating func next() async throws -> GeneratedToken? { try advance() }

    /// The next token, computed on the caller's actor; nil at the end.
    public mutating func next(isolation actor: isolated (any Actor)?) async throws -> GeneratedToken? {
      try advance()
    }

    /// The next token, computed on the caller's thread.
    public mutating func advance() throws -> GeneratedToken? {
      while ready.isEmpty && !batch.isEmpty {
        try Task.checkCancellation()
        ready = try batch.step().flatMap { progress in
          _ = try progress.finished?.get()
          return progress.tokens.map {
            var token = $0.token
            token.row += firstRows[progress.id] ?? 0
            return token
          }
        }.reversed()
      }
      return ready.popLast()
    }
  }
}

import Torch

extension GPT4MultiModal {
  /// Texts for pictures. Each picture is encoded once, and its keys and values are computed once.
  /// - Parameters:
  ///   - img: [batch, height, width, 3] or [batch, 3, height, width]
  ///   - prompts: one per picture, of any lengths, each with at least one token
  ///   - shouldStop: ends a text after the tokens it is given, all new ones so far; of a beam search it gets the picture's
  ///     number and any running text's tokens
  /// - Returns: for each picture `numReturnSequences` texts
  /// - Throws: `ModelError` for what the model cannot do, `CancellationError` when the task is cancelled.
  public func generate(
    img: Tensor, prompts: [[Int]], options: GenerationOptions,
    shouldStop: (_ row: Int, _ tokens: [Int]) throws -> Bool = { _, _ in false }
  ) throws -> [[GeneratedText]] {
    try checkBatch(img, prompts)
    if options.numBeams > 1 {
      return try searchBeams(img: img, prompts: prompts, options: options, shouldStop: shouldStop)
    }
    let loop = try SamplingLoop(self, img: img, prompts: prompts, options: options)
    var texts = Array(repeating: GeneratedText(), count: prompts.count * options.numReturnSequences)
    while let tokens = try loop.next() {
      try Task.checkCancellation()
      for token in tokens {
        texts[token.row].tokens.append(token.id)
        texts[token.row].logProbabilities.append(token.logProbability)
        if let finish = token.finish {
          texts[token.row].finish = finish
        } else if try shouldStop(token.row, texts[token.row].tokens) {
          texts[token.row].finish = .stop
          loop.stop(row: token.row)
        }
      }
    }
    let copies = options.numReturnSequences
    return prompts.indices.map { Array(texts[$0 * copies..<($0 + 1) * copies]) }
  }

  /// The tokens of the same texts one by one, as they are chosen. Ends with `CancellationError` when the task is
  /// cancelled. Beam search knows its texts only at the end, so it cannot stream.
  public func stream(img: Tensor, prompts: [[Int]], options: GenerationOptions) throws -> TokenStream {
    try checkBatch(img, prompts)
    guard options.numBeams == 1 else {
      throw ModelError(
        "num_beams must be 1 to stream, got \(options.numBeams): beams are known only at the end")
    }
    return TokenStream(loop: try SamplingLoop(self, img: img, prompts: prompts, options: options))
  }

  private func checkBatch(_ img: Tensor, _ prompts: [[Int]]) throws {
    if let images = img.shape.first, images != prompts.count {
      throw ModelError(
        "img has a batch of \(images), but there are \(prompts.count) prompts: they must be equal")
    }
  }

  private func searchBeams(
    img: Tensor, prompts: [[Int]], options: GenerationOptions,
    shouldStop: (_ picture: Int, _ tokens: [Int]) throws -> Bool
  ) throws -> [[GeneratedText]] {
    let search = BeamSearch(options: options, limit: try newTokenLimit(prompts, options))
    let session = DecodingSession(
      self, context: try withoutGradients { try encode(img) }, texts: prompts, copies: options.numBeams,
      overflow: options.overflow)
    return try search(prompts: prompts) {
      let logits = try session.logits().logits
      let flat = try logits.array(of: Float.self)
      let vocabulary = logits.shape[1]
      return (0..<logits.shape[0]).map { Array(flat[$0 * vocabulary..<($0 + 1) * vocabulary]) }
    } advance: { rows, tokens in
      try session.reorder(rows)
      session.append(tokens)
    } shouldStop: {
      try shouldStop($0, $1)
    }
  }
}

/// Tokens as they are generated: each `next()` computes on the caller's task what it returns.
public struct TokenStream: AsyncSequence {
  public typealias Element = GeneratedToken

  let loop: SamplingLoop

  public func makeAsyncIterator() -> Iterator { Iterator(loop: loop) }

  public struct Iterator: AsyncIteratorProtocol {
    let loop: SamplingLoop
    private var ready: [GeneratedToken] = []

    init(loop: SamplingLoop) { self.loop = loop }

    public mutating func next() async throws -> GeneratedToken? { try advance() }

    public mutating func next(isolation actor: isolated (any Actor)?) async throws -> GeneratedToken? {
      try advance()
    }

    /// The next token, computed on the caller's thread.
    public mutating func advance() throws -> GeneratedToken? {
      if ready.isEmpty {
        try Task.checkCancellation()
        ready = (try loop.next() ?? []).reversed()
      }
      return ready.popLast()
    }
  }
}

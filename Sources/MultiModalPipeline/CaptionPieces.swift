import MultiModalModel
import Torch

extension Captioner {
  /// A part of a text as it is generated.
  public struct Piece: Sendable, Equatable {
    /// Which of the picture's texts it belongs to.
    public let index: Int
    /// What is certain now and was not before; all pieces' texts together are the caption's.
    public let text: String
    /// The tokens that the piece adds.
    public let tokens: [Int]
    /// The model's log-probability of each.
    public let logProbabilities: [Double]
    /// For each token as many as `GenerationOptions.topLogProbs` asks for, the likeliest first.
    public let likeliest: [[TokenLogProbability]]
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

  /// A picture as the decoder sees it.
  public struct EncodedImage: Sendable {
    /// [1, positions, the decoder's width]
    let context: Tensor
    /// Where its positions lie in the picture.
    let grid: PatchGrid
    /// How many positions the picture has.
    public var positions: Int { context.shape[1] }
    /// What it takes in memory.
    public var bytes: Int { context.shape.reduce(MemoryLayout<Float>.size, *) }
  }

  /// Where a decoder looked in a picture for each token of a text.
  public struct AttentionGrid: Sendable, Equatable {
    /// Of patches, from the top.
    public let rows: Int
    /// Of patches, from the left.
    public let columns: Int
    /// For each token the weight of each patch, row by row; together at most 1, less what went to positions without a patch.
    public let weights: [[Float]]
  }

  /// Counts of what was done.
  public struct Counts: Sendable {
    /// Steps in which texts got their next token.
    public internal(set) var steps = 0
    /// Tokens of all texts; divided by `steps`, how many texts ran together.
    public internal(set) var tokens = 0
    /// Pictures that were encoded.
    public internal(set) var pictures = 0
  }

  /// What a request's steps give as pieces of its texts; those of a beam search, which are known at the end, as a piece each.
  nonisolated func pieces(of progress: AsyncThrowingStream<DecodingBatch.Progress, any Error>)
    -> AsyncThrowingStream<Piece, any Error>
  {
    AsyncThrowingStream { continuation in
      let task = Task {
        do {
          var clocks: [Int: Clock] = [:]
          for try await step in progress {
            for token in step.tokens {
              continuation.yield(try clocks[token.token.row, default: Clock()].piece(token))
            }
            guard let beams = try step.finished?.get(), clocks.isEmpty else { continue }
            for (index, beam) in beams.enumerated() {
              continuation.yield(Piece(index: index, try Caption(beam)))
            }
          }
          continuation.finish()
        } catch {
          continuation.finish(throwing: error)
        }
      }
      continuation.onTermination = { _ in task.cancel() }
    }
  }
}

extension Captioner.Piece {
  /// A whole text.
  fileprivate init(index: Int, _ caption: Captioner.Caption) {
    self.init(
      index: index, text: caption.text, tokens: caption.tokens, logProbabilities: caption.logProbabilities,
      likeliest: caption.tokens.map { _ in [] },
      end: Captioner.End(finish: caption.finish, tokensPerSecond: nil))
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
      index: token.token.row, text: text, tokens: [token.token.id],
      logProbabilities: [token.token.logProbability],
      likeliest: [token.token.likeliest],
      end: token.token.finish.map {
        Captioner.End(
          finish: $0, tokensPerSecond: count > 1 ? Double(count - 1) / ((now - start) / .seconds(1)) : nil)
      })
  }
}

extension Captioner.Caption {
  init(_ finished: DecodingBatch.Text) throws {
    var assembler = finished.condition as? TextAssembler
    try assembler?.finish()
    self.init(
      text: assembler?.text ?? "", tokens: finished.text.tokens,
      logProbabilities: finished.text.logProbabilities, finish: finished.text.finish,
      score: finished.text.score)
  }
}

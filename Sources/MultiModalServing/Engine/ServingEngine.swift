import Foundation
import MultiModalModel
import MultiModalPipeline

/// Texts for pictures within limits: a captioner's one batch, the queue before it, and the pictures that were seen last.
final class ServingEngine: Sendable {
  /// Texts that come to be.
  struct Generation: Sendable {
    /// What they are for.
    let picture: PictureCache.Seen
    /// Tokens that the model read: the picture's positions and the prompt's tokens.
    let promptTokens: Int
    let pieces: AsyncThrowingStream<Captioner.Piece, any Error>
    /// Holds the place among those that run.
    fileprivate let slot: AdmissionQueue.Slot

    /// Takes all pieces.
    /// - Throws: `APIError` for what fails although the request was right, `CancellationError`.
    func collect(_ metrics: ServingMetrics, _ take: (Captioner.Piece) -> Void) async throws {
      do {
        for try await piece in pieces {
          metrics.count(piece)
          take(piece)
        }
      } catch {
        throw APIError.failure(error)
      }
      try Task.checkCancellation()
    }
  }

  let captioner: Captioner
  let queue: AdmissionQueue
  /// For pictures that are fetched, before their requests come to the other queue.
  let fetches: AdmissionQueue
  /// For texts that are explained, one after the other, so that running texts wait for a piece of one alone between two steps,
  /// and one's weights alone are in memory.
  let explanations: AdmissionQueue
  let pictures: PictureCache
  private let limits: ServingConfiguration.Limits
  /// More than any text's tokens have in the mean: a longer text cannot fit, and is not read to learn that.
  private static let bytesPerToken = 16

  init(_ captioner: Captioner, _ limits: ServingConfiguration.Limits) throws {
    self.captioner = captioner
    self.limits = limits
    queue = AdmissionQueue(most: limits.runningTexts, waiting: limits.waitingRequests)
    fetches = AdmissionQueue(most: limits.fetches, waiting: limits.waitingRequests)
    explanations = AdmissionQueue(most: 1, waiting: limits.runningTexts)
    var configuration = captioner.processor.configuration
    configuration.maxPixels = min(configuration.maxPixels, limits.pixels)
    pictures = PictureCache(
      captioner, processor: try ImageProcessor(configuration: configuration),
      capacity: limits.pictureCacheBytes)
  }

  /// - Parameters:
  ///   - picture: a picture file
  ///   - param: the field that it stands in; nil where it is the whole body
  ///   - maxTokens: the most new tokens of a text; what the model usually writes when nil
  /// - Throws: an error in the user's words for what cannot be done, `APIError.overloaded`, `CancellationError`.
  func generate(
    _ picture: Data, from param: String?, _ request: Captioner.Request, maxTokens: Int? = nil
  ) async throws -> Generation {
    let most = min(limits.promptBytes, Self.bytesPerToken * captioner.limits.longestText)
    if let bytes = request.prompt?.utf8.count, bytes > most {
      throw APIError.bad(
        "The text has \(bytes) bytes, but at most \(most) are taken: send a shorter one.",
        code: "prompt_too_long")
    }
    let prompt = try captioner.generation.prompt(request.prompt, by: captioner.tokenizer).count
    var request = request
    request.options.limit(to: maxTokens, atMost: limits.newTokens, after: prompt)
    _ = try captioner.check(request)
    let slot = try await queue.enter(texts: max(request.options.numReturnSequences, request.options.numBeams))
    let seen: PictureCache.Seen
    do { seen = try await pictures.picture(picture) } catch let error as PictureError {
      throw APIError.bad(error.localizedDescription, param: param, code: "invalid_image")
    }
    try Task.checkCancellation()
    return Generation(
      picture: seen, promptTokens: seen.encoded.positions + prompt,
      pieces: captioner.stream(seen.encoded, request), slot: slot)
  }
}

extension GenerationOptions {
  /// - Parameters:
  ///   - asked: new tokens; as the options are when nil
  ///   - most: that anyone gets; where the model holds fewer, those
  ///   - prompt: tokens before them
  fileprivate mutating func limit(to asked: Int?, atMost most: Int, after prompt: Int) {
    let usual = min(maxNewTokens ?? .max, maxLength.map { max(1, $0 - prompt) } ?? .max)
    maxNewTokens = nil
    maxLength = prompt + min(asked ?? usual, most)
  }
}

import Foundation
import MultiModalModel
import MultiModalPipeline

/// Texts for pictures within limits: a captioner's one batch, the queue before it, and the pictures that were seen last.
final class ServingEngine: Sendable {
  /// Texts that come to be.
  struct Generation: Sendable {
    /// Tokens that the model read: the picture's positions and the prompt's tokens.
    let promptTokens: Int
    let pieces: AsyncThrowingStream<Captioner.Piece, any Error>
    /// Holds the place among those that run.
    fileprivate let slot: AdmissionQueue.Slot
  }

  let captioner: Captioner
  let queue: AdmissionQueue
  /// For pictures that are fetched, before their requests come to the other queue.
  let fetches: AdmissionQueue
  let pictures: PictureCache
  /// The captioner's, within the limits.
  let processor: ImageProcessor
  private let limits: ServingConfiguration.Limits

  init(_ captioner: Captioner, _ limits: ServingConfiguration.Limits) throws {
    self.captioner = captioner
    self.limits = limits
    queue = AdmissionQueue(most: limits.runningTexts, waiting: limits.waitingRequests)
    fetches = AdmissionQueue(most: limits.fetches, waiting: limits.waitingRequests)
    var configuration = captioner.processor.configuration
    configuration.maxPixels = min(configuration.maxPixels, limits.pixels)
    processor = try ImageProcessor(configuration: configuration)
    pictures = PictureCache(
      captioner, processor: processor,
      capacity: limits.pictureCacheBytes)
  }

  /// - Parameters:
  ///   - picture: a picture file
  ///   - maxTokens: the most new tokens of a text; what the model usually writes when nil
  /// - Throws: an error in the user's words for what cannot be done, `APIError.overloaded`, `CancellationError`.
  func generate(_ picture: Data, _ request: Captioner.Request, maxTokens: Int? = nil) async throws
    -> Generation
  {
    if let bytes = request.prompt?.utf8.count, bytes > limits.promptBytes {
      throw APIError.bad(
        "The text has \(bytes) bytes, but at most \(limits.promptBytes) are taken: send a shorter one.",
        code: "prompt_too_long")
    }
    let prompt = try captioner.generation.prompt(request.prompt, by: captioner.tokenizer).count
    var request = request
    request.options.limit(to: maxTokens, atMost: limits.newTokens, after: prompt)
    _ = try captioner.check(request)
    let slot = try await queue.enter(texts: max(request.options.numReturnSequences, request.options.numBeams))
    let encoded = try await pictures.picture(picture)
    try Task.checkCancellation()
    return Generation(
      promptTokens: encoded.positions + prompt, pieces: captioner.stream(encoded, request), slot: slot)
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

import Foundation
import MultiModalModel
import MultiModalPipeline

/// `POST /v1/chat/completions`
struct ChatCompletions: Sendable {
  let engine: ServingEngine
  let configuration: ServingConfiguration
  let metrics: ServingMetrics

  /// - Throws: `APIError`, and what cannot be done in the user's words.
  func respond(_ body: Data) async throws -> ServingResponse {
    let request = try ChatCompletionRequest(body)
    try checkModel(request.model)
    let writer = ChatWriter(
      model: configuration.model, tokenizer: engine.captioner.tokenizer, wantsLogProbs: request.wantsLogProbs,
      includesUsage: request.includesUsage)
    guard let picture = request.messages.picture else { return try answerWithoutPicture(request, writer) }
    let asked = try request.request(
      engine.captioner.defaultRequest, prompt: configuration.usesPrompts ? request.messages.text : nil)
    let generation: ServingEngine.Generation
    do {
      generation = try await engine.generate(pictureBytes(picture), asked, maxTokens: request.maxTokens)
    } catch let error as PictureError {
      throw APIError.bad(error.localizedDescription, param: picture.param, code: "invalid_image")
    }
    return request.isStreamed
      ? try await stream(generation, writer, texts: asked.options.numReturnSequences)
      : try await collect(generation, writer, texts: asked.options.numReturnSequences)
  }

  /// - Throws: `APIError` for a model that is not served.
  private func checkModel(_ name: String?) throws {
    guard let name, name != configuration.model, !configuration.aliases.contains(name) else { return }
    throw APIError.unknownModel(name, served: configuration.model)
  }

  private func pictureBytes(_ picture: (url: String, param: String)) throws -> Data {
    guard DataURL.isOne(picture.url) else {
      let scheme = picture.url.prefix { $0 != ":" && $0 != "/" }.prefix(20)
      throw APIError.bad(
        "'\(picture.param)' begins with \"\(scheme)\", but pictures are not fetched here: send a data: URL with base64.",
        param: picture.param, code: "invalid_image_url")
    }
    guard let bytes = DataURL.bytes(picture.url) else {
      throw APIError.bad(
        "'\(picture.param)' is no data: URL with base64: send data:image/jpeg;base64, and the picture's bytes so encoded.",
        param: picture.param, code: "invalid_image_url")
    }
    return bytes
  }

  // MARK: Answers

  private func answerWithoutPicture(_ request: ChatCompletionRequest, _ writer: ChatWriter) throws
    -> ServingResponse
  {
    guard let answer = configuration.textOnlyAnswer else { throw APIError.imageRequired }
    let text = ChatText(text: answer, finish: .stop)
    guard request.isStreamed else { return ServingResponse(writer.completion([text], promptTokens: 0)) }
    let events = [
      writer.beginning(0), writer.content(0, answer), writer.end(0, .stop),
      writer.ending(promptTokens: 0, completionTokens: 0),
    ]
    return .events(
      AsyncStream { stream in
        for event in events { stream.yield(event) }
        stream.finish()
      })
  }

  private func collect(_ generation: ServingEngine.Generation, _ writer: ChatWriter, texts: Int) async throws
    -> ServingResponse
  {
    var answers = Array(repeating: ChatText(), count: texts)
    do {
      for try await piece in generation.pieces {
        metrics.count(piece)
        writer.append(piece, to: &answers[piece.index])
      }
    } catch {
      throw APIError.failure(error)
    }
    try Task.checkCancellation()
    return ServingResponse(writer.completion(answers, promptTokens: generation.promptTokens))
  }

  private func stream(_ generation: ServingEngine.Generation, _ writer: ChatWriter, texts: Int) async throws
    -> ServingResponse
  {
    let deadline = ContinuousClock.now + .seconds(configuration.limits.seconds)
    // What fails before the first token is answered with a status.
    let first: Captioner.Piece?
    do {
      var iterator = generation.pieces.makeAsyncIterator()
      first = try await iterator.next()
    } catch {
      throw APIError.failure(error)
    }
    try Task.checkCancellation()
    return .events(
      AsyncStream { events in
        let task = Task {
          for index in 0..<texts { events.yield(writer.beginning(index)) }
          var tokens = 0
          func write(_ piece: Captioner.Piece) {
            metrics.count(piece)
            tokens += piece.tokens.count
            for event in writer.events(piece) { events.yield(event) }
          }
          do {
            if let first { write(first) }
            for try await piece in generation.pieces {
              guard ContinuousClock.now < deadline else { throw APIError.timeout }
              write(piece)
            }
            try Task.checkCancellation()
            events.yield(writer.ending(promptTokens: generation.promptTokens, completionTokens: tokens))
          } catch {
            events.yield(writer.failure(error))
          }
          events.finish()
        }
        events.onTermination = { _ in task.cancel() }
      })
  }
}

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
    let began = ContinuousClock.now
    let request = try read(body)
    let writer = ChatWriter(
      model: configuration.model, tokenizer: engine.captioner.tokenizer, wantsLogProbs: request.wantsLogProbs,
      includesUsage: request.includesUsage)
    let asked = try asked(request)
    guard let picture = request.messages.picture else { return try answerWithoutPicture(request, writer) }
    let generation = try await generate(request, picture, asked)
    return request.isStreamed
      ? try await stream(generation, writer, texts: asked.options.numReturnSequences, began: began)
      : try await collect(generation, writer, texts: asked.options.numReturnSequences)
  }

  /// - Throws: `APIError` for what is no request, and for a model that is not served.
  func read(_ body: Data) throws -> ChatCompletionRequest {
    let request = try ChatCompletionRequest(body)
    if let name = request.model, name != configuration.model, !configuration.aliases.contains(name) {
      throw APIError.unknownModel(name, served: configuration.model)
    }
    return request
  }

  /// What the model is asked for.
  func asked(_ request: ChatCompletionRequest) throws -> Captioner.Request {
    try request.request(
      engine.captioner.defaultRequest, prompt: configuration.usesPrompts ? request.messages.text : nil)
  }

  /// The texts that are asked for a request's picture.
  func generate(
    _ request: ChatCompletionRequest, _ picture: (url: String, param: String), _ asked: Captioner.Request
  ) async throws -> ServingEngine.Generation {
    try await withBytes(of: picture) {
      try await engine.generate($0, from: picture.param, asked, maxTokens: request.maxTokens)
    }
  }

  // MARK: Pictures

  /// Calls a function with a picture's file, fetched where that is allowed. What is fetched keeps its place among those that
  /// may be until the function returns, so that memory does not fill with pictures that wait.
  private func withBytes<Result>(
    of picture: (url: String, param: String), _ use: (Data) async throws -> Result
  ) async throws -> Result {
    func wrong(_ message: String) -> APIError {
      .bad("'\(picture.param)' \(message)", param: picture.param, code: "invalid_image_url")
    }
    // Base64 alone has no colon.
    if DataURL.isOne(picture.url) || !picture.url.quoted(20).contains(":") {
      guard let bytes = DataURL.bytes(picture.url) else {
        throw wrong(
          "is no data: URL with base64: send data:image/jpeg;base64, and the picture's bytes so encoded.")
      }
      return try await use(bytes)
    }
    let scheme = picture.url.quoted(20).prefix { $0 != ":" && $0 != "/" }
    guard let fetch = configuration.fetchPicture else {
      throw wrong(
        "begins with \"\(scheme)\", but pictures are not fetched here: send a data: URL with base64.")
    }
    guard ["http", "https"].contains(scheme.lowercased()) else {
      throw wrong("begins with \"\(scheme)\": send an http, https or data: URL.")
    }
    let place = try await engine.fetches.enter(texts: 1)
    defer { withExtendedLifetime(place) {} }
    let bytes: Data
    do { bytes = try await fetch(picture.url) } catch {
      try Task.checkCancellation()
      throw wrong(
        "cannot be fetched (\(error.localizedDescription)): send the picture itself as a data: URL.")
    }
    return try await use(bytes)
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
    try await generation.collect(metrics) { writer.append($0, to: &answers[$0.index]) }
    return ServingResponse(writer.completion(answers, promptTokens: generation.promptTokens))
  }

  private func stream(
    _ generation: ServingEngine.Generation, _ writer: ChatWriter, texts: Int, began: ContinuousClock.Instant
  ) async throws
    -> ServingResponse
  {
    let deadline = began + .seconds(configuration.limits.seconds)
    // What fails before the first token is answered with a status.
    let first: Captioner.Piece?
    do {
      var iterator = generation.pieces.makeAsyncIterator()
      first = try await iterator.next()
    } catch {
      throw APIError.failure(error)
    }
    try Task.checkCancellation()
    metrics.countFirstToken(seconds: (ContinuousClock.now - began) / .seconds(1))
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

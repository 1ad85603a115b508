import Foundation
import MultiModalModel
import MultiModalPipeline

/// `POST /v1/explain`: what a chat completion of the same request says, token by token, with where the decoder looked.
struct ExplainRoute: Sendable {
  let chat: ChatCompletions

  /// - Throws: `APIError`, and what cannot be done in the user's words.
  func respond(_ body: Data) async throws -> ServingResponse {
    try await chat.withSingle(body, explain)
  }

  private func explain(_ picture: Data, _ asked: Captioner.Request, _ maxTokens: Int?) async throws
    -> ServingResponse
  {
    let engine = chat.engine
    let generation = try await engine.generate(picture, asked, maxTokens: maxTokens)
    // Its place is kept until all is done.
    defer { withExtendedLifetime(generation) {} }
    var tokens: [(id: Int, logProbability: Double)] = []
    var text = ""
    for try await piece in generation.pieces {
      chat.metrics.count(piece)
      tokens += zip(piece.tokens, piece.logProbabilities).map { ($0, $1) }
      text += piece.text
    }
    try Task.checkCancellation()
    let processor = engine.processor
    let image = try processor(bytes: picture, name: "of the request")
    let grid = try await engine.captioner.attention(of: image, prompt: asked.prompt, tokens: tokens.map(\.id))
    let seen = try processor.picture(of: image).png().base64EncodedString()
    return ServingResponse([
      "model": .string(chat.configuration.model), "text": .string(text), "rows": .int(grid.rows),
      "columns": .int(grid.columns), "seen": .string("data:image/png;base64,\(seen)"),
      "tokens": .array(
        try zip(tokens, grid.weights).map { token, weights in
          [
            "token": .string(String(decoding: try engine.captioner.tokenizer.bytes(token.id), as: UTF8.self)),
            "logprob": .double(max(token.logProbability, -9999)),
            "attention": .array(weights.map { .double(Double($0)) }),
          ]
        }),
    ])
  }
}

import Foundation
import MultiModalModel
import MultiModalPipeline

/// `POST /v1/explain`: what a chat completion of the same request says, token by token, with where the decoder looked.
struct ExplainRoute: Sendable {
  let chat: ChatCompletions

  /// - Throws: `APIError`, and what cannot be done in the user's words.
  func respond(_ body: Data) async throws -> ServingResponse {
    let request = try chat.read(body)
    guard let picture = request.messages.picture else { throw APIError.imageRequired }
    var asked = try chat.asked(request)
    asked.options.numReturnSequences = 1
    let generation = try await chat.generate(request, picture, asked)
    var tokens: [(id: Int, logProbability: Double)] = []
    var text = ""
    try await generation.collect(chat.metrics) { piece in
      tokens += zip(piece.tokens, piece.logProbabilities).map { ($0, $1) }
      text += piece.text
    }
    let engine = chat.engine
    let place = try await engine.explanations.enter(texts: 1)
    defer { withExtendedLifetime((place, generation)) {} }
    let grid = try await engine.captioner.attention(
      of: generation.picture.encoded, prompt: asked.prompt, tokens: tokens.map(\.id))
    let seen = try generation.picture.picture.png().base64EncodedString()
    return ServingResponse([
      "model": .string(chat.configuration.model), "text": .string(text), "rows": .int(grid.rows),
      "columns": .int(grid.columns), "seen": .string("data:image/png;base64,\(seen)"),
      "tokens": .array(
        try zip(tokens, grid.weights).map { token, weights in
          [
            "token": .string(String(decoding: try engine.captioner.tokenizer.bytes(token.id), as: UTF8.self)),
            "logprob": .double(max(token.logProbability, -9999)),
            "attention": .array(weights.map { .double((Double($0) * 1e6).rounded() / 1e6) }),
          ]
        }),
    ])
  }
}

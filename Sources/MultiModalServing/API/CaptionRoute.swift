import Foundation
import MultiModalModel
import MultiModalPipeline

/// `POST /v1/caption`: a picture as the body, or a form with a picture and a prompt; a text as JSON.
struct CaptionRoute: Sendable {
  let engine: ServingEngine
  let configuration: ServingConfiguration
  let metrics: ServingMetrics

  /// - Throws: `APIError`, and what cannot be done in the user's words.
  func respond(_ request: ServingRequest) async throws -> ServingResponse {
    let (picture, param, prompt) = try input(request)
    var asked = engine.captioner.defaultRequest
    if configuration.usesPrompts, let prompt { asked.prompt = prompt }
    asked.options.numReturnSequences = 1
    let generation = try await engine.generate(picture, from: param, asked)
    var text = ""
    var tokens = 0
    var finish = GeneratedText.FinishReason.length
    try await generation.collect(metrics) { piece in
      text += piece.text
      tokens += piece.tokens.count
      if let end = piece.end { finish = end.finish }
    }
    return ServingResponse([
      "model": .string(configuration.model), "text": .string(text), "tokens": .int(tokens),
      "finish_reason": .string(finish.rawValue),
    ])
  }

  private func input(_ request: ServingRequest) throws -> (picture: Data, param: String?, prompt: String?) {
    let kind = request.headers["content-type"] ?? ""
    guard kind.lowercased().hasPrefix("multipart/") else { return (request.body, nil, nil) }
    guard let parts = Multipart.parts(request.body, contentType: kind) else {
      throw APIError.bad("The body is no complete multipart form.", code: "invalid_form")
    }
    let param = parts["image"] == nil ? "file" : "image"
    guard let picture = parts[param] else {
      throw APIError.bad("The form has no picture: name it 'image'.", param: "image", code: "image_required")
    }
    return (picture, param, parts["prompt"].map { String(decoding: $0, as: UTF8.self) })
  }
}

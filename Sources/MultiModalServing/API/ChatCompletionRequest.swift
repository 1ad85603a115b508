import Foundation
import MultiModalModel
import MultiModalPipeline

/// What `POST /v1/chat/completions` asks for.
struct ChatCompletionRequest {
  /// nil where the client names none.
  let model: String?
  let messages: ChatMessages
  let isStreamed: Bool
  /// Whether a stream's last chunk counts tokens.
  let includesUsage: Bool
  let wantsLogProbs: Bool
  /// The most new tokens of a text; nil where the client does not say.
  let maxTokens: Int?
  private let fields: JSONFields

  init(_ body: Data) throws {
    fields = try JSONFields(body: body)
    model = try fields.string("model")
    messages = try ChatMessages(fields)
    isStreamed = try fields.bool("stream") ?? false
    includesUsage = try fields.object("stream_options")?.bool("include_usage") ?? false
    wantsLogProbs = try fields.bool("logprobs") ?? false
    maxTokens =
      try fields.integer("max_completion_tokens", in: 1...Int.max)
      ?? fields.integer("max_tokens", in: 1...Int.max)
    try refuseWhatWouldBeLost()
  }

  /// What a client relies on and would not get is refused; all else that is not known is passed over.
  private func refuseWhatWouldBeLost() throws {
    for name in ["tools", "functions"] where try !(fields.array(name) ?? []).isEmpty {
      throw APIError.bad(
        "'\(name)' is given, but this model calls no tools: leave it out.", param: name, code: "unsupported")
    }
    if let format = try fields.object("response_format")?.string("type"), format != "text" {
      throw APIError.bad(
        "'response_format' must be text, because this model writes no JSON: leave it out.",
        param: "response_format", code: "unsupported")
    }
    if try fields.integer("top_logprobs", in: 0...20) ?? 0 > 0, !wantsLogProbs {
      throw fields.error("logprobs", "true where 'top_logprobs' is given")
    }
  }

  /// What the model is asked for.
  /// - Parameter defaults: what is asked for where the client does not say
  func request(_ defaults: Captioner.Request, prompt: String?) throws -> Captioner.Request {
    var request = defaults
    if let prompt { request.prompt = prompt }
    request.stopStrings = try stops()
    try sample(&request.options)
    if let penalty = try fields.number("presence_penalty", in: -2...2) {
      request.options.presencePenalty = penalty
    }
    if let penalty = try fields.number("frequency_penalty", in: -2...2) {
      request.options.frequencyPenalty = penalty
    }
    request.options.topLogProbs = try fields.integer("top_logprobs", in: 0...20) ?? 0
    request.options.logitBias = try logitBias()
    return request
  }

  /// How many texts, and how they are drawn.
  private func sample(_ options: inout GenerationOptions) throws {
    let temperature = try fields.number("temperature", in: 0...2)
    let count = try fields.integer("n", in: 1...16) ?? 1
    options.numReturnSequences = count
    if let temperature {
      options.temperature = temperature < 0.001 ? 0 : temperature
      if options.temperature > 0 { options.numBeams = 1 }
    } else if options.numBeams > 1 {
      options.numBeams = max(options.numBeams, count)
    } else if count > 1, options.temperature == 0 {
      options.temperature = 1
    }
    if let topP = try fields.number("top_p", in: 0...1) { options.topP = max(topP, 1e-6) }
    options.seed =
      try fields.integer("seed", in: Int.min...Int.max).map { UInt64(bitPattern: Int64($0)) }
      ?? .random(in: 0 ... .max)
  }

  private func stops() throws -> [String] {
    try fields.read("stop", "a text or a list of at most 16") {
      $0.string.map { [$0] } ?? $0.list(\.string).flatMap { $0.count <= 16 ? $0 : nil }
    } ?? []
  }

  private func logitBias() throws -> [Int: Double] {
    guard let bias = try fields.object("logit_bias") else { return [:] }
    return try bias.all.reduce(into: [:]) { result, field in
      guard let token = Int(field.key), let number = field.value.number, (-100...100).contains(number) else {
        throw fields.error("logit_bias", "an object of token ids and numbers from -100 to 100")
      }
      result[token] = number
    }
  }
}

import Foundation
import MultiModalModel
import MultiModalPipeline

/// A text of an answer as far as it is known.
struct ChatText {
  var text = ""
  var tokens = 0
  var logProbs: [JSONValue] = []
  var finish = GeneratedText.FinishReason.length
}

/// Writes answers in OpenAI's shapes: a completion, or the events of a stream.
struct ChatWriter: Sendable {
  private let id = "chatcmpl-" + String(UInt64.random(in: 0 ... .max), radix: 36)
  private let created = Int(Date().timeIntervalSince1970)
  private let model: String
  private let tokenizer: any Tokenizer
  private let wantsLogProbs: Bool
  private let includesUsage: Bool

  init(model: String, tokenizer: any Tokenizer, wantsLogProbs: Bool, includesUsage: Bool) {
    self.model = model
    self.tokenizer = tokenizer
    self.wantsLogProbs = wantsLogProbs
    self.includesUsage = includesUsage
  }

  private func object(_ kind: String, _ choices: [JSONValue]) -> [String: JSONValue] {
    [
      "id": .string(id), "object": .string(kind), "created": .int(created), "model": .string(model),
      "choices": .array(choices),
    ]
  }

  private func usage(_ promptTokens: Int, _ completionTokens: Int) -> JSONValue {
    [
      "prompt_tokens": .int(promptTokens), "completion_tokens": .int(completionTokens),
      "total_tokens": .int(promptTokens + completionTokens),
    ]
  }

  // MARK: Whole

  func append(_ piece: Captioner.Piece, to text: inout ChatText) {
    text.text += piece.text
    text.tokens += piece.tokens.count
    if wantsLogProbs { text.logProbs += logProbs(piece) }
    if let end = piece.end { text.finish = end.finish }
  }

  func completion(_ texts: [ChatText], promptTokens: Int) -> JSONValue {
    let choices = texts.enumerated().map { index, text -> JSONValue in
      [
        "index": .int(index), "finish_reason": .string(text.finish.rawValue),
        "message": ["role": "assistant", "content": .string(text.text), "refusal": nil],
        "logprobs": wantsLogProbs ? ["content": .array(text.logProbs), "refusal": nil] : nil,
      ]
    }
    var answer = object("chat.completion", choices)
    answer["usage"] = usage(promptTokens, texts.reduce(0) { $0 + $1.tokens })
    return .object(answer)
  }

  // MARK: Events

  /// A choice's first event.
  func beginning(_ index: Int) -> Data { event(index, delta: ["role": "assistant", "content": ""]) }

  /// What a piece adds; its text's last event too where it is the last.
  func events(_ piece: Captioner.Piece) -> [Data] {
    var events: [Data] = []
    let logProbs = wantsLogProbs ? logProbs(piece) : []
    if !piece.text.isEmpty || !logProbs.isEmpty {
      events.append(event(piece.index, delta: ["content": .string(piece.text)], logProbs: logProbs))
    }
    if let end = piece.end { events.append(self.end(piece.index, end.finish)) }
    return events
  }

  func content(_ index: Int, _ text: String) -> Data { event(index, delta: ["content": .string(text)]) }

  func end(_ index: Int, _ finish: GeneratedText.FinishReason) -> Data {
    event(index, delta: [:], finish: finish)
  }

  /// What comes after all choices' last events.
  func ending(promptTokens: Int, completionTokens: Int) -> Data {
    guard includesUsage else { return Data("data: [DONE]\n\n".utf8) }
    var last = object("chat.completion.chunk", [])
    last["usage"] = usage(promptTokens, completionTokens)
    return Self.event(.object(last)) + Data("data: [DONE]\n\n".utf8)
  }

  /// What comes instead where the stream fails.
  func failure(_ error: any Error) -> Data {
    (error as? APIError ?? .failure(error)).event
  }

  private func event(
    _ index: Int, delta: JSONValue, logProbs: [JSONValue] = [], finish: GeneratedText.FinishReason? = nil
  ) -> Data {
    var chunk = object(
      "chat.completion.chunk",
      [
        [
          "index": .int(index), "delta": delta, "finish_reason": finish.map { .string($0.rawValue) } ?? nil,
          "logprobs": logProbs.isEmpty ? nil : ["content": .array(logProbs), "refusal": nil],
        ]
      ])
    if includesUsage { chunk["usage"] = .null }
    return Self.event(.object(chunk))
  }

  static func event(_ json: JSONValue) -> Data { Data("data: ".utf8) + json.data + Data("\n\n".utf8) }

  // MARK: Log-probabilities

  /// Of tokens that have a text.
  private func logProbs(_ piece: Captioner.Piece) -> [JSONValue] {
    piece.tokens.indices.compactMap { index in
      guard var entry = token(piece.tokens[index], piece.logProbabilities[index]) else { return nil }
      entry["top_logprobs"] = .array(
        piece.likeliest[index].compactMap { token($0.id, $0.logProbability).map(JSONValue.object) })
      return .object(entry)
    }
  }

  private func token(_ id: Int, _ logProbability: Double) -> [String: JSONValue]? {
    guard let bytes = try? tokenizer.bytes(id), !bytes.isEmpty else { return nil }
    return [
      "token": .string(String(decoding: bytes, as: UTF8.self)),
      "logprob": .double(max(logProbability, -9999)),
      "bytes": .array(bytes.map { .int(Int($0)) }),
    ]
  }
}

extension ServingResponse {
  private static let events = (name: "Content-Type", value: "text/event-stream")

  /// Whether it is a stream of server-sent events.
  package var isEvents: Bool { headers.contains { $0 == Self.events } }

  /// Server-sent events, which nobody on the way may collect.
  static func events(_ events: AsyncStream<Data>) -> ServingResponse {
    ServingResponse(
      headers: [
        Self.events, (name: "Cache-Control", value: "no-cache"),
        (name: "X-Accel-Buffering", value: "no"),
      ], body: .stream(events))
  }
}

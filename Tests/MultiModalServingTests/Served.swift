import Foundation
import MultiModalModel
import MultiModalPipeline
import TestSupport
import Testing
import Torch

@testable import MultiModalServing

/// A service over a model, asked without HTTP.
struct Served {
  let captioner: Captioner
  private let service: ServingService
  private let described: Described

  init(_ captioner: Captioner, _ change: (inout ServingConfiguration) -> Void = { _ in }) throws {
    var configuration = ServingConfiguration(model: "emoji")
    change(&configuration)
    self.captioner = captioner
    service = try ServingService(captioner, configuration)
    described = Described(configuration)
  }

  func refusal(of request: ServingRequest) -> APIError? { service.refusal(of: request) }

  /// The model in `Models/emoji`.
  static func emoji(_ change: (inout ServingConfiguration) -> Void = { _ in }) throws -> Served {
    try Served(emojiCaptioner.get(), change)
  }

  private static let emojiCaptioner = Result {
    try Captioner(contentsOf: root.appendingPathComponent("Models/emoji"))
  }

  /// A tiny model with random weights that writes long texts.
  static func long(_ change: (inout ServingConfiguration) -> Void = { _ in }) throws -> Served {
    let bundle = try SmallBundle(vocabularySize: 270, width: 16, longestText: 20_000)
    try bundle.model.prepareForInference()
    let captioner = try Captioner(
      model: bundle.model, tokenizer: bundle.tokenizer, processor: bundle.processor)
    return try Served(captioner) {
      $0.limits.newTokens = 20_000
      change(&$0)
    }
  }

  /// A checkpoint of another family with random weights, whose texts end early or not at all.
  static func bert() throws -> Served {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("gpt4mm-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    try FileManager.default.copyItem(
      at: root.appendingPathComponent("Tests/Fixtures/families/vit-bert"), to: folder)
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + (5..<64).map { "word\($0)" }
    let files = [
      "vocab.txt": words.joined(separator: "\n"),
      "tokenizer_config.json": #"{"tokenizer_class": "BertTokenizer"}"#,
      "preprocessor_config.json":
        #"{"image_processor_type": "ViTImageProcessor", "size": {"height": 16, "width": 16}}"#,
    ]
    for (name, text) in files { try Data(text.utf8).write(to: folder.appendingPathComponent(name)) }
    return try Served(Captioner(contentsOf: folder))
  }

  static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  static func picture(_ number: Int) throws -> Data {
    let names = ["picture-1.jpg", "picture-2.jpg", "picture-3.jpg"]
    return try Data(contentsOf: root.appendingPathComponent("Examples/pictures/\(names[number - 1])"))
  }

  static func url(_ number: Int = 1) throws -> String {
    "data:image/jpeg;base64," + (try picture(number)).base64EncodedString()
  }

  // MARK: Requests

  /// A body with one user message that has a picture.
  static func body(_ fields: [String: JSONValue] = [:], url: String? = nil) throws -> JSONValue {
    var body: [String: JSONValue] = [
      "model": "emoji",
      "messages": [
        [
          "role": "user",
          "content": [["type": "image_url", "image_url": ["url": .string(try url ?? self.url())]]],
        ]
      ],
    ]
    body.merge(fields) { $1 }
    return .object(body)
  }

  /// A picture file that no other number has.
  static func pattern(_ number: Int) throws -> Data {
    let pixels = (0..<3 * 16 * 16).map { UInt8(truncatingIfNeeded: $0 &* (37 &+ 11 &* number) &+ number) }
    return try Picture(height: 16, width: 16, channels: 3, pixels: pixels).png()
  }

  static func body(messages: JSONValue) -> JSONValue { ["model": "emoji", "messages": messages] }

  /// A body whose texts never end by themselves.
  func endless(tokens: Int, _ fields: [String: JSONValue] = [:]) throws -> JSONValue {
    let ends = Dictionary(
      uniqueKeysWithValues: captioner.generation.end.map { ("\($0)", JSONValue.int(-100)) })
    return try Self.body(["max_tokens": .int(tokens), "logit_bias": .object(ends)].merging(fields) { $1 })
  }

  func get(_ path: String, headers: [String: String] = [:]) async throws -> (status: Int, json: JSONValue) {
    try await ask(ServingRequest(method: "GET", path: path, headers: headers))
  }

  func chat(_ body: JSONValue) async throws -> (status: Int, json: JSONValue) {
    try await ask(ServingRequest(method: "POST", path: "/v1/chat/completions", body: body.data))
  }

  /// The text of an answer, or what is wrong with the request.
  func answer(_ body: JSONValue) async throws -> String? {
    let json = try await chat(body).json
    return json["choices"][0]["message"]["content"].text ?? json["error"]["message"].text
  }

  /// An answer, which must be one that the service's description names.
  func respond(to request: ServingRequest) async -> ServingResponse {
    let response = await service.respond(to: request)
    var json: JSONValue?
    if case .bytes(let bytes) = response.body {
      json = try? JSONDecoder().decode(JSONValue.self, from: bytes)
    }
    described.check(
      request.method, request.path, body: request.body, status: response.status,
      type: response.headers.first { $0.name == "Content-Type" }?.value, answer: json)
    return response
  }

  func ask(_ request: ServingRequest) async throws -> (status: Int, json: JSONValue) {
    let response = await respond(to: request)
    guard case .bytes(let bytes) = response.body else { throw ModelError("the answer is a stream") }
    return (response.status, (try? JSONDecoder().decode(JSONValue.self, from: bytes)) ?? .null)
  }

  /// A stream's events without the last, which must be `[DONE]`.
  func events(_ body: JSONValue) async throws -> [JSONValue] {
    let response = await respond(
      to: ServingRequest(method: "POST", path: "/v1/chat/completions", body: body.data))
    guard case .stream(let parts) = response.body else { throw ModelError("the answer is no stream") }
    var text = ""
    for await part in parts { text += String(decoding: part, as: UTF8.self) }
    #expect(text.hasSuffix("data: [DONE]\n\n"))
    return try text.components(separatedBy: "\n\n").dropLast(2).map { event in
      #expect(event.hasPrefix("data: "))
      return try JSONDecoder().decode(JSONValue.self, from: Data(event.dropFirst(6).utf8))
    }
  }
}

extension JSONValue {
  subscript(name: String) -> JSONValue {
    if case .object(let fields) = self { fields[name] ?? .null } else { .null }
  }

  subscript(index: Int) -> JSONValue {
    if case .array(let values) = self, values.indices.contains(index) { values[index] } else { .null }
  }

  var text: String? { if case .string(let text) = self { text } else { nil } }
  var number: Int? { if case .int(let number) = self { number } else { nil } }
  var count: Int { if case .array(let values) = self { values.count } else { 0 } }
  var names: Set<String> { if case .object(let fields) = self { Set(fields.keys) } else { [] } }
}

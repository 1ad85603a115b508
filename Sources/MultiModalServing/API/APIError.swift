import Foundation
import MultiModalModel

/// What a request is answered where it cannot be done, in the shape that OpenAI's clients read.
package struct APIError: Error, Equatable {
  package var status: Int
  /// One sentence.
  var message: String
  var type = "invalid_request_error"
  /// The field that is wrong.
  var param: String?
  var code: String?
  var headers: [String: String] = [:]

  static func bad(_ message: String, param: String? = nil, code: String? = nil) -> APIError {
    APIError(status: 400, message: message, param: param, code: code)
  }

  package static func bodyTooLarge(limit: Int) -> APIError {
    APIError(
      status: 413, message: "The body has more than \(limit) bytes, the limit: send a smaller picture.",
      code: "body_too_large")
  }

  package static let draining = APIError(
    status: 503, message: "The server is about to stop: ask another, or again later.", type: "server_error",
    code: "stopping", headers: ["Retry-After": "1"])

  package static let overloaded = APIError(
    status: 429, message: "Too many requests wait already: ask again in a second.", type: "rate_limit_error",
    code: "overloaded", headers: ["Retry-After": "1"])

  /// What a request is answered whose client has gone.
  package static let cancelled = APIError(
    status: 499,
    message: "The client has gone, or has closed its side of the connection: keep it open until the end.",
    type: "server_error", code: "cancelled")

  static let timeout = APIError(
    status: 503, message: "The request took longer than the server lets it: ask again later.",
    type: "server_error", code: "timeout", headers: ["Retry-After": "1"])

  static let invalidKey = APIError(
    status: 401, message: "The API key is missing or wrong: send it as 'Authorization: Bearer KEY'.",
    code: "invalid_api_key", headers: ["WWW-Authenticate": "Bearer"])

  static func unknownHost(_ name: String) -> APIError {
    APIError(
      status: 403,
      message: "The Host '\(name.quoted(100))' is none of this server's names: whoever runs it can allow it.",
      code: "host_not_allowed")
  }

  static func unknownModel(_ name: String, served: String) -> APIError {
    APIError(
      status: 404, message: "The model '\(name.quoted(100))' is not served here: ask for '\(served)'.",
      param: "model", code: "model_not_found")
  }

  static let imageRequired = bad(
    "This model writes texts for pictures, but no message has one: add an 'image_url' part with a data: URL.",
    param: "messages", code: "image_required")

  /// What failed although the request was right.
  static func failure(_ error: any Error) -> APIError {
    APIError(
      status: 500, message: error.localizedDescription, type: "server_error", code: "internal_error")
  }

  var json: JSONValue {
    [
      "error": [
        "message": .string(message), "type": .string(type), "param": param.map(JSONValue.string) ?? .null,
        "code": code.map(JSONValue.string) ?? .null,
      ]
    ]
  }

  /// As a part of a stream of events, the last.
  package var event: Data { ChatWriter.event(json) + Data("data: [DONE]\n\n".utf8) }

  package var response: ServingResponse {
    ServingResponse(
      json, status: status,
      headers: headers.sorted { $0.key < $1.key }.map { (name: $0.key, value: $0.value) })
  }
}

extension String {
  /// The beginning, for a message. By scalars, because a character has as many as a client likes.
  func quoted(_ most: Int) -> String { String(unicodeScalars.prefix(most)) }
}

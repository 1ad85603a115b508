import MultiModalModel

/// What `/openapi.json` says (OpenAPI 3.1): every path, and every status that it may answer.
struct OpenAPI {
  private let configuration: ServingConfiguration

  static func document(_ configuration: ServingConfiguration) -> JSONValue {
    OpenAPI(configuration: configuration).document
  }

  private var document: JSONValue {
    let urls = configuration.fetchPicture == nil ? "^data:" : "^(data:|https?://)"
    let chat = Self.json(Self.chatRequest(urls: urls))
    var paths: [String: JSONValue] = [
      "/v1/chat/completions": [
        "post": operation(
          "Write texts for the picture of a conversation", body: chat,
          answer: Self.json(named: "Completion", or: "text/event-stream"), errors: [404])
      ],
      "/v1/caption": [
        "post": operation(
          "Write a text for a picture",
          body: [
            "image/*": ["schema": ["type": "string", "contentMediaType": "application/octet-stream"]],
            "multipart/form-data": ["schema": Self.captionForm],
          ], answer: Self.json(named: "Caption"))
      ],
      "/v1/explain": [
        "post": operation(
          "Say where the decoder looked for each token of what a chat completion would be", body: chat,
          answer: Self.json(named: "Explanation"), errors: [404])
      ],
      "/v1/models": ["get": operation("List the models", answer: Self.json(named: "Models"))],
      "/v1/models/{id}": [
        "get": operation("Describe a model", answer: Self.json(named: "Model"), errors: [404]),
        "parameters": [
          ["name": "id", "in": "path", "required": true, "schema": ["type": "string", "minLength": 1]]
        ],
      ],
      "/health": [
        "get": operation("Say that the process answers", answer: Self.json(named: "Status"), needsKey: false)
      ],
      "/ready": [
        "get": operation(
          "Say whether requests are taken", answer: Self.json(named: "Status"), needsKey: false)
      ],
      "/metrics": ["get": operation("Counts, as Prometheus reads them", answer: Self.text("text/plain"))],
      "/openapi.json": [
        "get": operation(
          "This description", answer: Self.json(["type": "object"]), needsKey: false)
      ],
    ]
    for (path, file) in Page.files {
      paths[path] = ["get": operation("The page to try it", answer: Self.text(file.type), needsKey: false)]
    }
    var document: [String: JSONValue] = [
      "openapi": "3.1.0", "info": ["title": "gpt4mm serve", "version": "1"], "paths": .object(paths),
      "components": [
        "schemas": .object(Self.schemas),
        "securitySchemes": ["key": ["type": "http", "scheme": "bearer"]],
      ],
    ]
    if configuration.keys != nil { document["security"] = [["key": []]] }
    return .object(document)
  }

  // MARK: Operations

  private static func json(_ schema: JSONValue) -> JSONValue { ["application/json": ["schema": schema]] }

  private static func text(_ type: String) -> JSONValue { .object([type: ["schema": text]]) }

  /// - Parameter type: of texts that may come instead
  private static func json(named name: String, or type: String? = nil) -> JSONValue {
    var content: [String: JSONValue] = ["application/json": ["schema": reference(name)]]
    if let type { content[type] = ["schema": text] }
    return .object(content)
  }

  private static func reference(_ name: String) -> JSONValue {
    ["$ref": .string("#/components/schemas/\(name)")]
  }

  /// - Parameters:
  ///   - body: by content types
  ///   - answer: by content types
  ///   - errors: besides those that follow from the rest
  private func operation(
    _ summary: String, body: JSONValue? = nil, answer: JSONValue, errors: [Int] = [], needsKey: Bool = true
  ) -> JSONValue {
    // A body may come with any method.
    let statuses =
      errors + [413, 429, 503] + (body == nil ? [] : [400, 500])
      + (needsKey && configuration.keys != nil ? [401] : [])
      + (configuration.hosts == nil ? [] : [403])
    var responses: [String: JSONValue] = ["200": ["description": "Done", "content": answer]]
    for status in statuses {
      var response: [String: JSONValue] = [
        "description": .string(Self.reasons[status] ?? "Refused"), "content": Self.json(named: "Error"),
      ]
      if [429, 503].contains(status) {
        response["headers"] = ["Retry-After": ["description": "Seconds", "schema": Self.count]]
      }
      responses["\(status)"] = .object(response)
    }
    var operation: [String: JSONValue] = ["summary": .string(summary), "responses": .object(responses)]
    if let body { operation["requestBody"] = ["required": true, "content": body] }
    if !needsKey { operation["security"] = [] }
    return .object(operation)
  }

  private static let reasons = [
    400: "The request is wrong", 401: "The key is missing or wrong", 403: "The Host is not the server's",
    404: "The model is not served", 413: "The body is too large", 429: "Too many requests wait",
    500: "The model failed", 503: "The server stops, or the request took too long",
  ]

  // MARK: Schemas

  private static let text: JSONValue = ["type": "string"]
  private static let count: JSONValue = ["type": "integer", "minimum": 0]

  /// - Parameters:
  ///   - required: all where nothing is said
  ///   - more: that must be so
  private static func object(
    _ properties: [String: JSONValue], required: [String]? = nil, _ more: [String: JSONValue] = [:]
  ) -> JSONValue {
    let schema: [String: JSONValue] = [
      "type": "object", "properties": .object(properties),
      "required": .array((required ?? Array(properties.keys)).sorted().map(JSONValue.string)),
    ]
    return .object(schema.merging(more) { $1 })
  }

  private static func number(_ low: Double, _ high: Double) -> JSONValue {
    ["type": ["number", "null"], "minimum": .double(low), "maximum": .double(high)]
  }

  private static func whole(_ low: Int, _ high: Int? = nil) -> JSONValue {
    var schema: [String: JSONValue] = [
      "type": ["integer", "null"], "format": "int64", "minimum": .int(low),
    ]
    if let high { schema["maximum"] = .int(high) }
    return .object(schema)
  }

  private static let flag: JSONValue = ["type": ["boolean", "null"]]

  /// - Parameter urls: a pattern of those that a picture may have
  private static func chatRequest(urls: String) -> JSONValue {
    object(
      [
        "model": ["type": ["string", "null"]],
        "messages": [
          "type": "array", "contains": ["properties": ["role": ["const": "user"]]],
          "description":
            "The last user message's text is what the text begins with; the last picture is the one.",
          "items": object(["role": text, "content": content(urls: urls)], required: ["role"]),
        ],
        "stream": flag, "logprobs": flag, "top_logprobs": whole(0, 20), "temperature": number(0, 2),
        "top_p": number(0, 1),
        "max_tokens": whole(1), "max_completion_tokens": whole(1), "n": whole(1, 16),
        "seed": ["type": ["integer", "null"], "format": "int64"],
        "presence_penalty": number(-2, 2), "frequency_penalty": number(-2, 2),
        "stop": [
          "anyOf": [["type": ["string", "null"]], ["type": "array", "items": text, "maxItems": 16]]
        ],
        "stream_options": ["type": ["object", "null"], "properties": ["include_usage": flag]],
        "logit_bias": [
          "type": ["object", "null"],
          "description": "By token ids: what is added to a token's logit before it is taken or drawn.",
          "propertyNames": ["pattern": "^[0-9]+$"],
          "additionalProperties": ["type": "number", "minimum": -100, "maximum": 100],
        ],
        "tools": nothing, "functions": nothing,
        "response_format": ["type": ["object", "null"], "properties": ["type": ["enum": ["text", nil]]]],
      ], required: ["messages"],
      [
        "if": [
          "properties": ["top_logprobs": ["type": "integer", "minimum": 1]], "required": ["top_logprobs"],
        ],
        "then": ["properties": ["logprobs": ["const": true]], "required": ["logprobs"]],
      ])
  }

  /// What this model has not, as clients send it nevertheless.
  private static let nothing: JSONValue = ["type": ["array", "null"], "maxItems": 0]

  private static func content(urls: String) -> JSONValue {
    let url: JSONValue = ["type": "string", "pattern": .string(urls)]
    let words: JSONValue = ["type": ["string", "null"]]
    let part: JSONValue = [
      "anyOf": [
        text,
        object(
          ["type": ["enum": ["text", "input_text", "output_text"]], "text": words], required: ["type"]),
        object(["type": ["type": "null"], "text": text], required: ["text"]),
        object(
          [
            "type": ["enum": ["image_url", "input_image", nil]],
            "image_url": ["anyOf": [url, object(["url": url])]],
          ], required: ["image_url"]),
      ]
    ]
    return ["anyOf": [["type": "null"], part, ["type": "array", "items": part]]]
  }

  private static let captionForm: JSONValue = object(
    ["image": ["type": "string", "contentMediaType": "application/octet-stream"], "prompt": text],
    required: ["image"])

  private static let schemas: [String: JSONValue] = [
    "Status": object(["status": text]),
    "Model": object(["id": text, "object": ["const": "model"], "created": count, "owned_by": text]),
    "Models": object(["object": ["const": "list"], "data": ["type": "array", "items": reference("Model")]]),
    "Caption": object(["model": text, "text": text, "tokens": count, "finish_reason": finish]),
    "Explanation": object([
      "model": text, "text": text, "rows": count, "columns": count, "seen": text,
      "tokens": [
        "type": "array",
        "items": object([
          "token": text, "logprob": ["type": "number"],
          "attention": ["type": "array", "items": ["type": "number"]],
        ]),
      ],
    ]),
    "Error": object([
      "error": object([
        "message": text, "type": text, "param": ["type": ["string", "null"]],
        "code": ["type": ["string", "null"]],
      ])
    ]),
    "Completion": object([
      "id": text, "object": ["const": "chat.completion"], "created": count, "model": text,
      "choices": [
        "type": "array", "minItems": 1,
        "items": object([
          "index": count, "finish_reason": finish, "logprobs": ["type": ["object", "null"]],
          "message": object(["role": ["const": "assistant"], "content": text, "refusal": ["type": "null"]]),
        ]),
      ],
      "usage": object(["prompt_tokens": count, "completion_tokens": count, "total_tokens": count]),
    ]),
  ]

  private static let finish: JSONValue = ["enum": ["stop", "length"]]
}

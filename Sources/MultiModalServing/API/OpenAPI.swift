import MultiModalModel

/// What `/openapi.json` says (OpenAPI 3.1).
enum OpenAPI {
  static func document(_ configuration: ServingConfiguration) -> JSONValue {
    let chatRequest = chatRequest(urls: configuration.fetchPicture == nil ? "^data:" : "^(data:|https?://)")
    var paths: [String: JSONValue] = [:]
    paths["/v1/chat/completions"] = [
      "post": operation(
        "Write texts for the picture of a conversation", body: json(chatRequest), answer: "Completion",
        also: ["text/event-stream": ["schema": ["type": "string"]]], errors: [400, 404, 429, 503])
    ]
    paths["/v1/caption"] = [
      "post": operation(
        "Write a text for a picture",
        body: [
          "image/*": ["schema": ["type": "string", "contentMediaType": "application/octet-stream"]],
          "multipart/form-data": ["schema": captionForm],
        ], answer: "Caption", errors: [400, 429, 503])
    ]
    paths["/v1/explain"] = [
      "post": operation(
        "Say where the decoder looked for each token of what a chat completion would be",
        body: json(chatRequest),
        answer: "Explanation", errors: [400, 404, 429, 503])
    ]
    paths["/v1/models"] = ["get": operation("List the models", answer: "Models")]
    paths["/v1/models/{id}"] = [
      "get": operation("Describe a model", answer: "Model", errors: [404]),
      "parameters": [
        ["name": "id", "in": "path", "required": true, "schema": ["type": "string", "minLength": 1]]
      ],
    ]
    paths["/health"] = ["get": operation("Say that the process answers", answer: "Status", needsKey: false)]
    paths["/ready"] = [
      "get": operation("Say whether requests are taken", answer: "Status", errors: [503], needsKey: false)
    ]
    paths["/metrics"] = [
      "get": [
        "summary": "Counts, as Prometheus reads them",
        "responses": [
          "200": ["description": "Counts", "content": ["text/plain": ["schema": ["type": "string"]]]]
        ],
      ]
    ]
    var document: [String: JSONValue] = [
      "openapi": "3.1.0", "info": ["title": "gpt4mm serve", "version": "1"], "paths": .object(paths),
      "components": [
        "schemas": .object(schemas),
        "securitySchemes": ["key": ["type": "http", "scheme": "bearer"]],
      ],
    ]
    if configuration.keys != nil { document["security"] = [["key": []]] }
    return .object(document)
  }

  // MARK: Operations

  private static func json(_ schema: JSONValue) -> JSONValue { ["application/json": ["schema": schema]] }

  private static func reference(_ name: String) -> JSONValue {
    ["$ref": .string("#/components/schemas/\(name)")]
  }

  private static func operation(
    _ summary: String, body: JSONValue? = nil, answer: String, also: [String: JSONValue] = [:],
    errors: [Int] = [],
    needsKey: Bool = true
  ) -> JSONValue {
    let content = ["application/json": ["schema": reference(answer)] as JSONValue].merging(also) { $1 }
    var responses: [String: JSONValue] = ["200": ["description": "Done", "content": .object(content)]]
    for status in errors + (needsKey ? [401] : []) + (body == nil ? [] : [413]) {
      responses["\(status)"] = ["description": "Refused", "content": json(reference("Error"))]
    }
    var operation: [String: JSONValue] = ["summary": .string(summary), "responses": .object(responses)]
    if let body { operation["requestBody"] = ["required": true, "content": body] }
    if !needsKey { operation["security"] = [] }
    return .object(operation)
  }

  // MARK: Schemas

  private static let text: JSONValue = ["type": "string"]
  private static let count: JSONValue = ["type": "integer", "minimum": 0]

  private static func object(_ properties: [String: JSONValue], required: [String]? = nil) -> JSONValue {
    [
      "type": "object", "properties": .object(properties),
      "required": .array((required ?? Array(properties.keys)).sorted().map(JSONValue.string)),
    ]
  }

  private static func number(_ low: Double, _ high: Double) -> JSONValue {
    ["type": ["number", "null"], "minimum": .double(low), "maximum": .double(high)]
  }

  private static func whole(_ low: Int, _ high: Int? = nil) -> JSONValue {
    var schema: [String: JSONValue] = ["type": ["integer", "null"], "minimum": .int(low)]
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
          "type": "array", "minItems": 1,
          "description":
            "The last user message's text is what the text begins with; the last picture is the one.",
          "items": object(["role": text, "content": content(urls: urls)], required: ["role"]),
        ],
        "stream": flag, "logprobs": flag, "top_logprobs": whole(0, 20), "temperature": number(0, 2),
        "top_p": number(0, 1),
        "max_tokens": whole(1), "max_completion_tokens": whole(1), "n": whole(1, 16),
        "seed": ["type": ["integer", "null"]],
        "presence_penalty": number(-2, 2), "frequency_penalty": number(-2, 2),
        "stop": [
          "anyOf": [["type": ["string", "null"]], ["type": "array", "items": text, "maxItems": 16]]
        ],
        "stream_options": ["type": ["object", "null"], "properties": ["include_usage": flag]],
      ], required: ["messages"])
  }

  private static func content(urls: String) -> JSONValue {
    [
      "anyOf": [
        ["type": ["string", "null"]],
        [
          "type": "array",
          "items": [
            "anyOf": [
              text, object(["type": ["const": "text"], "text": text]),
              object([
                "type": ["const": "image_url"],
                "image_url": object(["url": ["type": "string", "pattern": .string(urls)]]),
              ]),
            ]
          ],
        ],
      ]
    ]
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

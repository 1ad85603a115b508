import MultiModalModel

/// What a conversation asks for: the last user message's text, and the last picture.
///
/// Chat programs send all turns again, with their pictures. So pictures of earlier turns are passed over once a later one has
/// its own; where none has, a question about the picture of an earlier turn is a question about that picture.
struct ChatMessages {
  /// Texts of the last user message, joined with line breaks.
  let text: String
  /// The picture's URL, and the field that it stands in; nil where no message has one.
  let picture: (url: String, param: String)?

  private enum Part {
    case text(String)
    case picture(url: String, param: String)
  }

  private static let kinds = "text, input_text, image_url and input_image"

  init(_ fields: JSONFields) throws {
    var users = try fields.objects("messages").filter {
      try $0.required("role", $0.string) == "user"
    }
    guard let last = users.popLast() else {
      throw fields.error("messages", "a list with at least one message whose role is \"user\"")
    }
    let parts = try Self.parts(last)
    text = parts.compactMap { if case .text(let text) = $0 { text } else { nil } }.joined(separator: "\n")
    // What earlier turns hold besides their pictures does not matter any more.
    let earlier = users.reversed().lazy.compactMap {
      Self.pictures(try? Self.parts($0)).last
    }
    let pictures = Self.pictures(parts)
    guard pictures.count <= 1 else {
      throw APIError.bad(
        "The last user message has \(pictures.count) pictures, but this model takes one: ask for each alone.",
        param: "messages", code: "too_many_images")
    }
    picture = pictures.first ?? earlier.first
  }

  private static func pictures(_ parts: [Part]?) -> [(url: String, param: String)] {
    (parts ?? []).compactMap { if case .picture(let url, let param) = $0 { (url, param) } else { nil } }
  }

  private static func parts(_ message: JSONFields) throws -> [Part] {
    switch message["content"] {
    case nil: return []
    case .array(let parts)?:
      return try parts.enumerated().compactMap { try part($1, "content[\($0)]", of: message) }
    case let content? where content.string != nil || content.object != nil:
      return try [part(content, "content", of: message)].compactMap { $0 }
    default: throw message.error("content", "a text or a list of parts")
    }
  }

  private static func part(_ part: JSONFields.Value, _ name: String, of message: JSONFields) throws -> Part? {
    if let text = part.string { return .text(text) }
    let fields = try message.object(part, at: name)
    let kind = try fields.string("type")?.quoted(40) ?? (fields["image_url"] != nil ? "image_url" : "text")
    switch kind {
    case "text", "input_text", "output_text":
      return try fields.string("text").map(Part.text)
    case "image_url", "input_image":
      if let url = fields["image_url"]?.string {
        return .picture(url: url, param: fields.path("image_url"))
      }
      let picture = try fields.required("image_url", fields.object)
      return .picture(url: try picture.required("url", picture.string), param: picture.path("url"))
    default:
      throw APIError.bad(
        "'\(fields.path("type"))' is \"\(kind)\", which this model does not take: send \(kinds) parts.",
        param: fields.path("type"), code: "unsupported_content")
    }
  }
}

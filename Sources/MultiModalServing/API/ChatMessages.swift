import Foundation
import Torch

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

  init(_ messages: [RequestFields.Value]) throws {
    guard !messages.isEmpty else {
      throw APIError.field("messages", "a list with at least one message")
    }
    var users: [(place: String, content: RequestFields.Value?)] = []
    for (index, message) in messages.enumerated() {
      let place = "messages[\(index)]"
      guard let fields = RequestFields(message, at: place), let role = try fields.string("role") else {
        throw APIError.field(place, "an object with a role and a content")
      }
      if role == "user" { users.append((place, fields["content"])) }
    }
    guard let last = users.popLast() else {
      throw APIError.field("messages", "a list with at least one message whose role is \"user\"")
    }
    let parts = try Self.parts(last.content, "\(last.place).content")
    text = parts.compactMap { if case .text(let text) = $0 { text } else { nil } }.joined(separator: "\n")
    // What earlier turns hold besides their pictures does not matter any more.
    let earlier = users.reversed().lazy.compactMap {
      Self.pictures(try? Self.parts($0.content, $0.place)).last
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

  private static func parts(_ content: RequestFields.Value?, _ place: String) throws -> [Part] {
    switch content {
    case nil: return []
    case .string(let text)?: return [.text(text)]
    case .array(let parts)?: return try parts.enumerated().compactMap { try part($1, "\(place)[\($0)]") }
    case .object?: return [try part(content ?? .null, place)].compactMap { $0 }
    default: throw APIError.field(place, "a text or a list of parts")
    }
  }

  private static func part(_ part: RequestFields.Value, _ place: String) throws -> Part? {
    if case .string(let text) = part { return .text(text) }
    guard let fields = RequestFields(part, at: place) else {
      throw APIError.field(place, "a text or an object")
    }
    let kind = try fields.string("type")?.quoted(40) ?? (fields["image_url"] != nil ? "image_url" : "text")
    switch kind {
    case "text", "input_text", "output_text":
      return try fields.string("text").map(Part.text)
    case "image_url", "input_image":
      if case .string(let url)? = fields["image_url"] {
        return .picture(url: url, param: "\(place).image_url")
      }
      guard let url = try fields.object("image_url")?.string("url") else {
        throw APIError.bad(
          "'\(place).image_url' must be a data: URL, or an object whose url is one.",
          param: "\(place).image_url", code: "invalid_value")
      }
      return .picture(url: url, param: "\(place).image_url.url")
    default:
      throw APIError.bad(
        "'\(place)' is of the type \"\(kind)\", which this model does not take: send \(kinds) parts.",
        param: "\(place).type", code: "unsupported_content")
    }
  }
}

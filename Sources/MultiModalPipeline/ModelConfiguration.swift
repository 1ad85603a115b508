import Foundation
import MultiModalModel

/// The configuration of a model of any family, as `config.json` holds it. The registry of the families: one is told by
/// `model_type`, and the one of the documented class by having none.
public struct ModelConfiguration: Codable, Equatable, Sendable {
  /// What the family's own type makes of it.
  public var family: any ImageToTextConfiguration

  /// Every family that can be read, trained and written.
  private static let families: [any ImageToTextConfiguration.Type] = [
    GPT4MultiModal.Configuration.self, VisionEncoderDecoder.Configuration.self,
  ]

  /// The documented class with its defaults.
  public init() { family = GPT4MultiModal.Configuration() }

  /// A family's own configuration.
  public init(_ family: any ImageToTextConfiguration) { self.family = family }

  /// - Throws: `ModelError` for a `model_type` that is not known, and the family's own errors.
  public init(from decoder: any Decoder) throws {
    let name = try JSONFields(from: decoder, refusal: ModelError.field).string("model_type")
    guard let family = Self.families.first(where: { $0.modelType == name }) else {
      let known = Self.families.compactMap { $0.modelType }
      throw ModelError(
        "model_type is \"\(name ?? "")\", which is not known: it may be \(known.joined(separator: ", ")), or missing for "
          + "the documented parameters")
    }
    self.family = try family.init(from: decoder)
  }

  /// Writes the family's fields.
  public func encode(to encoder: any Encoder) throws { try family.encode(to: encoder) }

  /// Whether both are of one family and have the same fields.
  public static func == (one: Self, other: Self) -> Bool {
    func equals<Family: ImageToTextConfiguration>(_ family: Family) -> Bool {
      other.family as? Family == family
    }
    return equals(one.family)
  }
}

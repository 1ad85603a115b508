extension KeyedDecodingContainer {
  /// Replaces `value`, a default, where the field is present.
  func read<Value: Decodable>(_ value: inout Value, _ key: Key) throws {
    if let given = try decodeIfPresent(Value.self, forKey: key) { value = given }
  }
}

extension Decoder {
  /// Refuses fields that `known` does not list, unless they are in `ignored`.
  func refuseUnknownKeys<Known: CodingKey & CaseIterable>(
    besides known: Known.Type, ignoring ignored: Set<String> = []
  ) throws {
    let names = Set(known.allCases.map(\.stringValue))
    let unknown = try container(keyedBy: AnyKey.self).allKeys.map(\.stringValue)
      .filter { !names.contains($0) && !ignored.contains($0) }
    guard unknown.isEmpty else {
      throw PictureError(
        .invalidArgument,
        "unknown field \(unknown.sorted().joined(separator: ", ")); known are \(names.sorted().joined(separator: ", "))"
      )
    }
  }
}

private struct AnyKey: CodingKey {
  let stringValue: String
  var intValue: Int? { nil }
  init(stringValue: String) { self.stringValue = stringValue }
  init?(intValue: Int) { nil }
}

extension DecodingError {
  /// In the words of who writes JSON.
  private static func name(_ type: any Any.Type) -> String {
    switch type {
    case is String.Type: "a text"
    case is Bool.Type: "true or false"
    case is any BinaryInteger.Type: "a whole number"
    case is any BinaryFloatingPoint.Type: "a number"
    default: "\(type)".hasPrefix("Array") ? "a list in brackets" : "an object in braces"
    }
  }

  /// One sentence that names the field.
  package var sentence: String {
    func field(_ context: Context) -> String {
      context.codingPath.map { $0.intValue.map(String.init) ?? $0.stringValue }.joined(separator: ".")
    }
    switch self {
    case .typeMismatch(let type, let context):
      return "\(field(context)) must be \(Self.name(type))"
    case .valueNotFound(let type, let context):
      return "\(field(context)) must be \(Self.name(type)), and is null"
    case .keyNotFound(let key, let context):
      return "\(field(context)) lacks the field \(key.stringValue)"
    case .dataCorrupted(let context):
      return context.codingPath.isEmpty
        ? "it is not valid JSON: \(context.debugDescription)"
        : "\(field(context)): \(context.debugDescription)"
    @unknown default:
      return "it cannot be decoded"
    }
  }
}

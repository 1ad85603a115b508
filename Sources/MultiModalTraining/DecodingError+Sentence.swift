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
  var sentence: String {
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

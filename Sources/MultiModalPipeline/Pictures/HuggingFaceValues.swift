/// A size in any of the forms that Hugging Face's files have had.
enum GivenSize: Codable {
  typealias Configuration = ImageProcessor.Configuration

  case side(Int)
  case list(Int, Int)
  case size(Configuration.Size)
  case edges(Configuration.HuggingFaceSteps.Edges)

  private enum Field: String, CodingKey, CaseIterable {
    case height, width
    case shortest = "shortest_edge"
    case longest = "longest_edge"
  }

  init(from decoder: any Decoder) throws {
    if let side = try? decoder.singleValueContainer().decode(Int.self) {
      self = .side(side)
      return
    }
    if let list = try? decoder.singleValueContainer().decode([Int].self) {
      guard list.count == 2 else {
        throw PictureError(.invalidArgument, "a size must be a list of two numbers, got \(list.count)")
      }
      self = .list(list[0], list[1])
      return
    }
    try decoder.refuseUnknownKeys(besides: Field.self)
    let fields = try decoder.container(keyedBy: Field.self)
    let (height, width) = try (
      fields.decodeIfPresent(Int.self, forKey: .height), fields.decodeIfPresent(Int.self, forKey: .width)
    )
    let (shortest, longest) = try (
      fields.decodeIfPresent(Int.self, forKey: .shortest), fields.decodeIfPresent(Int.self, forKey: .longest)
    )
    switch (height, width, shortest, longest) {
    case (let height?, let width?, nil, nil): self = .size(.init(height: height, width: width))
    case (nil, nil, let shortest?, let longest): self = .edges(.init(shortest: shortest, longest: longest))
    default:
      throw PictureError(
        .invalidArgument,
        "a size must be a number, a list of two, height and width, shortest_edge, or shortest_edge and longest_edge"
      )
    }
  }

  func encode(to encoder: any Encoder) throws {
    switch self {
    case .side(let side): try side.encode(to: encoder)
    case .list(let first, let second): try [first, second].encode(to: encoder)
    case .size(let size): try size.encode(to: encoder)
    case .edges(let edges):
      var fields = encoder.container(keyedBy: Field.self)
      try fields.encode(edges.shortest, forKey: .shortest)
      try fields.encodeIfPresent(edges.longest, forKey: .longest)
    }
  }

  /// Height and width, where edges mean nothing.
  func size(named name: String) throws -> Configuration.Size {
    switch self {
    case .side(let side): return .init(height: side, width: side)
    case .list(let height, let width): return .init(height: height, width: width)
    case .size(let size): return size
    case .edges: throw PictureError(.invalidArgument, "\(name) must have a height and a width")
    }
  }
}

/// One number for all channels, or a list with one for each.
struct Numbers: Decodable {
  private(set) var list: [Double]?
  private var number = 0.0

  init(list: [Double]) { self.list = list }

  init(from decoder: any Decoder) throws {
    let value = try decoder.singleValueContainer()
    if let number = try? value.decode(Double.self) {
      self.number = number
    } else {
      list = try value.decode([Double].self)
    }
  }

  /// A list of equal numbers is as good as one number.
  func values(_ channels: Int) -> [Double] {
    guard let list else { return Array(repeating: number, count: max(0, min(channels, 3))) }
    if channels == 1, let first = list.first, list.allSatisfy({ $0 == first }) { return [first] }
    return list
  }
}

extension KeyedDecodingContainer {
  /// One of the values, by its number.
  func number<Value: RawRepresentable<Int>>(_ key: Key, of values: [Value]) throws -> Value? {
    guard let number = try decodeIfPresent(Int.self, forKey: key) else { return nil }
    if let value = values.first(where: { $0.rawValue == number }) { return value }
    let allowed = values.map { "\($0.rawValue) (\($0))" }.joined(separator: ", ")
    throw PictureError(.invalidArgument, "\(key.stringValue) must be one of \(allowed), got \(number)")
  }

  /// One of the values, by its name.
  func name<Value: RawRepresentable<String> & CaseIterable>(_ key: Key) throws -> Value? {
    guard let name = try decodeIfPresent(String.self, forKey: key) else { return nil }
    if let value = Value(rawValue: name) { return value }
    let allowed = Value.allCases.map(\.rawValue).joined(separator: ", ")
    throw PictureError(.invalidArgument, "\(key.stringValue) must be one of \(allowed), got \(name)")
  }
}

import Foundation
import Torch

/// What a run measured: one JSON object a line (https://jsonlines.org), with its keys in order.
struct RunLog {
  enum Value: Equatable, Sendable {
    /// null in the file where it is not finite, because JSON has no such numbers.
    case number(Double)
    case string(String)
    case strings([String])
  }

  private var file: AppendedFile

  /// Opens a log for appending. Lines of later steps, which a resumed run takes again, go, and so do those that cannot be
  /// read, such as one that was torn when the run was killed.
  /// - Parameter kept: gets the lines that stay
  init(_ url: URL, keepingStepsUpTo step: Int, kept: ([String: Value]) -> Void = { _ in }) throws {
    if let before = try Self.content(url) {
      var after = Data(capacity: before.count)
      for line in before.split(separator: UInt8(ascii: "\n")) {
        guard let fields = Self.fields(line), (fields["step"]?.number).map({ $0 <= Double(step) }) ?? true
        else { continue }
        kept(fields)
        after += line
        after.append(UInt8(ascii: "\n"))
      }
      if after != before { try AtomicFile.write(after, to: url) }
    }
    file = try AppendedFile(url)
  }

  /// - Throws: once; after that the log is silent.
  mutating func append(_ fields: [String: Value]) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let line = String(decoding: try encoder.encode(fields), as: UTF8.self).jsonWithoutControls
    try file.append(Data("\(line)\n".utf8))
  }

  /// The last value of that name in a log's lines of a step; nil where there is none.
  static func number(_ name: String, ofStep step: Int, in url: URL) -> Double? {
    guard let lines = try? content(url)?.split(separator: UInt8(ascii: "\n")) else { return nil }
    for line in lines.reversed() {
      if let fields = fields(line), fields["step"] == .number(Double(step)), let value = fields[name]?.number
      {
        return value
      }
    }
    return nil
  }

  /// Nil for what is no file, such as a terminal: it is only appended to.
  private static func content(_ url: URL) throws -> Data? {
    var status = stat()
    guard stat(url.path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    return try Data(contentsOf: url)
  }

  private static func fields(_ line: Data) -> [String: Value]? {
    try? JSONDecoder().decode([String: Value].self, from: line)
  }
}

extension RunLog.Value {
  var number: Double? { if case .number(let value) = self { value } else { nil } }
  var string: String? { if case .string(let value) = self { value } else { nil } }
  var strings: [String]? { if case .strings(let value) = self { value } else { nil } }
}

extension RunLog.Value: Codable {
  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .number(.nan)
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
    } else if let value = try? container.decode(String.self) {
      self = .string(value)
    } else {
      self = .strings(try container.decode([String].self))
    }
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .number(let value) where !value.isFinite: try container.encodeNil()
    case .number(let value): try container.encode(value)
    case .string(let value): try container.encode(value)
    case .strings(let value): try container.encode(value)
    }
  }
}

extension RunLog.Value: ExpressibleByFloatLiteral, ExpressibleByIntegerLiteral, ExpressibleByStringLiteral,
  ExpressibleByArrayLiteral
{
  init(floatLiteral value: Double) { self = .number(value) }
  init(integerLiteral value: Int) { self = .number(Double(value)) }
  init(stringLiteral value: String) { self = .string(value) }
  init(arrayLiteral elements: String...) { self = .strings(elements) }
}

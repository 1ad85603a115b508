import Foundation

/// A folder of pictures with a `metadata.jsonl` beside them, one JSON object a line: `file_name` (relative to the
/// folder), `text`, and optionally `prompt`. This is the imagefolder convention of Hugging Face's `datasets`.
public struct ImageFolder: Sendable {
  public struct Sample: Sendable, Equatable {
    public let picture: URL
    /// What the text begins with, given and not learned.
    public let prompt: String?
    public let text: String
  }

  public let url: URL
  public let samples: [Sample]

  /// - Throws: `TrainingError` that names file and line of what is wrong.
  public init(_ url: URL) throws {
    self.url = url
    let file = url.appendingPathComponent("metadata.jsonl")
    guard let data = try? Data(contentsOf: file) else {
      throw TrainingError(
        "\(file.path) cannot be read: give a folder that holds pictures and a metadata.jsonl with file_name and text"
      )
    }
    var samples: [Sample] = []
    for (index, line) in data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
      .enumerated()
    {
      guard line.contains(where: { $0 > UInt8(ascii: " ") }) else { continue }
      samples.append(try Self.sample(Data(line), folder: url, place: "\(file.path) line \(index + 1)"))
    }
    guard !samples.isEmpty else { throw TrainingError("\(file.path) names no picture") }
    self.samples = samples
  }

  /// Differs where names, prompts, texts or their order do (FNV-1a, 64 bits).
  var fingerprint: String {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for sample in samples {
      for text in [sample.picture.lastPathComponent, sample.prompt ?? "", sample.text] {
        for byte in Array(text.utf8) + [0] { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
      }
    }
    return String(hash, radix: 16)
  }

  private static func sample(_ line: Data, folder: URL, place: String) throws -> Sample {
    guard let object = try? JSONSerialization.jsonObject(with: line) as? [String: Any] else {
      throw TrainingError("\(place) is not a JSON object in braces")
    }
    func string(_ key: String) throws -> String? {
      guard let value = object[key], !(value is NSNull) else { return nil }
      guard let text = value as? String else { throw TrainingError("\(place): \"\(key)\" must be a text") }
      return text
    }
    guard let name = try string("file_name"), !name.isEmpty else {
      throw TrainingError("\(place) lacks \"file_name\", the picture's path relative to the folder")
    }
    guard let text = try string("text") else { throw TrainingError("\(place) lacks \"text\"") }
    guard !name.hasPrefix("/"), !name.split(separator: "/").contains("..") else {
      throw TrainingError("\(place): file_name \"\(name)\" leaves the folder")
    }
    return Sample(picture: folder.appendingPathComponent(name), prompt: try string("prompt"), text: text)
  }
}

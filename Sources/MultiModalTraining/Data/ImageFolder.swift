import Foundation
import Torch

/// A folder of pictures with a `metadata.jsonl` beside them, one JSON object a line: `file_name` (relative to the
/// folder), `text`, and optionally `prompt`; or with a `metadata.csv`, whose first line names such columns. This is the
/// imagefolder convention of Hugging Face's `datasets`.
///
/// A picture with several texts has lists: `"text": ["an owl", "a brown owl"]`, and either one prompt for all or as many.
/// In a `metadata.csv` it has several lines.
public struct ImageFolder: Dataset {
  private static let lines = "metadata.jsonl"
  private static let table = "metadata.csv"

  /// The folder.
  public let url: URL
  private let metadata: URL
  /// The path.
  public var name: String { url.path }

  /// - Throws: `TrainingError` when there is no metadata file, or two.
  public init(_ url: URL) throws {
    self.url = url
    let found = Self.metadata(in: url)
    guard found.count < 2 else {
      throw TrainingError("\(url.path) holds a \(Self.lines) and a \(Self.table): keep one of them")
    }
    metadata = found.first ?? url.appendingPathComponent(Self.lines)
    guard access(metadata.path, R_OK) == 0 else {
      throw TrainingError(
        "\(metadata.path) cannot be read: give a folder that holds pictures and a \(Self.lines) or \(Self.table) with "
          + "file_name and text")
    }
  }

  /// The files in a folder that say what belongs to its pictures.
  static func metadata(in folder: URL) -> [URL] {
    [lines, table].map(folder.appendingPathComponent).filter { access($0.path, F_OK) == 0 }
  }

  /// The samples in the order of the lines.
  public func samples(ofShard shard: Int) throws -> () throws -> Sample? {
    if metadata.lastPathComponent == Self.table { return try samplesOfTable() }
    let lines = try LineReader(metadata)
    var pending: [Sample] = []
    return {
      while pending.isEmpty {
        guard let line = try lines.next() else { return nil }
        guard line.contains(where: { $0 > UInt8(ascii: " ") }) else { continue }
        pending = try samples(in: line, place: lines.place).reversed()
      }
      return pending.popLast()
    }
  }

  private func samplesOfTable() throws -> () throws -> Sample? {
    let records = try CSVReader(metadata)
    let columns = try records.next() ?? []
    guard let file = columns.firstIndex(of: "file_name"), let text = columns.firstIndex(of: "text") else {
      throw TrainingError("\(metadata.path): its first line must name the columns file_name and text")
    }
    let prompt = columns.firstIndex(of: "prompt")
    return {
      guard let record = try records.next() else { return nil }
      guard record.count == columns.count else {
        throw TrainingError(
          "\(records.place) has \(record.count) fields, but the first line names \(columns.count) columns: put texts with "
            + "commas between double quotes")
      }
      let given = prompt.map { record[$0] } ?? ""
      return Sample(
        picture: try picture(record[file], place: records.place), prompt: given.isEmpty ? nil : given,
        text: record[text])
    }
  }

  private func samples(in line: Data, place: String) throws -> [Sample] {
    let record = try TextRecord(line, place: place)
    let picture = try picture(record.fileName ?? "", place: place)
    return record.texts.map { Sample(picture: picture, prompt: $0.prompt, text: $0.text) }
  }

  private func picture(_ name: String, place: String) throws -> StoredPicture {
    guard !name.isEmpty else {
      throw TrainingError("\(place) lacks \"file_name\", the picture's path relative to the folder")
    }
    return StoredPicture(name: name, file: try Self.file(name, in: url, place: place))
  }

  /// - Throws: `TrainingError` for a name that leaves the folder.
  static func file(_ name: String, in folder: URL, place: String) throws -> URL {
    // By bytes, as the system reads a name: a slash and a combining mark behind it are one Character.
    let bytes = name.utf8
    let leaves = bytes.split(separator: UInt8(ascii: "/")).contains { $0.elementsEqual("..".utf8) }
    guard bytes.first != UInt8(ascii: "/"), !leaves, !bytes.contains(0) else {
      throw TrainingError("\(place): the picture \"\(name)\" leaves the folder \(folder.path)")
    }
    return folder.appendingPathComponent(name)
  }
}

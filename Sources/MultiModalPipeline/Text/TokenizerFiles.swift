import Foundation
import Torch

/// The files that a tokenizer is read from, as they lie in a model folder.
public struct TokenizerFiles: Sendable, Codable, Equatable {
  /// Names and bytes.
  public let contents: [String: Data]

  static let sentencePieceName = "tokenizer.model"

  /// All that may belong to a tokenizer.
  private static let names = [sentencePieceName]

  public init(contents: [String: Data]) { self.contents = contents }

  /// Reads those files of a model folder that belong to a tokenizer.
  /// - Throws: `TokenizerError` when there is none, or one cannot be read.
  public init(contentsOf folder: URL) throws {
    var contents: [String: Data] = [:]
    for name in Self.names {
      let url = folder.appendingPathComponent(name)
      guard FileManager.default.fileExists(atPath: url.path) else { continue }
      do {
        contents[name] = try Data(contentsOf: url)
      } catch {
        throw TokenizerError("\(url.path) cannot be read: \(error.localizedDescription)")
      }
    }
    guard !contents.isEmpty else {
      throw TokenizerError("\(folder.path) has no tokenizer: it needs \(Self.sentencePieceName)")
    }
    self.contents = contents
  }

  /// The tokenizer that the files describe.
  /// - Parameter place: whose files they are, for errors
  /// - Throws: `TokenizerError` for files that are damaged or not known.
  public func tokenizer(_ place: String) throws -> any Tokenizer {
    guard let model = contents[Self.sentencePieceName] else {
      throw TokenizerError("\(place) has no tokenizer: it needs \(Self.sentencePieceName)")
    }
    return try SentencePieceTokenizer(modelData: model, name: "\(place)/\(Self.sentencePieceName)")
  }

  /// Whether a folder has any of them.
  static func lie(in folder: URL) -> Bool {
    names.contains { FileManager.default.fileExists(atPath: folder.appendingPathComponent($0).path) }
  }

  /// Writes the files into a folder, each complete or not at all.
  public func write(to folder: URL) throws {
    for (name, data) in contents { try AtomicFile.write(data, to: folder.appendingPathComponent(name)) }
  }
}

import Foundation
import MultiModalModel
import Torch

/// The files that a tokenizer is read from, as they lie in a model folder.
public struct TokenizerFiles: Sendable, Codable, Equatable {
  /// Names and bytes.
  public let contents: [String: Data]

  static let sentencePieceName = "tokenizer.model"

  /// All that may belong to a tokenizer.
  private static let names = [
    sentencePieceName, TokenizerJSON.name, VocabularyFiles.vocabularyName, VocabularyFiles.mergesName,
    VocabularyFiles.wordPieceName, VocabularyFiles.fairseqName, TokenizerSettings.configurationName,
    TokenizerSettings.specialName, TokenizerSettings.addedName,
  ]

  /// - Parameter contents: bytes by their names
  public init(contents: [String: Data]) { self.contents = contents }

  /// Reads those files of a model folder that belong to a tokenizer.
  /// - Throws: `TokenizerError` when there is none, or one cannot be read.
  public init(contentsOf folder: URL) throws {
    var contents: [String: Data] = [:]
    for name in Self.names {
      let url = folder.appendingPathComponent(name)
      guard FileManager.default.fileExists(atPath: url.path) else { continue }
      contents[name] = try Self.read(url)
    }
    guard !contents.isEmpty else { throw Self.missing(folder.path) }
    self.contents = contents
  }

  /// Vocabularies of a million entries have some 20 MB.
  private static let longest = 256 << 20

  static func read(_ url: URL) throws -> Data {
    do {
      return try InputFile.read(url, atMost: longest)
    } catch let error as FileError {
      throw TokenizerError(error.description)
    }
  }

  private static func missing(_ place: String) -> TokenizerError {
    TokenizerError(
      "\(place) has no tokenizer: it needs \(sentencePieceName), \(TokenizerJSON.name), "
        + "\(VocabularyFiles.vocabularyName) with \(VocabularyFiles.mergesName), \(VocabularyFiles.wordPieceName) or "
        + VocabularyFiles.fairseqName)
  }

  /// The tokenizer that the files describe: `tokenizer.json` before what it was made from.
  /// - Parameter place: whose files they are, for errors
  /// - Throws: `TokenizerError` for files that are damaged, or have a part that is not known.
  public func tokenizer(_ place: String) throws -> any Tokenizer {
    if let json = contents[TokenizerJSON.name] {
      return try HuggingFaceTokenizer(
        TokenizerJSON.parts(
          JSONFields(json, name: "\(place)/\(TokenizerJSON.name)"), TokenizerSettings(self, place: place)
        ),
        files: self)
    }
    if let model = contents[Self.sentencePieceName] {
      return try SentencePieceTokenizer(modelData: model, name: "\(place)/\(Self.sentencePieceName)")
    }
    let parts: HuggingFaceTokenizer.Parts
    if let vocabulary = contents[VocabularyFiles.vocabularyName],
      let merges = contents[VocabularyFiles.mergesName]
    {
      parts = try VocabularyFiles.bytePairs(vocabulary, merges: merges, self, place: place)
    } else if let vocabulary = contents[VocabularyFiles.wordPieceName] {
      parts = try VocabularyFiles.wordPieces(vocabulary, self, place: place)
    } else if let model = contents[VocabularyFiles.fairseqName] {
      parts = try VocabularyFiles.fairseq(model, self, place: place)
    } else {
      throw Self.missing(place)
    }
    return HuggingFaceTokenizer(parts, files: self)
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

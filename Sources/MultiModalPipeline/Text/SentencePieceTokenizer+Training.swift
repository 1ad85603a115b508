import CSentencePiece
import Foundation

extension SentencePieceTokenizer {
  /// How a vocabulary is made.
  public struct TrainingConfiguration: Sendable, Equatable {
    /// SentencePiece's algorithms that fit open text.
    public enum ModelType: String, Sendable, Codable, CaseIterable {
      /// The likeliest of all ways to cut (Kudo, 2018).
      case unigram
      /// Byte-pair encoding (Sennrich et al., 2016).
      case bpe
    }

    /// The most entries; fewer where the text does not have that many.
    public var vocabularySize: Int
    /// SentencePiece's algorithm.
    public var type: ModelType
    /// The share of the text's characters that get entries of their own; the others go by their bytes.
    public var characterCoverage: Double

    /// What a vocabulary is made like.
    public init(vocabularySize: Int = 2000, type: ModelType = .unigram, characterCoverage: Double = 1) {
      self.vocabularySize = vocabularySize
      self.type = type
      self.characterCoverage = characterCoverage
    }
  }

  /// 256 bytes, and the ids for padding 0, begin 1, end 2 and unknown 3.
  package static let smallestVocabulary = 260

  /// Makes a vocabulary in which any Unicode text round-trips: bytes for what has no entry, spaces kept as they are,
  /// no normalisation. The same sentences give the same vocabulary.
  /// - Throws: `TokenizerError` when there is no text or the size is too small.
  public static func train(on sentences: [String], configuration: TrainingConfiguration) throws
    -> SentencePieceTokenizer
  {
    guard configuration.vocabularySize > smallestVocabulary else {
      throw TokenizerError(
        "the vocabulary size must be above \(smallestVocabulary) (256 bytes and 4 special tokens), got "
          + "\(configuration.vocabularySize)")
    }
    guard (0.98...1).contains(configuration.characterCoverage) else {
      throw TokenizerError(
        "character coverage must be from 0.98 to 1, got \(configuration.characterCoverage)")
    }
    let texts = sentences.filter { !$0.isEmpty }
    guard !texts.isEmpty else { throw TokenizerError("there is no text to train a vocabulary on") }
    let arguments = [
      "--model_type=\(configuration.type.rawValue)", "--vocab_size=\(configuration.vocabularySize)",
      "--hard_vocab_limit=false", "--character_coverage=\(configuration.characterCoverage)",
      "--byte_fallback=true",
      "--normalization_rule_name=identity", "--remove_extra_whitespaces=false", "--add_dummy_prefix=false",
      "--pad_id=0", "--bos_id=1", "--eos_id=2", "--unk_id=3", "--num_threads=1",
      "--max_sentence_length=65536",
    ].joined(separator: " ")
    let storage = texts.map { Array($0.utf8) }
    let flat = storage.flatMap { $0 }
    var model: UnsafeMutableRawPointer?
    var size = 0
    let error = flat.withUnsafeBytes { bytes -> CSPError? in
      var pointers: [UnsafePointer<CChar>?] = []
      var offset = 0
      for text in storage {
        pointers.append(bytes.baseAddress?.advanced(by: offset).assumingMemoryBound(to: CChar.self))
        offset += text.count
      }
      return csp_train(arguments, pointers, storage.map(\.count), storage.count, &model, &size)
    }
    if let error {
      defer { csp_free(error) }
      throw failure(error, configuration, characters: Set(texts.flatMap(\.unicodeScalars)).count)
    }
    defer { csp_free(model) }
    return try SentencePieceTokenizer(modelData: Data(UnsafeRawBufferPointer(start: model, count: size)))
  }

  private static func failure(_ error: CSPError, _ configuration: TrainingConfiguration, characters: Int)
    -> TokenizerError
  {
    let (size, smallest) = (configuration.vocabularySize, smallestVocabulary + characters)
    guard size >= smallest else {
      return TokenizerError(
        "the text has \(characters) different characters, so the vocabulary size must be at least \(smallest), got "
          + "\(size); or lower the character coverage")
    }
    return TokenizerError(
      "no vocabulary of \(size) entries can be made of this text"
        + (libraryReason(error).map { ": \($0)" } ?? ""))
  }
}

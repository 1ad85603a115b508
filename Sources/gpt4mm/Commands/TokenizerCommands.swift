import Foundation
import MultiModalPipeline
import Torch

extension Command {
  static let tokenizer = Command(
    name: "tokenizer", summary: "Train a vocabulary, and turn text into tokens and back.",
    subcommands: [trainTokenizer, encode, decode])

  private static let model = Option("model", "PATH", "a tokenizer.model, or a model folder")
  private static let lines = Option(
    "lines", "read JSON from standard input, one text or list of ids a line, and print JSON")

  private static func tokenizer(_ arguments: Arguments) throws -> any Tokenizer {
    try tokenizer(url(arguments.required("model")))
  }

  /// - Parameter place: a `tokenizer.model` or a folder
  static func tokenizer(_ place: URL) throws -> any Tokenizer {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: place.path, isDirectory: &isFolder), isFolder.boolValue
    else {
      return try SentencePieceTokenizer(contentsOf: place)
    }
    return try TokenizerFiles(contentsOf: place).tokenizer(place.path)
  }

  /// Answers each line of standard input.
  private static func answerLines<Question: Decodable>(_ answer: (Question) throws -> some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .withoutEscapingSlashes
    while let line = readLine() {
      guard let question = try? JSONDecoder().decode(Question.self, from: Data(line.utf8)) else {
        throw TokenizerError("\"\(line.prefix(40))\" is not what a line must be in JSON")
      }
      Terminal.print(String(decoding: try encoder.encode(answer(question)), as: UTF8.self))
    }
  }

  /// It is held in memory several times.
  private static let longestInput = 4 << 30

  private static let trainTokenizer = Command(
    name: "train", summary: "Make a vocabulary from text files, one sentence a line.",
    options: [
      Option("input", "FILE", "a text file; may be given several times"),
      Option(
        "vocabulary-size", "N", default: "2000",
        "the most entries; fewer where the text does not have that many"),
      Option("type", "TYPE", default: "unigram", "unigram or bpe"),
      Option(
        "character-coverage", "X", default: "1", "the share of characters that get entries of their own"),
      Option("output", "FILE", "the tokenizer.model to write"),
    ], examples: ["gpt4mm tokenizer train --input names.txt --vocabulary-size 1000 --output tokenizer.model"]
  ) { arguments in
    let inputs = arguments.strings("input")
    guard !inputs.isEmpty else { throw UsageError("'train' needs --input FILE") }
    let output = try arguments.required("output")
    try AtomicFile.check(url(output))
    let configuration = SentencePieceTokenizer.TrainingConfiguration(
      vocabularySize: try arguments.int("vocabulary-size") ?? 2000,
      type: try arguments.choice("type") ?? .unigram,
      characterCoverage: try arguments.double("character-coverage") ?? 1)
    let sentences = try inputs.flatMap { path -> [String] in
      let data = try InputFile.read(url(path), atMost: longestInput)
      guard let text = String(validating: data, as: UTF8.self) else {
        throw TokenizerError("\(path) is not UTF-8")
      }
      return text.split(whereSeparator: \.isNewline).map(String.init)
    }
    let tokenizer = try SentencePieceTokenizer.train(on: sentences, configuration: configuration)
    try AtomicFile.write(tokenizer.modelData, to: url(output))
    Terminal.print("\(output): \(tokenizer.vocabularySize) tokens from \(sentences.count) lines")
  }

  private static let encode = Command(
    name: "encode", summary: "Print the token ids of a text.", arguments: "TEXT",
    options: [
      model, Option("pieces", "print the pieces too"),
      Option("target", "with the tokens that a model learns to write around a text"), lines,
    ]
  ) { arguments in
    let tokenizer = try tokenizer(arguments)
    let encode = arguments.flag("target") ? tokenizer.encodeTarget : tokenizer.encode
    if arguments.flag("lines") { return try answerLines(encode) }
    guard let text = arguments.positional.first, arguments.positional.count == 1 else {
      throw UsageError("'encode' needs one text; put quotes around it")
    }
    let ids = try encode(text)
    Terminal.print(ids.map(String.init).joined(separator: " "))
    if arguments.flag("pieces") { Terminal.print(try ids.map(tokenizer.piece).joined(separator: " ")) }
  }

  private static let decode = Command(
    name: "decode", summary: "Print the text of token ids.", arguments: "ID...", options: [model, lines]
  ) { arguments in
    let tokenizer = try tokenizer(arguments)
    if arguments.flag("lines") { return try answerLines(tokenizer.decode) }
    let ids = try arguments.positional.map {
      guard let id = Int($0) else { throw UsageError("a token id must be a whole number, got '\($0)'") }
      return id
    }
    Terminal.print(try tokenizer.decode(ids))
  }
}

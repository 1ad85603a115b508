import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

extension Command {
  static let caption = Command(
    name: "caption", summary: "Write texts for pictures.", arguments: "IMAGE...",
    options: [
      Option("model", "DIR", default: "Models/emoji", "the model folder"),
      Option("prompt", "TEXT", "what each text begins with"),
      Option("max-new-tokens", "N", "the most tokens to write (default: what the model says, or can hold)"),
      Option("min-new-tokens", "N", "tokens before the text may end"),
      Option("temperature", "X", "0 takes the likeliest token; above, tokens are drawn"),
      Option("top-k", "N", "draw among the N likeliest tokens"),
      Option("top-p", "X", "draw among the likeliest tokens of this joint probability"),
      Option("min-p", "X", "draw among tokens this fraction as likely as the likeliest"),
      Option("repetition-penalty", "X", "above 1 makes repeated tokens less likely"),
      Option("presence-penalty", "X", "subtracted once from tokens already written"),
      Option(
        "frequency-penalty", "X", "subtracted from tokens for each time they were written"),
      Option("no-repeat-ngram-size", "N", "no N tokens in a row are written twice"),
      Option("beams", "N", "search with N beams"),
      Option("length-penalty", "X", "beams are ranked by log-probability / length ^ X"),
      Option("samples", "N", "texts per picture: draws, or the best beams"),
      Option("stop", "TEXT", "end a text before this string; may be given several times"),
      Option(
        "min-confidence", "X",
        "write no text that the model is less sure of: from 0 to 1, the mean token probability"),
      Option("sliding-window", "drop the older half of a text that outgrows the model instead of refusing"),
      Option("seed", "N", default: "0", "the same seed draws the same texts"),
      Shared.precision, Shared.device, Shared.threads, Shared.json,
      Option("quiet", "print no time taken"),
    ],
    details:
      "What is not given is as the model's folder says in generation_config.json, or plain: the likeliest token, no penalty, one "
      + "text. Reads JPEG, PNG, WebP, GIF, TIFF, HEIC and AVIF; '-' reads a picture from standard input.",
    examples: [
      "gpt4mm caption cat.jpg", "gpt4mm caption --temperature 0.8 --samples 3 --seed 1 cat.jpg",
      "gpt4mm caption --json - < cat.jpg",
    ]
  ) { arguments in
    guard !arguments.positional.isEmpty else { throw UsageError("'caption' needs at least one picture") }
    // A wrong call is said before the model is read.
    _ = try captionRequest(arguments, Captioner.Request())
    let minConfidence = try arguments.double("min-confidence")
    if let minConfidence, !(0...1).contains(minConfidence) {
      throw UsageError("--min-confidence must be from 0 to 1, got \(minConfidence)")
    }
    let device = try Shared.machine(arguments)
    let began = ContinuousClock.now
    let captioner = try Captioner(
      contentsOf: url(arguments.required("model")), precision: Shared.precision(arguments), device: device)
    let loaded = ContinuousClock.now
    let request = try captionRequest(arguments, captioner.defaultRequest)
    var failure: (any Error)?
    for path in arguments.positional {
      do {
        try await write(
          path, captioner, request, json: arguments.flag("json"), minConfidence: minConfidence)
      } catch let error as PictureError where arguments.positional.count > 1 {
        Terminal.note("gpt4mm: \(error.localizedDescription)")
        failure = error
      }
    }
    if !arguments.flag("quiet") {
      let count = arguments.positional.count
      Terminal.note(
        String(
          format: "%d picture%@ in %.2f s, after %.2f s to load the model", count, count == 1 ? "" : "s",
          (ContinuousClock.now - loaded) / .seconds(1), (loaded - began) / .seconds(1)))
    }
    if failure != nil { throw Failed() }
  }

  /// - Parameter request: the model's own, of which what is given replaces parts
  private static func captionRequest(_ arguments: Arguments, _ request: Captioner.Request) throws
    -> Captioner.Request
  {
    var request = request
    request.prompt = arguments.string("prompt")
    request.stopStrings = arguments.strings("stop")
    func take<Value>(_ path: WritableKeyPath<GenerationOptions, Value>, _ given: Value?) {
      if let given { request.options[keyPath: path] = given }
    }
    if let given = try arguments.int("max-new-tokens") { request.options.maxNewTokens = given }
    if let given = try arguments.int("top-k") { request.options.topK = given }
    take(\.minNewTokens, try arguments.int("min-new-tokens"))
    take(\.temperature, try arguments.double("temperature"))
    take(\.topP, try arguments.double("top-p"))
    take(\.minP, try arguments.double("min-p"))
    take(\.repetitionPenalty, try arguments.double("repetition-penalty"))
    take(\.presencePenalty, try arguments.double("presence-penalty"))
    take(\.frequencyPenalty, try arguments.double("frequency-penalty"))
    take(\.noRepeatNGramSize, try arguments.int("no-repeat-ngram-size"))
    take(\.numBeams, try arguments.int("beams"))
    take(\.lengthPenalty, try arguments.double("length-penalty"))
    take(\.numReturnSequences, try arguments.int("samples"))
    take(\.seed, try arguments.unsigned("seed"))
    if arguments.flag("sliding-window") { request.options.overflow = .slidingWindow }
    // Beams are not drawn; a temperature that is asked for means drawing, whatever the model does by itself.
    if arguments.string("temperature") != nil, arguments.string("beams") == nil {
      request.options.numBeams = 1
    }
    if arguments.string("beams") != nil, arguments.string("temperature") == nil, request.options.numBeams > 1
    {
      request.options.temperature = 0
    }
    try Shared.check(request.options)
    return request
  }

  private struct Line: Encodable {
    let picture: String
    let texts: [Text]

    struct Text: Encodable {
      let text: String
      let tokens: [Int]
      let logProbabilities: [Double]
      let confidence: Double
      let finish: GeneratedText.FinishReason
      let score: Double?
    }
  }

  private static func write(
    _ path: String, _ captioner: Captioner, _ request: Captioner.Request, json: Bool, minConfidence: Double?
  ) async throws {
    let processor = captioner.processor
    let picture =
      path == "-"
      ? try processor(
        bytes: FileHandle.standardInput.readData(upTo: processor.configuration.maxBytes),
        name: "from standard input")
      : try processor(url(path))
    if json || minConfidence != nil || request.options.numBeams > 1 || request.options.numReturnSequences > 1
    {
      let all = try await captioner.caption([picture], request)[0]
      let captions = all.filter { $0.confidence >= minConfidence ?? 0 }
      if let minConfidence, captions.isEmpty, let surest = all.map(\.confidence).max() {
        Terminal.note(
          String(
            format: "%@: no text, because the model is sure by %.3f only, less than %g", path, surest,
            minConfidence))
      }
      if json {
        Terminal.print(
          try Shared.encode(
            Line(
              picture: path,
              texts: captions.map {
                .init(
                  text: $0.text, tokens: $0.tokens, logProbabilities: $0.logProbabilities,
                  confidence: $0.confidence,
                  finish: $0.finish, score: $0.score)
              })))
      } else {
        for caption in captions { Terminal.print("\(path): \(request.prompt ?? "")\(caption.text)") }
      }
      return
    }
    // Nothing is written before the first piece is there, so that what cannot be generated leaves no empty text.
    let title = "\(path): \(request.prompt ?? "")"
    var isBegun = false
    do {
      for try await piece in captioner.stream(picture, request) {
        Terminal.write(isBegun ? piece.text : title + piece.text)
        isBegun = true
      }
    } catch {
      if isBegun { Terminal.write("\n") }
      throw error
    }
    Terminal.write(isBegun ? "\n" : title + "\n")
  }
}

extension FileHandle {
  /// More than `limit` bytes where there are more, so that a reader sees it.
  func readData(upTo limit: Int) throws -> Data {
    do { return try InputFile.read(fileDescriptor, name: "standard input", atMost: limit) } catch {
      throw PictureError(.unreadable, "cannot read a picture from standard input: it is closed or no file")
    }
  }
}

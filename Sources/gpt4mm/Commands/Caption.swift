import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

extension Command {
  static let caption = Command(
    name: "caption", summary: "Write texts for pictures.", arguments: "PICTURE|FOLDER|TAR...",
    options: [
      Option("model", "DIR", default: "Models/emoji", "the model folder"),
      Option(
        "prompt", "TEXT",
        "what each text begins with (default: what the model was trained with, if that is one)"),
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
      Option("list", "FILE", "a file with the path of a picture in each line; - for standard input"),
      Option("output", "FILE", "write JSON lines, each as soon as its text and those before it are there"),
      Option("resume", "go on with what --output holds already"),
      Option("batch-size", "N", default: "16", "pictures at once"),
      Shared.precision, Shared.device, Shared.threads, Shared.json,
      Option("quiet", "print no progress and no time taken"),
    ],
    details:
      "What is not given is as the model's folder says in generation_config.json, or plain: the likeliest token, no penalty, one "
      + "text. Reads JPEG, PNG, WebP, GIF, TIFF, HEIC and AVIF, all of a folder and the folders below it, or of a .tar file; '-' "
      + "reads a picture from standard input. A picture that cannot be read is named and passed over. Under torchrun, mpirun or "
      + "srun each process takes its share of the files, and writes FILE with its number before the extension.",
    examples: [
      "gpt4mm caption cat.jpg", "gpt4mm caption --temperature 0.8 --samples 3 --seed 1 cat.jpg",
      "gpt4mm caption --json - < cat.jpg", "gpt4mm caption --output texts.jsonl --resume pictures/ more.tar",
    ]
  ) { arguments in
    guard !arguments.positional.isEmpty || arguments.string("list") != nil else {
      throw UsageError("'caption' needs at least one picture")
    }
    // A wrong call is said before the model is read.
    _ = try captionRequest(arguments, Captioner.Request())
    let place = try ProcessGroupConfiguration(environment: ProcessInfo.processInfo.environment)
    let work = try CaptionWork(arguments, rank: place?.rank ?? 0, processes: place?.size ?? 1)
    let device = try Shared.machine(arguments, localRank: place?.localRank ?? 0)
    let began = ContinuousClock.now
    let captioner = try Captioner(
      contentsOf: url(arguments.required("model")), precision: Shared.precision(arguments), device: device)
    let loaded = ContinuousClock.now
    let request = try captionRequest(arguments, captioner.defaultRequest)
    if let warning = captioner.generation.warning(forPrompt: request.prompt) {
      Terminal.note("gpt4mm: \(warning)")
    }
    let failed = try await work.run(captioner, request)
    if !arguments.flag("quiet") {
      let (count, seconds) = (work.pictures.count, (ContinuousClock.now - loaded) / .seconds(1))
      let rate = count > 1 ? String(format: " (%.1f/s)", Double(count) / seconds) : ""
      Terminal.note(
        String(
          format: "%d picture%@ in %.2f s%@, after %.2f s to load the model", count, count == 1 ? "" : "s",
          seconds,
          rate, (loaded - began) / .seconds(1)))
    }
    if failed > 0 { throw Failed() }
  }

  /// - Parameter request: the model's own, of which what is given replaces parts
  private static func captionRequest(_ arguments: Arguments, _ request: Captioner.Request) throws
    -> Captioner.Request
  {
    var request = request
    if let prompt = arguments.string("prompt") { request.prompt = prompt }
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
}

import Foundation
import MultiModalPipeline
import Torch

extension Command {
  static let explain = Command(
    name: "explain", summary: "Show where the decoder looked for each token of a text.", arguments: "IMAGE",
    options: [
      Option("model", "DIR", default: "Models/emoji", "the model folder"),
      Option(
        "out", "FILE", "the PNG to write: what the model saw, then a heat map for each token, row by row"),
      Option("prompt", "TEXT", "what the text begins with"),
      Shared.precision, Shared.device, Shared.threads, Shared.json,
    ],
    details:
      "Cross-attention, averaged over the heads of all layers; red where the weight is largest. The tokens are printed in the order "
      + "of the heat maps, each with its probability.",
    examples: ["gpt4mm explain --out owl.png owl.jpg"]
  ) { arguments in
    guard let path = arguments.positional.first, arguments.positional.count == 1 else {
      throw UsageError("'explain' needs one picture, got \(arguments.positional.count)")
    }
    let out = url(try arguments.required("out"))
    try AtomicFile.check(out)
    let device = try Shared.machine(arguments)
    let captioner = try Captioner(
      contentsOf: url(arguments.required("model")), precision: Shared.precision(arguments), device: device)
    var request = captioner.defaultRequest
    if let prompt = arguments.string("prompt") { request.prompt = prompt }
    if let warning = captioner.generation.warning(forPrompt: request.prompt) {
      Terminal.note("gpt4mm: \(warning)")
    }
    let image = try captioner.processor(url(path))
    let caption = try await captioner.caption([image], request)[0][0]
    let grid = try await captioner.attention(
      of: captioner.encode(image), prompt: request.prompt, tokens: caption.tokens)
    try write(captioner.processor.picture(of: image), grid, to: out)
    try print(caption, captioner, json: arguments.flag("json"))
  }

  private static func write(_ seen: Picture, _ grid: Captioner.AttentionGrid, to out: URL) throws {
    let factor = max(1, 240 / max(seen.width, seen.height))
    let plain = [Float](repeating: 0, count: grid.rows * grid.columns)
    let pictures = try ([plain] + grid.weights).map {
      try seen.heated(by: $0, rows: grid.rows, columns: grid.columns, enlargedBy: factor)
    }
    try AtomicFile.write(Picture.grid(pictures, columns: 6).png(), to: out)
  }

  private struct Explanation: Encodable {
    let text: String
    let tokens: [Token]

    struct Token: Encodable {
      let token: String
      let probability: Double
    }
  }

  private static func print(_ caption: Captioner.Caption, _ captioner: Captioner, json: Bool) throws {
    let tokens = try zip(caption.tokens, caption.logProbabilities).map {
      let bytes = try captioner.tokenizer.bytes($0)
      return Explanation.Token(
        token: try bytes.isEmpty ? captioner.tokenizer.piece($0) : String(decoding: bytes, as: UTF8.self),
        probability: exp($1))
    }
    guard !json else {
      return Terminal.print(try Shared.encode(Explanation(text: caption.text, tokens: tokens)))
    }
    Terminal.print(caption.text)
    for (index, token) in tokens.enumerated() {
      Terminal.print(String(format: "%3d  %5.1f %%  %@", index + 1, 100 * token.probability, token.token))
    }
  }
}

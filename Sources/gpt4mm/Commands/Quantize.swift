import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

extension Command {
  static let quantize = Command(
    name: "quantize", summary: "Make a smaller model folder whose weights are quantised.",
    options: [
      Option("model", "DIR", "the model folder"),
      Option(
        "precision", "NAME", default: Precision.int8.rawValue,
        "bfloat16, int8 (weights and activations), int8_weight_only or int4_weight_only"),
      Option("out", "DIR", "the folder to write"),
    ],
    details:
      "Weights get one scale per output (int8) or a scale and a zero point per 32 of them (int4); vectors and embeddings "
      + "become bfloat16. Every command takes the folder as it takes the original; it cannot be trained further.",
    examples: ["gpt4mm quantize --model Models/emoji --precision int8 --out emoji-int8"]
  ) { arguments in
    let model = try arguments.required("model")
    let out = try arguments.required("out")
    guard let precision = try arguments.choice("precision", of: Precision.self), precision != .float32 else {
      throw UsageError("--precision float32 does not quantise: choose another")
    }
    let folder = try ModelFolder(url(model))
    guard try folder.precision() == nil else {
      throw ModelError("\(model) is quantised already: give the folder that it was made from")
    }
    try folder.quantized(precision, to: url(out))
    Terminal.print("\(out): \(precision.rawValue), \(try size(out)) instead of \(try size(model))")
  }

  private static func size(_ path: String) throws -> String {
    let bytes = try url(path).appendingPathComponent(ModelFolder.weightsName)
      .resourceValues(forKeys: [.fileSizeKey]).fileSize
    return bytes.map { String(format: "%.1f MB of weights", Double($0) / 1e6) } ?? "other weights"
  }
}

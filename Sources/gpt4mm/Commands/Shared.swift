import Foundation
import MultiModalModel
import Torch

/// Options that several commands have.
enum Shared {
  static let device = Option("device", "DEVICE", default: "cpu", "where to compute: cpu, cuda, cuda:1 or mps")
  static let threads = Option("threads", "N", "threads per operator (default: one per core)")
  static let json = Option("json", "print JSON")

  static let precision = Option(
    "precision", "NAME",
    "compute in float32, bfloat16, int8, int8_weight_only or int4_weight_only (default: what the folder was quantised "
      + "for, or float32)")

  static func precision(_ arguments: Arguments) throws -> Precision? { try arguments.choice("precision") }

  /// Applies `--threads` and gives `--device`.
  /// - Parameter localRank: the place among the machine's processes, which is the number of the GPU where none is given
  static func machine(_ arguments: Arguments, localRank: Int = 0) throws -> Device {
    if let threads = try arguments.int("threads") {
      do {
        try LibTorch.setThreads(threads)
      } catch let error as TorchError {
        throw UsageError("--\(error)")
      }
    }
    let name = arguments.string("device") ?? "cpu"
    return try Device(name == "cuda" && localRank > 0 ? "cuda:\(localRank)" : name)
  }

  /// What is out of range whatever the model is a wrong call.
  static func check(_ options: GenerationOptions) throws {
    do {
      try options.validate(vocabulary: .max)
    } catch let error as ModelError {
      throw UsageError(error.description)
    }
  }

  /// JSON that `JSONDecoder` reads back.
  static func plain(_ value: some Encodable) throws -> String {
    String(decoding: try JSONEncoder().encode(value), as: UTF8.self)
  }

  static func encode(_ value: some Encodable, pretty: Bool = false) throws -> String {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    // As Python's json writes them; a text that a rule made impossible has such a score.
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
    encoder.outputFormatting =
      pretty
      ? [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes] : [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self).jsonWithoutControls
  }
}

func url(_ path: String) -> URL {
  URL(fileURLWithPath: path.hasPrefix("/") ? path : (Words.currentFolder ?? "") + path)
}

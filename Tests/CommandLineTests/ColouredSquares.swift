import Foundation
import MultiModalPipeline

/// Pictures of one colour and its name, enough to train a tiny model on.
enum ColouredSquares {
  static let colours: [(name: String, rgb: [UInt8])] = [
    ("red", [230, 20, 20]), ("green", [20, 180, 20]), ("blue", [20, 20, 230]), ("white", [250, 250, 250]),
    ("black", [9, 9, 9]), ("yellow", [240, 230, 20]), ("grey", [120, 120, 120]), ("cyan", [20, 220, 230]),
  ]

  /// A folder with `train/`, `validation/` and `config.json`.
  /// - Parameters:
  ///   - colours: the first of them
  ///   - settings: of `training` and others, as JSON
  static func folder(colours count: Int, settings: [String: String], augmented: Bool = true) throws
    -> TemporaryFolder
  {
    let folder = try TemporaryFolder()
    for split in ["train", "validation"] {
      var lines = ""
      for (name, colour) in colours.prefix(count) {
        try folder.write("", "\(split)/.keep")
        try Picture(
          height: 16, width: 16, channels: 3, pixels: Array(repeating: colour, count: 256).flatMap { $0 }
        ).png().write(to: folder.url.appendingPathComponent("\(split)/\(name).png"))
        lines += #"{"file_name": "\#(name).png", "text": "\#(name)"}"# + "\n"
      }
      try folder.write(lines, "\(split)/metadata.jsonl")
    }
    var parts = settings
    parts["model"] = """
      {"image_size": 16, "patch_size": 8, "encoder_dim": 32, "encoder_depth": 1, "encoder_heads": 1, "max_seq_len": 24,
       "decoder_dim": 32, "decoder_depth": 1, "decoder_heads": 1, "alibi_num_heads": 1}
      """
    if augmented {
      parts["augmentation"] = #"{"size": [1.5, 2.0], "contrast": 0.05, "brightness": 5, "jpeg_share": 0}"#
    }
    parts["tokenizer"] = parts["tokenizer"] ?? #"{"vocabulary_size": 285}"#
    let json = parts.sorted { $0.key < $1.key }.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ",\n")
    try folder.write("{\(json)}", "config.json")
    return folder
  }
}

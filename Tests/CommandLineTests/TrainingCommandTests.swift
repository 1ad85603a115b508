import Foundation
import MultiModalPipeline
import Testing

/// One small training run, and everything that follows from it.
@Suite struct TrainingCommandTests {
  private static let config = """
    {"model": {"image_size": 16, "patch_size": 8, "encoder_dim": 32, "encoder_depth": 1, "encoder_heads": 1,
      "max_seq_len": 24, "decoder_dim": 32, "decoder_depth": 1, "decoder_heads": 1, "alibi_num_heads": 1},
     "augmentation": {"size": [1.5, 2.0], "contrast": 0.05, "brightness": 5, "jpeg_share": 0},
     "tokenizer": {"vocabulary_size": 285},
     "training": {"epochs": 60, "batch_size": 3, "learning_rate": 0.004, "warmup_steps": 5, "validation_every": 30, "checkpoint_every": 30}}
    """

  private func data() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try folder.write(Self.config, "config.json")
    for split in ["train", "validation"] {
      var lines = ""
      for (name, colour) in [("red", [230, 20, 20]), ("green", [20, 180, 20]), ("blue", [20, 20, 230])]
        as [(String, [UInt8])]
      {
        try folder.write("", "\(split)/.keep")
        try Picture(
          height: 16, width: 16, channels: 3, pixels: Array(repeating: colour, count: 256).flatMap { $0 }
        ).png()
          .write(to: folder.url.appendingPathComponent("\(split)/\(name).png"))
        lines += #"{"file_name": "\#(name).png", "text": "\#(name)"}"# + "\n"
      }
      try folder.write(lines, "\(split)/metadata.jsonl")
    }
    return folder
  }

  @Test func aTrainedModelCaptionsWhatItWasTrainedOn() throws {
    let folder = try data()
    let train = try GPT4MM.run(
      "train", "--data", folder.url.path, "--config", folder.path("config.json"), "--out", folder.path("run"),
      "--log",
      folder.path("log.jsonl"))
    #expect(train.code == 0, "\(train.errors)")
    #expect(train.output == folder.path("run") + "\n")
    #expect(train.errors.contains("3 pictures to train on, 3 to validate with"))
    #expect(train.errors.contains("validation loss"))
    #expect(!train.errors.contains("\u{1B}"))
    let log = try String(contentsOfFile: folder.path("log.jsonl"), encoding: .utf8)
    #expect(log.split(separator: "\n").count == 62)

    let picture = folder.path("validation/blue.png")
    let caption = try GPT4MM.run("caption", "--model", folder.path("run"), picture)
    #expect(caption.code == 0)
    #expect(caption.output == "\(picture): blue\n")
    #expect(caption.errors.hasPrefix("1 picture in "))
    let bytes = try Data(contentsOf: URL(fileURLWithPath: picture))
    let json = try GPT4MM.run(
      "caption", "--model", folder.path("run"), "--json", "--quiet", "-", input: bytes)
    #expect(json.output.contains(#""text":"blue""#) && json.output.contains(#""finish":"stop""#))
    #expect(json.errors.isEmpty)
    let beams = try GPT4MM.run(
      "caption", "--model", folder.path("run"), "--beams", "3", "--samples", "2", picture)
    #expect(beams.output.split(separator: "\n").count == 2 && beams.output.hasPrefix("\(picture): blue\n"))

    let tooMany = try GPT4MM.run(
      "caption", "--model", folder.path("run"), "--max-new-tokens", "200", picture)
    #expect(tooMany.code == 1 && tooMany.output.isEmpty, "\(tooMany.output)")

    try folder.write("no picture", "text.png")
    let mixed = try GPT4MM.run("caption", "--model", folder.path("run"), folder.path("text.png"), picture)
    #expect(mixed.code == 1)
    #expect(mixed.output == "\(picture): blue\n")
    #expect(mixed.errors.contains("text.png"))

    let evaluation = try GPT4MM.run(
      "evaluate", "--model", folder.path("run"), "--data", folder.path("validation"), "--output",
      folder.path("results.jsonl"))
    // Texts of one word have no phrases of two to four for CIDEr and BLEU to count.
    #expect(
      evaluation.output
        == "3 pictures: exact match 100.0 %, token F1 100.0 %, ROUGE-L 100.0 %, BLEU-4 0.0 %, CIDEr 2.50, "
        + "character errors 0.0 %, word errors 0.0 %\n")
    #expect(
      try String(contentsOfFile: folder.path("results.jsonl"), encoding: .utf8).split(separator: "\n").count
        == 3)

    // Several texts of one picture are references of one generated text.
    let lines = try String(contentsOfFile: folder.path("validation/metadata.jsonl"), encoding: .utf8)
    try folder.write(
      lines + #"{"file_name": "blue.png", "text": "the blue one"}"# + "\n", "validation/metadata.jsonl")
    let several = try GPT4MM.run(
      "evaluate", "--model", folder.path("run"), "--data", folder.path("validation"), "--json", "--output",
      folder.path("results.jsonl"))
    for figure in [
      #""bleu_4":0"#, #""character_error_rate":0"#, #""cider":"#, #""count":3"#, #""exact_match":1"#,
      #""rouge_l":1"#, #""token_f1":1"#, #""word_error_rate":0"#,
    ] {
      #expect(several.output.contains(figure), "\(several.output)")
    }
    #expect(
      try String(contentsOfFile: folder.path("results.jsonl"), encoding: .utf8).contains(
        #"{"expected":["blue","the blue one"],"generated":"blue","picture":"blue.png"}"#))
  }

  @Test func anInterruptedRunSavesAndGoesOn() throws {
    let folder = try data()
    let long = Self.config.replacingOccurrences(of: "\"epochs\": 60", with: "\"epochs\": 5000")
    try folder.write(long, "config.json")
    let process = GPT4MM.process([
      "train", "--data", folder.url.path, "--config", folder.path("config.json"), "--out", folder.path("run"),
    ])
    let errors = Pipe()
    process.standardError = errors
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    // The first progress line says that training has begun.
    var seen = Data()
    while !String(decoding: seen, as: UTF8.self).contains("samples/s") {
      let more = errors.fileHandleForReading.availableData
      guard !more.isEmpty else { break }
      seen += more
    }
    process.interrupt()
    let rest = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    #expect(process.terminationStatus == 130)
    #expect(String(decoding: rest, as: UTF8.self).hasSuffix("gpt4mm: interrupted\n"))
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path("run"))
    let checkpoint = try #require(files.first { $0.hasPrefix("checkpoint-") })
    #expect(!files.contains { $0.hasSuffix(".partial") })

    let refused = try GPT4MM.run(
      "train", "--data", folder.url.path, "--config", folder.path("config.json"), "--out", folder.path("run"))
    #expect(refused.code == 1)
    #expect(refused.errors.contains("holds \(checkpoint) already: add --resume"))
  }
}

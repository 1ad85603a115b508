import Foundation
import MultiModalPipeline
import Testing

/// One small training run, and everything that follows from it.
@Suite struct TrainingCommandTests {
  private func data() throws -> TemporaryFolder {
    try ColouredSquares.folder(
      colours: 3,
      settings: [
        "training": """
        {"epochs": 60, "batch_size": 3, "learning_rate": 0.004, "warmup_steps": 5, "validation_every": 30,
         "checkpoint_every": 30}
        """
      ])
  }

  @Test func aTrainedModelCaptionsWhatItWasTrainedOn() throws {
    let folder = try data()
    let train = try GPT4MM.run(
      "train", "--data", folder.url.path, "--config", folder.path("config.json"), "--out", folder.path("run"))
    #expect(train.code == 0, "\(train.errors)")
    #expect(train.output == folder.path("run") + "\n")
    #expect(train.errors.contains("3 samples to train on, 3 to validate with"))
    #expect(train.errors.contains("validation loss"))
    #expect(!train.errors.contains("\u{1B}"))
    let log = try String(contentsOfFile: folder.path("run/log.jsonl"), encoding: .utf8)
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
    #expect(json.output.contains(#""confidence":0."#), "\(json.output)")
    let sure = try GPT4MM.run(
      "caption", "--model", folder.path("run"), "--min-confidence", "0.5", "--quiet", picture)
    #expect(sure.output == caption.output && sure.errors.isEmpty)
    let unsure = try GPT4MM.run(
      "caption", "--model", folder.path("run"), "--min-confidence", "1", "--json", "--quiet", picture)
    #expect(unsure.code == 0 && unsure.output.contains(#""texts":[]"#), "\(unsure.output)")
    #expect(
      unsure.errors.hasPrefix("\(picture): no text, because the model is sure by 0."), "\(unsure.errors)")
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
        + "character errors 0.0 %, word errors 0.0 %\n"
        + "with a probability of 95 %: exact match 100.0 to 100.0 %, character errors 0.0 to 0.0 %\n")
    #expect(evaluation.errors.contains(" pictures per second, 16 at once\n"), "\(evaluation.errors)")
    #expect(
      try String(contentsOfFile: folder.path("results.jsonl"), encoding: .utf8).split(separator: "\n").count
        == 3)

    // Several texts of one picture are references of one generated text.
    let lines = try String(contentsOfFile: folder.path("validation/metadata.jsonl"), encoding: .utf8)
    try folder.write(
      lines + #"{"file_name": "blue.png", "text": "the blue one"}"# + "\n"
        + #"{"file_name": "red.png", "text": "red", "prompt": "What? "}"# + "\n", "validation/metadata.jsonl")
    let several = try GPT4MM.run(
      "evaluate", "--model", folder.path("run"), "--data", folder.path("validation"), "--json", "--output",
      folder.path("results.jsonl"))
    for figure in [
      #""bleu_4":0"#, #""character_error_rate":"#, #""cider":"#, #""count":4"#, #""exact_match":"#,
      #""rouge_l":"#, #""token_f1":"#, #""word_error_rate":"#, #""prompts":{"":{"#, #""What? ":{"#,
      #""intervals":{"character_error_rate":[0"#, #""seconds":"#,
    ] {
      #expect(several.output.contains(figure), "\(several.output)")
    }
    #expect(
      try String(contentsOfFile: folder.path("results.jsonl"), encoding: .utf8).contains(
        #","expected":["blue","the blue one"],"generated":"blue","picture":"blue.png"}"#))
  }
}

import Foundation
import MultiModalModel
import Testing

@testable import MultiModalTraining

@Suite struct SettingsTests {
  private func read(_ json: String) throws -> TrainingConfiguration {
    let folder = try TemporaryFolder()
    try folder.write(json, "config.json")
    return try TrainingConfiguration(contentsOf: folder.url.appendingPathComponent("config.json"))
  }

  @Test func whatIsMissingKeepsItsDefault() throws {
    let settings = try read(#"{"model": {"image_size": 64, "patch_size": 8}, "training": {"epochs": 3}}"#)
    let model = try #require(settings.model.family as? GPT4MultiModal.Configuration)
    #expect(model.imageSize == 64)
    #expect(model.encoderDim == 512)
    #expect(settings.training.epochs == 3)
    #expect(settings.training.batchSize == TrainingConfiguration().training.batchSize)
    #expect(settings.augmentation == nil)
    #expect(try read(#"{"augmentation": {}}"#).augmentation == .init())
  }

  @Test func picturesHaveTheModelsSizeUnlessTheySayTheirOwn() throws {
    let model = #""model": {"image_size": 64, "patch_size": 8}"#
    #expect(try read("{\(model)}").image.size == .init(height: 64, width: 64))
    let wide = try read(#"{\#(model), "image": {"size": {"height": 32, "width": 128}}}"#)
    #expect(wide.image.size == .init(height: 32, width: 128))
  }

  @Test(arguments: [
    (#"{"training": {"epoch": 3}}"#, "training.epoch is not known"),
    (#"{"trainig": {}}"#, "trainig is not known"),
    (#"{"model": {"image_size": "big"}}"#, "image_size must be a whole number"),
    (#"{"training": {"epochs": "many"}}"#, "config.json: training.epochs must be a whole number"),
    (#"{"training": {"epochs": null}}"#, "config.json: training.epochs must be a whole number, got null"),
    (#"{"training": {"epochs": 9223372036854775807}}"#, "training.epochs must be at most 1000000"),
    (#"{"training": {"epochs": 1.5}}"#, "training.epochs must be a whole number, got 1.5"),
    (#"{"model": {"image_size": 64.5}}"#, "image_size must be a whole number"),
    (#"{"image": {"do_resize": false}}"#, "image.do_resize must be true"),
    (
      #"{"image": {"image_processor_type": "ViTImageProcessor", "size": 64, "widths": [32]}, "augmentation": {}}"#,
      "augmentation makes pictures of one size: take image.widths or augmentation away"
    ),
    (
      #"{"image": {"image_processor_type": "ViTImageProcessor", "size": 64, "widths": [33]}}"#,
      "img is 64 x 33, but height and width must be multiples of patch_size 32"
    ),
    (#"{"training": {"epochs": 0}}"#, "training.epochs must be at least 1, got 0"),
    (#"{"training": {"learning_rate": -1}}"#, "training.learning_rate must be above 0"),
    (#"{"augmentation": {"degree": 1}}"#, "augmentation.degree is not known here"),
    (
      #"{"image": {"size": {"height": 100, "width": 256}}}"#,
      "img is 100 x 256, but height and width must be multiples of patch_size 32"
    ),
    (#"{"training": 5}"#, "training must be an object"),
    ("{", "is not valid JSON"),
  ])
  func aWrongSettingIsNamed(json: String, message: String) throws {
    let error = #expect(throws: (any Error).self) { try read(json) }
    #expect("\(error as Any)".contains(message), "\(error as Any)")
  }

  @Test(arguments: [
    (#"{"data": {"shuffle_buffer": 0}}"#, "data.shuffle_buffer must be from 1 to"),
    (#"{"data": {"bucket_batches": 0}}"#, "data.bucket_batches must be from 1 to"),
    (#"{"data": {"workers": 0}}"#, "data.workers must be from 1 to 1024, got 0"),
    (#"{"data": {"workers": 1025}}"#, "data.workers must be from 1 to 1024, got 1025"),
    (#"{"data": {"max_damaged_share": 1.5}}"#, "data.max_damaged_share must be from 0.0 to 1.0, got 1.5"),
    (#"{"data": {"max_damaged_share": -0.1}}"#, "data.max_damaged_share"),
    (#"{"data": {"validation_share": 1}}"#, "data.validation_share must be from 0.0 to 0.9, got 1.0"),
    (#"{"data": {"worker": 2}}"#, "data.worker is not known"),
    (#"{"data": {"validation": null}}"#, "data.validation must be a text"),
    (
      #"{"tokenizer": {"vocabulary_size": 260}}"#,
      "tokenizer.vocabulary_size must be from 261 to 1000000, got 260"
    ),
    (#"{"distributed": {"bucket_megabytes": 0}}"#, "distributed.bucket_megabytes must be from"),
    (
      #"{"distributed": {"timeout_seconds": 0}}"#,
      "distributed.timeout_seconds must be from 1 to 86400, got 0"
    ),
    (#"{"distributed": {"shard_optimizer": "no"}}"#, "distributed.shard_optimizer must be true or false"),
    (#"{"training": {"keep_checkpoints": 0}}"#, "training.keep_checkpoints must be at least 1, got 0"),
    (#"{"training": {"max_skipped_steps": 0}}"#, "training.max_skipped_steps must be at least 1, got 0"),
    (#"{"training": {"warmup_steps": -1}}"#, "training.warmup_steps must be from 0"),
    (
      #"{"training": {"schedule": "step"}}"#,
      "training.schedule must be one of cosine, linear, constant, got \"step\""
    ),
    (#"{"training": {"export": "worst"}}"#, "training.export must be one of last, best, got \"worst\""),
    (
      #"{"training": {"label_smoothing": 1}}"#,
      "training.label_smoothing must be at least 0 and below 1, got 1.0"
    ),
    (#"{"training": {"ema_decay": 1}}"#, "training.ema_decay must be at least 0 and below 1, got 1.0"),
    (#"{"training": {"ema_decay": -0.5}}"#, "training.ema_decay must be at least 0 and below 1, got -0.5"),
    (#"{"training": {"generated_samples": -1}}"#, "training.generated_samples must be from 0"),
    (#"{"training": {"early_stop_patience": -1}}"#, "training.early_stop_patience must be from 0"),
    (#"{"training": {"lora": {"rank": -1}}}"#, "training.lora.rank must be from 0 to 4096, got -1"),
    (#"{"training": {"lora": {"rank": 4097}}}"#, "training.lora.rank must be from 0 to 4096, got 4097"),
    (#"{"training": {"lora": {"alpha": 0}}}"#, "training.lora.alpha must be above 0, got 0.0"),
    (#"{"training": {"lora": {"r": 4}}}"#, "training.lora.r is not known"),
    (
      #"{"training": {"lora": {"rank": 4}, "freeze": ["encoder"]}}"#,
      "training.freeze must be empty with lora"
    ),
    (#"{"training": {"freeze": "encoder"}}"#, "training.freeze must be a list of texts"),
    (
      #"{"training": {"min_learning_rate": 1}}"#, "training.min_learning_rate must be from 0 to learning_rate"
    ),
  ])
  func aWrongNewSettingIsNamed(json: String, message: String) throws {
    let error = #expect(throws: (any Error).self) { try read(json) }
    #expect("\(error as Any)".contains(message), "\(error as Any)")
  }

  @Test(arguments: [#"[1]"#, #"{"training": 5}"#])
  func aSettingIsPutIntoAnObjectAlone(json: String) throws {
    let error = #expect(throws: TrainingError.self) {
      try TrainingConfiguration.setting(["training.epochs=3"], in: Data(json.utf8))
    }
    #expect("\(error as Any)".contains("finds no object in braces"), "\(error as Any)")
  }

  @Test func everySettingHasAMeaningAndNoOther() throws {
    let settings = try TrainingConfiguration().settings()
    #expect(settings.filter { $0.meaning.isEmpty }.map(\.name) == [])
    #expect(settings.map(\.name) == TrainingConfiguration.meanings.map(\.name))
    #expect(settings.first { $0.name == "training.min_learning_rate" }?.value == "1e-05")
    #expect(settings.first { $0.name == "training.schedule" }?.value == #""cosine""#)
  }

  @Test func aSettingCanBeReplacedByItsPath() throws {
    let folder = try TemporaryFolder()
    try folder.write(#"{"model": {"image_size": 64, "patch_size": 8}, "training": {"epochs": 3}}"#, "c.json")
    func read(_ settings: String...) throws -> TrainingConfiguration {
      try TrainingConfiguration(contentsOf: folder.url.appendingPathComponent("c.json"), settings: settings)
    }
    let changed = try read(
      "training.learning_rate=3e-4", "training.schedule=linear", "training.freeze=[\"encoder\"]",
      "training.seed=7",
      "model.image_size=32", "augmentation.degrees=5", "training.activation_checkpointing=true")
    #expect(changed.training.learningRate == 3e-4 && changed.training.schedule == .linear)
    #expect(
      changed.training.freeze == ["encoder"] && changed.training.seed == 7 && changed.training.epochs == 3)
    #expect(changed.image.size == .init(height: 32, width: 32) && changed.augmentation?.degrees == 5)
    #expect(changed.training.activationCheckpointing)
    for (setting, message) in [
      ("training.lr=1", "c.json with training.lr=1: training.lr is not known here"),
      ("training.epochs", "sets nothing: write a setting and its value"),
      ("training.epochs=many", "training.epochs must be a whole number"),
      ("training.epochs=0", "training.epochs must be at least 1, got 0"),
      ("model.depth=3", "model.depth is not known here"),
      // Two fields of one name are no JSON here, so this is a text.
      (#"training.lora={"rank": 1, "rank": 2}"#, "training.lora must be an object in braces"),
    ] {
      let error = #expect(throws: TrainingError.self) { try read(setting) }
      #expect(error?.description.contains(message) == true, "\(error as Any)")
    }
  }

  @Test func everySettingIsWrittenAsItIsRead() throws {
    let settings = try read(
      #"""
      {"data": {"shuffle_buffer": 5, "bucket_batches": 2, "workers": 3, "max_damaged_share": 0.5},
       "distributed": {"bucket_megabytes": 1.5, "shard_optimizer": true, "timeout_seconds": 7},
       "training": {"schedule": "linear", "label_smoothing": 0.1, "ema_decay": 0.99, "freeze": ["encoder"],
         "generated_samples": 3, "early_stop_patience": 2, "keep_checkpoints": 4, "max_skipped_steps": 6,
         "export": "best"}}
      """#)
    #expect(settings.data.shuffleBuffer == 5 && settings.data.bucketBatches == 2)
    #expect(settings.data.workers == 3 && settings.data.maxDamagedShare == 0.5)
    #expect(settings.distributed.bucketMegabytes == 1.5 && settings.distributed.shardOptimizer)
    #expect(settings.distributed.timeoutSeconds == 7)
    #expect(settings.training.schedule == .linear && settings.training.labelSmoothing == 0.1)
    #expect(settings.training.emaDecay == 0.99 && settings.training.freeze == ["encoder"])
    #expect(settings.training.generatedSamples == 3 && settings.training.earlyStopPatience == 2)
    #expect(settings.training.keepCheckpoints == 4 && settings.training.maxSkippedSteps == 6)
    #expect(settings.training.export == .best)
    let written = try JSONEncoder().encode(settings)
    #expect(try read(String(decoding: written, as: UTF8.self)) == settings)
    let lora = try read(#"{"training": {"lora": {"rank": 4, "layers": ["to_q"]}}}"#).training.lora
    #expect(lora.rank == 4 && lora.alpha == 16 && lora.layers == ["to_q"])
  }

  @Test func theLearningRateWarmsUpAndFollowsItsShape() {
    func schedule(_ shape: LearningRateSchedule.Shape, warmup: Int = 10) -> LearningRateSchedule {
      LearningRateSchedule(shape: shape, peak: 1, minimum: 0.1, warmupSteps: warmup, steps: 110)
    }
    for shape in LearningRateSchedule.Shape.allCases {
      #expect(schedule(shape)(0) == 0.1)
      #expect(schedule(shape)(9) == 1)
      #expect(schedule(shape)(10) == 1)
      #expect(schedule(shape, warmup: 0)(0) == 1)
      #expect(schedule(shape, warmup: 200)(109) == 0.55)
    }
    let cosine = schedule(.cosine)
    #expect(abs(cosine(60) - 0.55) < 1e-12)
    #expect(abs(cosine(35) - (0.1 + 0.45 * (1 + 0.5.squareRoot()))) < 1e-12)
    #expect(abs(cosine(110) - 0.1) < 1e-12)
    #expect(abs(cosine(1000) - 0.1) < 1e-12)
    let linear = schedule(.linear)
    #expect(abs(linear(35) - 0.775) < 1e-12)
    #expect(abs(linear(110) - 0.1) < 1e-12)
    #expect(abs(linear(1000) - 0.1) < 1e-12)
    #expect(schedule(.constant)(60) == 1 && schedule(.constant)(1000) == 1)
  }
}

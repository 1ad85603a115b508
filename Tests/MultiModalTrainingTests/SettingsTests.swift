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
    #expect(settings.model.imageSize == 64)
    #expect(settings.model.encoderDim == 512)
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
    (#"{"training": {"epoch": 3}}"#, #""training.epoch" is not known"#),
    (#"{"trainig": {}}"#, #""trainig" is not known"#),
    (#"{"model": {"image_size": "big"}}"#, "image_size must be a whole number"),
    (#"{"training": {"epochs": "many"}}"#, "config.json: training.epochs must be of type Int"),
    (#"{"training": {"epochs": null}}"#, "config.json: training.epochs must be of type Int, and is null"),
    (#"{"training": {"epochs": 9223372036854775807}}"#, "training.epochs must be at most 1000000"),
    (#"{"training": {"epochs": 1.5}}"#, "a number is a fraction"),
    (#"{"model": {"image_size": 64.5}}"#, "image_size must be a whole number"),
    (#"{"image": {"do_resize": false}}"#, "image.do_resize must be true"),
    (#"{"training": {"epochs": 0}}"#, "training.epochs must be at least 1, got 0"),
    (#"{"training": {"learning_rate": -1}}"#, "training.learning_rate must be above 0"),
    (#"{"augmentation": {"degree": 1}}"#, "unknown field degree"),
    (
      #"{"image": {"size": {"height": 100, "width": 256}}}"#,
      "img is 100 x 256, but height and width must be multiples of patch_size 32"
    ),
    (#"{"training": 5}"#, #""training" must be an object"#),
    ("{", "is not valid JSON"),
  ])
  func aWrongSettingIsNamed(json: String, message: String) throws {
    let error = #expect(throws: (any Error).self) { try read(json) }
    #expect("\(error as Any)".contains(message), "\(error as Any)")
  }

  @Test func theLearningRateWarmsUpAndFollowsACosine() {
    let schedule = LearningRateSchedule(peak: 1, minimum: 0.1, warmupSteps: 10, steps: 110)
    #expect(schedule(0) == 0.1)
    #expect(schedule(9) == 1)
    #expect(schedule(10) == 1)
    #expect(abs(schedule(60) - 0.55) < 1e-12)
    #expect(abs(schedule(110) - 0.1) < 1e-12)
    #expect(abs(schedule(1000) - 0.1) < 1e-12)
  }
}

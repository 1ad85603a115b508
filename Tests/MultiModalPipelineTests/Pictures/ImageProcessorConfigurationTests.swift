import Foundation
import Testing

@testable import MultiModalPipeline

@Suite("preprocessor_config.json")
struct ImageProcessorConfigurationTests {
  typealias Configuration = ImageProcessor.Configuration

  private func load(_ json: String) throws -> Configuration {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID()).json")
    try Data(json.utf8).write(to: url)
    defer { try? FileManager.default.removeItem(at: url) }
    return try Configuration(contentsOf: url)
  }

  @Test func itIsWrittenAndReadBack() throws {
    var configuration = Configuration()
    configuration.size = .init(height: 32, width: 128)
    configuration.resizeMode = .pad
    configuration.resample = .lanczos
    configuration.cropSize = .init(height: 16, width: 64)
    configuration.background = [1, 2, 3]
    configuration.imageMean = [0.1, 0.2, 0.3]
    configuration.maxPixels = 12345
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID()).json")
    try configuration.write(to: url)
    defer { try? FileManager.default.removeItem(at: url) }
    #expect(try Configuration(contentsOf: url) == configuration)
  }

  @Test func fieldsAreReadAndMissingOnesHaveDefaults() throws {
    let configuration = try load(
      """
      {"processor_class": null, "do_resize": true, "size": {"height": 224, "width": 192},
       "resample": 2, "do_normalize": false, "image_std": [0.2, 0.3, 0.4], "resize_mode": "crop"}
      """)
    #expect(configuration.size == .init(height: 224, width: 192))
    #expect(configuration.resample == .bilinear)
    #expect(configuration.resizeMode == .crop)
    #expect(!configuration.doNormalize)
    #expect(configuration.imageStd == [0.2, 0.3, 0.4])
    #expect(configuration.imageMean == [0.5, 0.5, 0.5])
    #expect(try load("{}") == Configuration())
  }

  @Test(
    "A field that makes no sense is named",
    arguments: [
      (#"{"resize_mode": "squash"}"#, "resize_mode must be one of stretch, crop, pad, got \"squash\""),
      (
        #"{"resample": 5}"#,
        "resample must be one of 0 (nearest), 1 (lanczos), 2 (bilinear), 3 (bicubic), got 5"
      ),
      (
        #"{"size": {"height": 0, "width": 4}}"#, "size must have a height and a width in 1...16384, got 0 x 4"
      ),
      (#"{"size": {"height": 4}}"#, "size must be an object of a height and a width, got an object"),
      (#"{"size": 224}"#, "size must be an object"),
      (#"{"crop_size": {"height": 300, "width": 4}}"#, "crop_size must fit in size (256 x 256), got 300 x 4"),
      (
        #"{"image_std": [0.5, 0, 0.5]}"#,
        "image_std must hold 3 numbers (red, green, blue), each finite and above 0"
      ),
      (#"{"image_mean": [0.5]}"#, "image_mean must hold 3 numbers"),
      (#"{"background": [0, 0, 256]}"#, "background must hold 3 numbers (red, green, blue), each in 0...255"),
      (#"{"rescale_factor": 0}"#, "rescale_factor must be finite and above 0, got 0.0"),
      (#"{"max_pixels": 0}"#, "max_pixels must be above 0, got 0"),
      (#"{"resize_mod": "pad"}"#, "resize_mod is not known here: known are background, crop_size"),
      (#"{"size""#, "is not valid JSON: it ends too early (line 1, byte 8 of it)"),
    ])
  func mistakes(json: String, sentence: String) {
    let error = #expect(throws: PictureError.self) { try load(json) }
    #expect(error?.description.contains(sentence) == true, "\(error?.description ?? "")")
    #expect(error?.description.contains(".json") == true)
  }

  @Test func aConfigurationSetInCodeIsCheckedToo() {
    for change: (inout Configuration) -> Void in [
      { $0.imageStd = [.nan, 1, 1] }, { $0.imageMean = [.infinity, 1, 1] }, { $0.rescaleFactor = -1 },
      { $0.background = [] }, { $0.size.width = 1_000_000 },
    ] {
      var configuration = Configuration()
      change(&configuration)
      #expect(throws: PictureError.self) { try ImageProcessor(configuration: configuration) }
    }
  }

  @Test func aMissingFileIsNamed() {
    let error = #expect(throws: PictureError.self) {
      try Configuration(contentsOf: URL(fileURLWithPath: "/nowhere/preprocessor_config.json"))
    }
    #expect(error?.reason == .unreadable)
    #expect(error?.description.contains("/nowhere/preprocessor_config.json") == true)
  }
}

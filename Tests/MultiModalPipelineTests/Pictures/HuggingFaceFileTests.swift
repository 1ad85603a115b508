import Foundation
import Testing

@testable import MultiModalPipeline

@Suite("Hugging Face's preprocessor_config.json")
struct HuggingFaceFileTests {
  private typealias Configuration = ImageProcessor.Configuration

  private func load(_ json: String) throws -> Configuration {
    try JSONDecoder().decode(Configuration.self, from: Data(json.utf8))
  }

  @Test func aNamedClassHasItsOwnDefaults() throws {
    let vit = try load(#"{"image_processor_type": "ViTImageProcessor"}"#)
    #expect(vit.size == .init(height: 224, width: 224) && vit.resample == .bilinear && vit.cropSize == nil)
    let deit = try load(#"{"feature_extractor_type": "DeiTFeatureExtractor"}"#)
    #expect(deit.size == .init(height: 256, width: 256) && deit.resample == .bicubic)
    #expect(deit.outputSize == .init(height: 224, width: 224))
    let donut = try load(#"{"image_processor_type": "DonutImageProcessorFast"}"#)
    #expect(donut.outputSize == .init(height: 2560, width: 1920) && donut.resample == .bilinear)
    #expect(donut.huggingFace?.doThumbnail == true && donut.huggingFace?.doAlignLongAxis == false)
    let blip = try load(#"{"image_processor_type": "BlipImageProcessorPil"}"#)
    #expect(blip.size == .init(height: 384, width: 384) && blip.imageMean[0] == 0.48145466)
    #expect(try load(#"{"image_processor_type": null}"#) == Configuration())
  }

  @Test func sizesAreReadInEveryForm() throws {
    func size(_ json: String, _ type: String = "ViTImageProcessor") throws -> Configuration {
      try load(#"{"image_processor_type": "\#(type)", "size": \#(json)}"#)
    }
    #expect(try size("384").size == .init(height: 384, width: 384))
    #expect(try size("[32, 128]").size == .init(height: 32, width: 128))
    #expect(try size("[1920, 2560]", "DonutImageProcessor").size == .init(height: 2560, width: 1920))
    #expect(try size(#"{"height": 192, "width": 1024}"#).size == .init(height: 192, width: 1024))
    let edges = try size(#"{"shortest_edge": 447, "longest_edge": 448}"#)
    #expect(edges.huggingFace?.edges == .init(shortest: 447, longest: 448) && edges.outputSize == nil)
    #expect(try size(#"384, "default_to_square": false"#).huggingFace?.edges == .init(shortest: 384))
  }

  @Test func itIsWrittenAndReadBack() throws {
    for json in [
      #"{"image_processor_type": "ViTImageProcessor", "size": {"shortest_edge": 9}, "image_mean": [0.1], "image_std": [0.2]}"#,
      #"{"image_processor_type": "DeiTImageProcessor", "crop_size": 20, "do_exif_transpose": false, "max_pixels": 5000}"#,
      #"{"image_processor_type": "DonutImageProcessor", "do_pad": false, "do_align_long_axis": true, "do_resize": false}"#,
      #"{"image_processor_type": "BlipImageProcessor", "do_trim_border": true, "do_pad": true, "pad_size": 400}"#,
      #"{"image_processor_type": "ViTImageProcessor", "do_convert_grayscale": true, "rounding": "down", "resample": 5}"#,
      #"{"image_processor_type": "ViTImageProcessor", "background": [255, 127.5, 0]}"#,
      #"{"image_processor_type": "ViTImageProcessor", "size": 64, "widths": [16, 32], "squeeze": 1.5}"#,
    ] {
      let configuration = try load(json)
      #expect(
        try JSONDecoder().decode(Configuration.self, from: JSONEncoder().encode(configuration))
          == configuration)
    }
  }

  @Test func aFolderIsReadFromTheNewerFileWhereThatIsAboutPictures() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    func write(_ json: String, _ name: String) throws {
      try Data(json.utf8).write(to: folder.appendingPathComponent(name))
    }
    try write(#"{"image_processor_type": "ViTImageProcessor", "size": 32}"#, "preprocessor_config.json")
    #expect(try Configuration(folder: folder).size.height == 32)
    try write(#"{"processor_class": "TrOCRProcessor"}"#, "processor_config.json")
    #expect(try Configuration(folder: folder).size.height == 32)
    try write(
      #"{"image_processor": {"image_processor_type": "ViTImageProcessor", "size": 48}, "processor_class": "TrOCRProcessor"}"#,
      "processor_config.json")
    #expect(try Configuration(folder: folder).size.height == 48)
    try write(
      #"{"image_processor": {"image_processor_type": "CLIPImageProcessor"}}"#, "processor_config.json")
    let error = #expect(throws: PictureError.self) { try Configuration(folder: folder) }
    #expect(
      error?.description.contains(
        "/processor_config.json: image_processor.image_processor_type must be one of") == true)
  }

  @Test(
    "What would change pictures and is not known, or makes no sense, is named",
    arguments: [
      (#""resize_mode": "pad""#, "resize_mode is not known here: known are background, crop_size"),
      (#""auto_map": {"AutoImageProcessor": "x"}"#, "auto_map is not known here"),
      (#""offset": true"#, "offset must be false"),
      (#""resample": 6"#, "resample must be one of 0 (nearest), 1 (lanczos)"),
      (#""size": {"longest_edge": 4}"#, "size must be a number, a list of two, height and width"),
      (#""size": [1, 2, 3]"#, "size must be a number, a list of two, height and width"),
      (#""size": {"shortest_edge": 0}"#, "size must have edges in 1...16384, got 0 and none"),
      (#""size": {"height": 4, "width": 99999999}"#, "size must have a height and a width in 1...16384"),
      (
        #""crop_size": {"shortest_edge": 4}"#,
        "crop_size must be a number, a list of two, height and width, got an object"
      ),
      (#""image_mean": [0.5, 0.5]"#, "image_mean must hold 3 numbers"),
      (
        #""num_channels": 1, "image_mean": [0.1, 0.2, 0.3]"#,
        "image_mean must be one number, because there is one channel"
      ),
      (#""num_channels": 4"#, "num_channels must be 1 or 3, got 4"),
      (#""image_std": 0"#, "image_std must hold 3 numbers"),
      (#""do_thumbnail": true"#, "do_thumbnail and do_align_long_axis must be false for ViTImageProcessor"),
      (#""rounding": "up""#, "rounding must be one of nearest, down, got \"up\""),
    ])
  func mistakes(field: String, sentence: String) {
    let error = #expect(throws: PictureError.self) {
      try load(#"{"image_processor_type": "ViTImageProcessor", \#(field)}"#)
    }
    #expect(error?.description.contains(sentence) == true, "\(error?.description ?? "")")
  }

  @Test func anUnknownClassIsNamedWithThoseThatAreKnown() {
    let error = #expect(throws: PictureError.self) {
      try load(#"{"feature_extractor_type": "NougatFeatureExtractor"}"#)
    }
    #expect(
      error?.description
        == "feature_extractor_type must be one of ViTImageProcessor, DeiTImageProcessor, DonutImageProcessor, "
        + "BlipImageProcessor, got \"NougatFeatureExtractor\"")
  }
}

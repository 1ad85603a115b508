import Foundation
import Testing
import Torch

@testable import MultiModalPipeline

@Suite("Pictures of Hugging Face checkpoints")
struct HuggingFaceProcessorTests {
  private typealias Configuration = ImageProcessor.Configuration

  private func processor(_ json: String) throws -> ImageProcessor {
    try ImageProcessor(configuration: JSONDecoder().decode(Configuration.self, from: Data(json.utf8)))
  }

  /// Pixels as they are, 0 to 255.
  private func raw(_ fields: String, type: String = "ViTImageProcessor") throws -> ImageProcessor {
    try processor(
      #"{"image_processor_type": "\#(type)", "do_rescale": false, "do_normalize": false, \#(fields)}"#)
  }

  @Test func valuesAreThoseOfTransformersToTheLastBit() throws {
    let fixture = try Safetensors.read(Fixture.processors("processors.safetensors"))
    #expect(fixture.metadata.count > 20)
    for (name, description) in fixture.metadata {
      let given = try #require(
        try JSONSerialization.jsonObject(with: Data(description.utf8)) as? [String: Any])
      var config = try #require(given["config"] as? [String: Any])
      config["do_exif_transpose"] = false
      let data = try JSONSerialization.data(withJSONObject: config)
      let processor = try ImageProcessor(configuration: JSONDecoder().decode(Configuration.self, from: data))
      let image = try processor(Fixture.url(try #require(given["picture"] as? String)))
      let wanted = try #require(fixture.tensors[name])
      #expect([image.channels, image.height, image.width] == wanted.shape, "\(name)")
      #expect(try image.values == wanted.array(of: Float.self), "\(name)")
    }
  }

  @Test func picturesAreUprightUnlessTheFileSaysOtherwise() throws {
    let upright = try raw(#""do_resize": false"#)(Fixture.url("orientation-6.jpg"))
    #expect(upright.height == 32 && upright.width == 48)
    let asStored = try raw(#""do_resize": false, "do_exif_transpose": false"#)(
      Fixture.url("orientation-6.jpg"))
    #expect(asStored.height == 48 && asStored.width == 32)
  }

  @Test func aPictureGetsTheLeastWidthAtWhichItIsNotSqueezed() throws {
    func width(of picture: (height: Int, width: Int), squeeze: Double = 1) throws -> Int {
      let image = try raw(
        #""size": {"height": 8, "width": 48}, "widths": [32, 16], "squeeze": \#(squeeze)"#)(
          Picture(
            height: picture.height, width: picture.width, channels: 3,
            pixels: Array(repeating: 7, count: 3 * picture.height * picture.width)))
      #expect(image.height == 8)
      return image.width
    }
    #expect(try width(of: (8, 1)) == 16 && width(of: (8, 16)) == 16 && width(of: (8, 17)) == 32)
    #expect(try width(of: (16, 64)) == 32 && width(of: (16, 65)) == 48 && width(of: (4, 100)) == 48)
    #expect(try width(of: (8, 24), squeeze: 1.5) == 16 && width(of: (8, 25), squeeze: 1.5) == 32)
    let sizes = try raw(#""size": {"height": 8, "width": 48}, "widths": [16, 48, 32, 16]"#).configuration
      .outputSizes
    #expect(sizes == [48, 32, 16].map { .init(height: 8, width: $0) })
  }

  @Test func widthsThatMakeNoSenseAreRefused() throws {
    func message(_ fields: String, type: String = "ViTImageProcessor") -> String? {
      #expect(throws: PictureError.self) { try raw(fields, type: type) }?.description
    }
    #expect(message(#""size": 48, "widths": [49]"#) == "widths must be in 1...48, size's width, got [49]")
    #expect(message(#""size": 48, "widths": [0]"#) == "widths must be in 1...48, size's width, got [0]")
    #expect(
      message(#""size": 48, "widths": [1.5]"#)?.hasPrefix("widths must be a list of whole numbers") == true)
    #expect(
      message(#""size": 48, "widths": [16], "squeeze": 0.9"#)
        == "squeeze must be finite and at least 1, got 0.9")
    let reason =
      "widths need a size of a height and a width, without cropping and padding, and not DonutImageProcessor"
    #expect(message(#""size": {"shortest_edge": 48}, "widths": [16]"#) == reason)
    #expect(message(#""size": 48, "widths": [16], "do_center_crop": true"#) == reason)
    #expect(message(#""size": 48, "widths": [16], "do_resize": false"#) == reason)
    #expect(message(#""size": 48, "widths": [16]"#, type: "DonutImageProcessor") == reason)
  }

  @Test func largePhotographsAreNotDecodedSmaller() throws {
    let picture = try Picture(
      height: 512, width: 512, channels: 3,
      pixels: (0..<512 * 512).flatMap {
        [UInt8(truncatingIfNeeded: $0 * $0 >> 5), UInt8(truncatingIfNeeded: $0), 90]
      })
    let bytes = try picture.jpeg(quality: 80)
    let processor = try raw(#""size": 16"#)
    #expect(try processor(bytes: bytes) == processor(Picture(bytes: bytes)))
  }

  @Test func oneMeanMakesOneChannel() throws {
    let colours = try Picture(height: 1, width: 2, channels: 3, pixels: [255, 0, 0, 10, 200, 77])
    let image = try processor(
      #"{"image_processor_type": "ViTImageProcessor", "do_resize": false, "image_mean": [0], "image_std": [1]}"#
    )(colours)
    #expect(image.channels == 1)
    #expect(image.values == [Float(76 / 255.0), Float(129 / 255.0)])
    #expect(try Tensor(image).shape == [1, 1, 1, 2])
    #expect(try raw(#""do_resize": false, "num_channels": 1"#)(colours).values == [76, 129])
  }

  @Test func greyPicturesOfThreeChannelsRepeatTheirLuma() throws {
    let image = try raw(#""size": 9, "resample": 3, "do_convert_grayscale": true"#)(Fixture.url("rgb.png"))
    let one = try raw(#""size": 9, "resample": 3, "num_channels": 1"#)(Fixture.url("rgb.png"))
    #expect(image.channels == 3 && one.channels == 1)
    #expect(image.values == one.values + one.values + one.values)
  }

  @Test func aBackgroundShowsThroughTransparency() throws {
    let picture = try Picture(
      height: 1, width: 3, channels: 4, pixels: [10, 20, 30, 255, 10, 20, 30, 0, 100, 0, 200, 51])
    let processor = try raw(#""do_resize": false, "background": [250, 240, 255]"#)
    let wanted: [Float] = [10, 250, 220, 20, 240, 192, 30, 255, 244]
    #expect(try processor(picture).values == wanted)
    #expect(try processor(bytes: picture.png()).values == wanted)
    #expect(try raw(#""do_resize": false"#)(picture).values == [10, 10, 100, 20, 20, 0, 30, 30, 200])
    let own = try self.processor(
      #"{"do_resize": false, "do_rescale": false, "do_normalize": false, "background": [250, 240, 255]}"#)
    for name in ["gray-alpha.png", "rgba.png", "rgba16.png", "rgb.png"] {
      let (values, others) = try (processor(Fixture.url(name)).values, own(Fixture.url(name)).values)
      #expect(values.count == others.count && zip(values, others).allSatisfy { abs($0 - $1) <= 1 }, "\(name)")
    }
  }

  @Test func aBorderIsCutOffAndWhatIsMissingIsZeroAfterNormalising() throws {
    var pixels = [UInt8](repeating: 255, count: 3 * 20 * 30)
    for row in 5..<15 {
      for column in 4..<24 { for channel in 0..<3 { pixels[3 * (row * 30 + column) + channel] = 40 } }
    }
    let image = try processor(
      """
      {"image_processor_type": "ViTImageProcessor", "do_trim_border": true, "num_channels": 1,
       "size": {"shortest_edge": 47, "longest_edge": 48}, "rounding": "down", "resample": 3,
       "image_mean": [0.95], "image_std": [0.15], "do_pad": true, "pad_size": 48}
      """)(try Picture(height: 20, width: 30, channels: 3, pixels: pixels))
    #expect(image.channels == 1 && image.height == 48 && image.width == 48)
    let ink = (Float(39 / 255.0) - 0.95) / 0.15  // 40 * 0.9999, cut off.
    #expect((0..<48 * 48).allSatisfy { image.values[$0] == ($0 / 48 < 24 ? ink : 0) })
  }

  @Test(
    "A picture that keeps its shape gets the size that transformers gives it",
    arguments: [
      // height, width, shortest, longest, and what get_size_with_aspect_ratio or torchvision's Resize gives.
      (480, 640, 384, nil, "nearest", 384, 512), (33, 100, 10, nil, "nearest", 10, 30),
      (200, 1000, 447, 448, "nearest", 90, 448), (200, 1000, 447, 448, "down", 89, 448),
      (1000, 300, 100, 200, "nearest", 200, 60), (100, 120, 90, 200, "nearest", 90, 108),
      (50, 333, 50, 300, "nearest", 45, 300), (100, 400, 100, 500, "nearest", 100, 400),
    ] as [(Int, Int, Int, Int?, String, Int, Int)])
  func edges(given: (Int, Int, Int, Int?, String, Int, Int)) throws {
    let edges = Configuration.HuggingFaceSteps.Edges(shortest: given.2, longest: given.3)
    let picture = Raster(height: given.0, width: given.1, channels: 1, samples: [])
    let rounding = try #require(Configuration.HuggingFaceSteps.Rounding(rawValue: given.4))
    #expect(edges.size(of: picture, rounding) == .init(height: given.5, width: given.6))
  }

  @Test(
    "What would be too large or does not fit is refused in a sentence",
    arguments: [
      (#""size": {"shortest_edge": 9000}"#, "ViTImageProcessor", "1 x 3000 would become 9000 x 27000000"),
      (#""size": {"shortest_edge": 3, "longest_edge": 4}"#, "ViTImageProcessor", "would become 0 x 4"),
      (#""size": 8, "do_pad": true, "pad_size": 7"#, "ViTImageProcessor", "pad_size (7 x 7) must hold"),
      (#""size": [9, 9], "do_thumbnail": false"#, "DonutImageProcessor", "9 x 27000, more than size (9 x 9)"),
      (#""size": [9, 9]"#, "DonutImageProcessor", "would become 0 x 9"),
    ])
  func refused(fields: String, type: String, sentence: String) throws {
    let picture = try Picture.solid([1, 2, 3], height: 1, width: 3000)
    let error = #expect(throws: PictureError.self) { try raw(fields, type: type)(picture) }
    #expect(error?.description.contains(sentence) == true, "\(error?.description ?? "")")
  }
}

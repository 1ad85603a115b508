import Foundation
import Testing

@testable import MultiModalPipeline

@Suite("Decoding pictures")
struct PictureDecodingTests {
  @Test(
    "Formats are told by their first bytes, and those that are supported decode",
    arguments: [
      ("rgb.png", PictureFormat.png, 0.0), ("rgb16.png", .png, 0), ("rgb.tif", .tiff, 0),
      ("lab.tif", .tiff, 8),
      ("rgb.webp", .webp, 0),
      ("orientation-1.jpg", .jpeg, 2), ("progressive.jpg", .jpeg, 2), ("palette.png", .png, 6),
      ("two-frames.gif", .gif, 4), ("rgb.avif", .avif, 4), ("rgb.heic", .heic, 4),
    ])
  func formats(name: String, format: PictureFormat, tolerance: Double) throws {
    #expect(try PictureFormat(of: Fixture.bytes(name)) == format)
    guard PictureFormat.supported.contains(format) else {
      #expect(throws: PictureError.self) { try Fixture.picture(name) }
      return
    }
    let scene = try Picture(
      height: 32, width: 48, channels: 3,
      pixels: (0..<32).flatMap { row in
        (0..<48).flatMap { Fixture.scene(row: row, column: $0).map(UInt8.init) }
      })
    let picture = try Fixture.picture(name)
    let opaque =
      try picture.channels == 4 ? picture.withImage { try Picture($0.flattened(over: [0, 0, 0])) } : picture
    #expect(opaque.distance(from: scene) <= tolerance)
  }

  @Test func theFormatsThatAnyLibvipsHasAreSupported() {
    #expect(Set(PictureFormat.supported).isSuperset(of: [.jpeg, .png, .webp, .gif, .tiff]))
  }

  @Test("Pictures are turned upright by their EXIF orientation", arguments: 1...8)
  func orientation(_ orientation: Int) throws {
    let upright = try Fixture.picture("rgb.png")
    let turned = try Fixture.picture("orientation-\(orientation).jpg")
    #expect(turned.distance(from: upright) < 2)
    for mode in ImageProcessor.Configuration.ResizeMode.allCases {
      // 41 x 23 leaves odd margins on both sides, so an offset of one pixel shows.
      let processor = try ImageProcessor(configuration: .raw(height: 41, width: 23, mode))
      let expected = try processor(Fixture.url("rgb.png"))
      let actual = try processor(Fixture.url("orientation-\(orientation).jpg"))
      let sum = zip(expected.values, actual.values).reduce(0) { $0 + abs($1.0 - $1.1) }
      #expect(sum / Float(expected.values.count) < 2.5, "\(mode)")
    }
  }

  @Test func greyBecomesThreeEqualChannels() throws {
    let picture = try Fixture.picture("gray.png")
    #expect(picture.channels == 3)
    let pixel = picture.pixel(row: 20, column: 30)
    #expect(Set(pixel).count == 1)
    let scene = Fixture.scene(row: 20, column: 30)
    let luma = (299 * scene[0] + 587 * scene[1] + 114 * scene[2]) / 1000
    #expect(abs(pixel[0] - luma) <= 1)
  }

  @Test func greyWithAlphaKeepsItsAlpha() throws {
    let picture = try Fixture.picture("gray-alpha.png")
    #expect(picture.pixel(row: 0, column: 0) == [200, 200, 200, 255])
    #expect(picture.pixel(row: 0, column: 7)[3] == 0)
  }

  @Test func sixteenBitsAreScaledToEightInColourAndAlpha() throws {
    let picture = try Fixture.picture("rgba16.png")
    #expect(picture.pixel(row: 0, column: 0) == [255, 0, 0, 255])
    #expect(picture.pixel(row: 1, column: 0)[3] == 128)
    #expect(picture.pixel(row: 2, column: 0)[3] == 0)
  }

  @Test func cmykBecomesRGBInTheRightSense() throws {
    let picture = try Fixture.picture("cmyk.jpg")
    #expect(picture.channels == 3)
    // Inks cannot show every colour, but bright stays bright and red stays red.
    let (dark, red, yellow) = (
      picture.pixel(row: 20, column: 1), picture.pixel(row: 1, column: 46), picture.pixel(row: 30, column: 46)
    )
    #expect(red[0] > 180 && red[1] < 90)
    #expect(yellow[0] > 200 && yellow[1] > 200 && yellow[2] < 120)
    #expect(dark[0] < 100)
  }

  @Test func anEmbeddedProfileIsHeeded() throws {
    let pixel = try Fixture.picture("display-p3.png").pixel(row: 4, column: 4)
    #expect(pixel[0] >= 253 && pixel[1] <= 3 && pixel[2] <= 3)
  }

  @Test func largePicturesCanBeDecodedSmaller() throws {
    for name in ["rgb.png", "orientation-1.jpg", "orientation-6.jpg"] {
      let picture = try Picture(contentsOf: Fixture.url(name), longestSide: 6)
      #expect(picture.width == 6 && picture.height == 4, "\(name)")
    }
    #expect(try Picture(contentsOf: Fixture.url("rgb.png"), longestSide: 100).width == 48)
  }

  @Test func whatIsWrittenIsReadBack() throws {
    let picture = try Fixture.picture("rgba16.png")
    #expect(try Picture(bytes: picture.png()) == picture)
    let scene = try Fixture.picture("rgb.png")
    #expect(try Picture(bytes: scene.jpeg(quality: 95)).distance(from: scene) < 5)
    #expect(throws: PictureError.self) { try scene.jpeg(quality: 0) }
  }

  @Test func aPictureHasAsManyValuesAsItsShape() {
    for (height, width, channels, count) in [
      (2, 2, 3, 11), (0, 2, 3, 0), (2, 2, 2, 8), (1 << 40, 1 << 40, 3, 3),
    ] {
      #expect(throws: PictureError.self) {
        try Picture(
          height: height, width: width, channels: channels, pixels: [UInt8](repeating: 0, count: count))
      }
    }
  }
}

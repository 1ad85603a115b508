import Foundation
import Testing

@testable import MultiModalPipeline

@Suite("Processing pictures")
struct ImageProcessorTests {
  @Test func valuesArePlanesOfNormalisedPixels() throws {
    var configuration = ImageProcessor.Configuration()
    configuration.size = .init(height: 2, width: 2)
    configuration.imageMean = [0.5, 0.25, 0]
    configuration.imageStd = [0.5, 0.25, 2]
    let picture = try Picture(
      height: 2, width: 2, channels: 3, pixels: [255, 0, 51, 0, 255, 102, 51, 102, 153, 204, 204, 204])
    let image = try ImageProcessor(configuration: configuration)(picture)
    #expect(image.height == 2 && image.width == 2)
    // (value / 255 - mean) / deviation, by hand.
    let expected: [Float] = [1, -1, -0.6, 0.6, -1, 3, 0.6, 2.2, 0.1, 0.2, 0.3, 0.4]
    for (value, wanted) in zip(image.values, expected) { #expect(abs(value - wanted) < 1e-6) }
    #expect(image.values.count == expected.count)
  }

  @Test func aFileItsBytesAndItsPictureGiveTheSame() throws {
    let processor = try ImageProcessor(configuration: .raw(height: 20, width: 20))
    let fromFile = try processor(Fixture.url("rgb.png"))
    #expect(try processor(bytes: Fixture.bytes("rgb.png")) == fromFile)
    #expect(try processor(Fixture.picture("rgb.png")) == fromFile)
  }

  @Test func stretchScalesEachSide() throws {
    let image = try ImageProcessor(configuration: .raw(height: 64, width: 24))(Fixture.url("rgb.png"))
    #expect(image.height == 64 && image.width == 24)
    #expect(
      image.value(channel: 0, row: 32, column: 0) < 12 && image.value(channel: 0, row: 32, column: 23) > 243)
    #expect(
      image.value(channel: 1, row: 0, column: 12) < 12 && image.value(channel: 1, row: 63, column: 12) > 243)
  }

  @Test func cropKeepsTheMiddle() throws {
    // 48 x 32 covers 16 x 16 at half the size, 24 x 16; columns 4 to 19 of that stay: red from 0.19 to 0.81.
    let image = try ImageProcessor(configuration: .raw(height: 16, width: 16, .crop))(Fixture.url("rgb.png"))
    #expect(abs(image.value(channel: 0, row: 8, column: 0) - 46) < 4)
    #expect(abs(image.value(channel: 0, row: 8, column: 15) - 209) < 4)
    #expect(
      image.value(channel: 1, row: 0, column: 8) < 12 && image.value(channel: 1, row: 15, column: 8) > 243)
  }

  @Test func padShowsAllOverTheBackground() throws {
    var configuration = ImageProcessor.Configuration.raw(height: 48, width: 48, .pad)
    configuration.background = [10, 20, 30]
    let image = try ImageProcessor(configuration: configuration)(Fixture.url("rgb.png"))
    // 48 x 32 is not scaled; 8 rows are added above and below.
    for (row, isPadding) in [(0, true), (7, true), (8, false), (39, false), (40, true), (47, true)] {
      let scene = Fixture.scene(row: row - 8, column: 47).map(Float.init)
      let wanted = isPadding ? [10, 20, 30] : scene
      #expect((0..<3).map { image.value(channel: $0, row: row, column: 47) } == wanted, "row \(row)")
    }
  }

  @Test func cropSizeKeepsTheMiddleOfTheResized() throws {
    var configuration = ImageProcessor.Configuration.raw(height: 32, width: 48)
    configuration.cropSize = .init(height: 10, width: 20)
    let image = try ImageProcessor(configuration: configuration)(Fixture.url("rgb.png"))
    #expect(image.height == 10 && image.width == 20)
    #expect(
      (0..<3).map { image.value(channel: $0, row: 0, column: 0) }
        == Fixture.scene(row: 11, column: 14).map(Float.init))
    configuration.doCenterCrop = false
    #expect(try ImageProcessor(configuration: configuration)(Fixture.url("rgb.png")).width == 48)
  }

  @Test func withoutResizingThePictureKeepsItsSize() throws {
    var configuration = ImageProcessor.Configuration.raw(height: 5, width: 5)
    configuration.doResize = false
    let image = try ImageProcessor(configuration: configuration)(Fixture.url("orientation-6.jpg"))
    #expect(image.height == 32 && image.width == 48)
  }

  @Test("Alpha is laid over the background", arguments: [[255.0, 255, 255], [0, 0, 255]])
  func alpha(background: [Double]) throws {
    var configuration = ImageProcessor.Configuration.raw(height: 3, width: 3)
    configuration.background = background
    let image = try ImageProcessor(configuration: configuration)(Fixture.url("rgba16.png"))
    for (row, alpha) in [(0, 1.0), (1, 128.0 / 255), (2, 0)] {
      for (channel, colour) in [255.0, 0, 0].enumerated() {
        let wanted = alpha * colour + (1 - alpha) * background[channel]
        #expect(abs(Double(image.value(channel: channel, row: row, column: 1)) - wanted) <= 1)
      }
    }
  }

  @Test func colourUnderTransparencyNeverShows() throws {
    var configuration = ImageProcessor.Configuration.raw(height: 9, width: 9)
    configuration.background = [0, 0, 0]
    for resample in ImageProcessor.Configuration.Resample.own {
      configuration.resample = resample
      let processor = try ImageProcessor(configuration: configuration)
      for image in [try processor(Fixture.url("rgba.png")), try processor(Fixture.picture("rgba.png"))] {
        #expect((0..<81).allSatisfy { image.values[81 + $0] <= 1 }, "\(resample)")
        #expect(image.value(channel: 0, row: 4, column: 0) == 255)
      }
    }
  }

  @Test func extremeShapesAreResized() throws {
    for (height, width) in [(1, 3000), (3000, 1), (1, 1)] {
      let picture = try Picture.solid([9, 90, 200], height: height, width: width)
      for mode in ImageProcessor.Configuration.ResizeMode.allCases {
        let image = try ImageProcessor(configuration: .raw(height: 32, width: 16, mode))(picture)
        #expect(image.values.count == 3 * 32 * 16)
        #expect(abs(image.value(channel: 2, row: 15, column: 7) - 200) <= 1, "\(mode) \(height) x \(width)")
      }
    }
  }

  @Test(
    "Resizing agrees with Pillow, which the field's processors use",
    arguments: [
      (7, 5), (11, 40), (55, 7), (60, 38),
    ], ImageProcessor.Configuration.Resample.own)
  func pillow(size: (width: Int, height: Int), resample: ImageProcessor.Configuration.Resample) throws {
    // libvips enlarges with a bicubic filter where it reduces with Lanczos'.
    if resample == .lanczos, size.width > 48 || size.height > 32 { return }
    var configuration = ImageProcessor.Configuration.raw(height: size.height, width: size.width)
    configuration.resample = resample
    let image = try ImageProcessor(configuration: configuration)(Fixture.url("rgb.png"))
    configuration.doResize = false
    let pillow = try ImageProcessor(configuration: configuration)(
      Fixture.url("pillow-\(resample)-\(size.width)x\(size.height).png"))
    #expect(pillow.width == size.width && pillow.height == size.height)
    let distances = zip(image.values, pillow.values).map { abs($0 - $1) }
    #expect(distances.reduce(0, +) / Float(distances.count) < 1.2)
    #expect((distances.max() ?? .infinity) <= 8)
  }

  @Test func aLargeJPEGThatIsDecodedSmallerLooksTheSame() throws {
    let small = try Fixture.picture("rgb.png")
    let large = try ImageProcessor(configuration: .raw(height: 640, width: 960))(small)
    let pixels = (0..<640 * 960).flatMap { index in
      (0..<3).map { UInt8(large.values[$0 * 640 * 960 + index]) }
    }
    let picture = try Picture(height: 640, width: 960, channels: 3, pixels: pixels)
    for mode in ImageProcessor.Configuration.ResizeMode.allCases {
      let processor = try ImageProcessor(configuration: .raw(height: 40, width: 41, mode))
      let (whole, shrunk) = (try processor(picture), try processor(bytes: picture.jpeg(quality: 98)))
      let distance =
        zip(whole.values, shrunk.values).reduce(0) { $0 + abs($1.0 - $1.1) } / Float(whole.values.count)
      #expect(distance < 1.5, "\(mode)")
    }
  }
}

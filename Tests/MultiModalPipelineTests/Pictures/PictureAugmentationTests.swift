import Foundation
import Testing

@testable import MultiModalPipeline

@Suite("Augmenting pictures")
struct PictureAugmentationTests {
  typealias Configuration = PictureAugmentation.Configuration

  /// Nothing but the picture, at half the frame's size, on black in the middle or where the test says.
  private static var plain: Configuration {
    var configuration = Configuration()
    configuration.scale = 0.5...0.5
    configuration.rotation = 0...0
    configuration.brightness = 1...1
    configuration.contrast = 1...1
    configuration.saturation = 1...1
    configuration.hue = 0...0
    configuration.blurProbability = 0
    configuration.noiseProbability = 0
    configuration.jpegProbability = 0
    configuration.backgrounds.gradient = 0
    configuration.backgrounds.noise = 0
    return configuration
  }

  private func augment(
    _ picture: Picture, _ configuration: Configuration, size: Int = 32, seed: UInt64 = 1
  ) throws -> Picture {
    var random = SplitMix64(seed: seed)
    return try PictureAugmentation(configuration: configuration)(
      picture, height: size, width: size, using: &random)
  }

  @Test func theSameSeedGivesTheSamePictureAndAnotherSeedAnother() throws {
    let picture = try Fixture.picture("rgba.png")
    var configuration = Configuration()
    configuration.blurProbability = 1
    configuration.noiseProbability = 1
    configuration.jpegProbability = 1
    let first = try augment(picture, configuration, seed: 5)
    #expect(try augment(picture, configuration, seed: 5) == first)
    #expect(try augment(picture, configuration, seed: 6).distance(from: first) > 5)
    #expect(first.height == 32 && first.width == 32 && first.channels == 3)
  }

  @Test func theSeedsOfOneGeneratorDiffer() throws {
    let picture = try Fixture.picture("rgba.png")
    var random = SplitMix64(seed: 9)
    let augment = try PictureAugmentation()
    let first = try augment(picture, height: 24, width: 40, using: &random)
    let second = try augment(picture, height: 24, width: 40, using: &random)
    #expect(first.height == 24 && first.width == 40)
    #expect(first.distance(from: second) > 5)
  }

  @Test func thePictureLiesWhollyInTheFrameAtItsScale() throws {
    let red = try Picture.solid([255, 0, 0], height: 64, width: 64)
    var places: Set<[Int]> = []
    for seed in 0..<20 {
      let result = try augment(red, Self.plain, seed: UInt64(seed))
      let inside = (0..<32 * 32).filter { result.pixel(row: $0 / 32, column: $0 % 32) == [255, 0, 0] }
      let (rows, columns) = (Set(inside.map { $0 / 32 }), Set(inside.map { $0 % 32 }))
      // Half of 32, less one soft pixel on each side.
      #expect((14...15).contains(rows.count) && (14...15).contains(columns.count))
      #expect(inside.count == rows.count * columns.count)
      places.insert([rows.min() ?? 0, columns.min() ?? 0])
    }
    #expect(places.count > 10)
  }

  @Test func aPictureThatFillsTheFrameIsKept() throws {
    var configuration = Self.plain
    configuration.scale = 1...1
    let scene = try Fixture.picture("rgb.png")
    var random = SplitMix64(seed: 1)
    let result = try PictureAugmentation(configuration: configuration)(
      scene, height: 32, width: 48, using: &random)
    #expect(result == scene)
    configuration.flipProbability = 1
    let flipped = try PictureAugmentation(configuration: configuration)(
      scene, height: 32, width: 48, using: &random)
    #expect(flipped.pixel(row: 3, column: 5) == scene.pixel(row: 3, column: 42))
  }

  @Test func rotationIsClockwise() throws {
    var configuration = Self.plain
    configuration.scale = 1...1
    configuration.rotation = 90...90
    // Red above, blue below: after a quarter turn clockwise, red is to the right.
    let pixels = (0..<32 * 32).flatMap { $0 < 16 * 32 ? [255, 0, 0] : [0, 0, 255] as [UInt8] }
    let result = try augment(Picture(height: 32, width: 32, channels: 3, pixels: pixels), configuration)
    #expect(result.pixel(row: 16, column: 24) == [255, 0, 0])
    #expect(result.pixel(row: 16, column: 8) == [0, 0, 255])
  }

  @Test func reducingAveragesWithoutAliasing() throws {
    var configuration = Self.plain
    configuration.scale = 1...1
    // Lines of one pixel, white and black: 8 times smaller, they are grey everywhere.
    let pixels = (0..<128 * 128).flatMap { [UInt8](repeating: $0 / 128 % 2 == 0 ? 255 : 0, count: 3) }
    let result = try augment(
      Picture(height: 128, width: 128, channels: 3, pixels: pixels), configuration, size: 16)
    for row in 1..<15 { #expect(abs(result.pixel(row: row, column: 8)[0] - 128) <= 5) }
  }

  @Test func transparentPartsShowTheBackground() throws {
    let clear = try Picture.solid([0, 255, 0, 0], height: 8, width: 8)
    let result = try augment(clear, Self.plain)
    #expect(Set((0..<1024).map { result.pixel(row: $0 / 32, column: $0 % 32) }).count == 1)
    let half = try Picture.solid([255, 255, 255, 128], height: 8, width: 8)
    let mixed = try augment(half, Self.plain)
    let (under, over) = (result.pixel(row: 0, column: 0), mixed.pixels.max() ?? 0)
    #expect(abs(Int(over) - ((under.max() ?? 0) * 127 + 255 * 128) / 255) <= 1)
  }

  @Test func gradientsRunEvenlyAndTexturesVary() throws {
    let clear = try Picture.solid([0, 0, 0, 0], height: 8, width: 8)
    var configuration = Self.plain
    configuration.backgrounds.solid = 0
    configuration.backgrounds.gradient = 1
    let gradient = try augment(clear, configuration)
    for channel in 0..<3 {
      let values = (0..<32).map { gradient.pixel(row: $0, column: $0)[channel] }
      for (before, after) in zip(values.dropFirst(), values.dropFirst(2)) {
        #expect(abs((after - before) - (values[1] - values[0])) <= 2)
      }
    }
    #expect(Set(gradient.pixels).count > 10)
    configuration.backgrounds.gradient = 0
    configuration.backgrounds.noise = 1
    #expect(try Set(augment(clear, configuration).pixels).count > 20)
  }

  @Test func brightnessContrastAndSaturationAreFactors() throws {
    var configuration = Self.plain
    configuration.scale = 1...1
    let colour = try Picture.solid([100, 150, 50], height: 32, width: 32)
    func result(_ change: (inout Configuration) -> Void) throws -> [Int] {
      var changed = configuration
      change(&changed)
      return try augment(colour, changed).pixel(row: 16, column: 16)
    }
    #expect(try result { _ in } == [100, 150, 50])
    #expect(try result { $0.brightness = 1.5...1.5 } == [150, 225, 75])
    #expect(try result { $0.contrast = 0.5...0.5 } == [114, 139, 89])
    // 0.213 * 100 + 0.715 * 150 + 0.072 * 50
    #expect(try result { $0.saturation = 0...0 } == [132, 132, 132])
    let turned = try result { $0.hue = 120...120 }
    #expect(turned[2] > turned[0])
  }

  @Test func blurSpreadsAndKeepsTheMean() {
    var pixels = [UInt8](repeating: 0, count: 21 * 21 * 3)
    pixels[(10 * 21 + 10) * 3] = 255
    let result = blur(pixels, height: 21, width: 21, sigma: 1)
    // The normal density with deviation 1 at distance 0 is 0.399 on each axis, at 1 it is 0.242.
    #expect(abs(Int(result[(10 * 21 + 10) * 3]) - 41) <= 1)
    #expect(abs(Int(result[(10 * 21 + 11) * 3]) - 25) <= 1)
    #expect(abs(Int(result[(11 * 21 + 10) * 3]) - 25) <= 1)
    #expect(result[(10 * 21 + 10) * 3 + 1] == 0)
    let white = [UInt8](repeating: 255, count: 21 * 21 * 3)
    #expect(blur(white, height: 21, width: 21, sigma: 2) == white)
    #expect(blur(pixels, height: 21, width: 21, sigma: 0) == pixels)
  }

  @Test func noiseHasTheDeviationAsked() throws {
    var configuration = Self.plain
    configuration.noiseProbability = 1
    configuration.noise = 8...8
    configuration.scale = 1...1
    let grey = try Picture.solid([128, 128, 128], height: 64, width: 64)
    let values = try augment(grey, configuration, size: 64).pixels.map { Double($0) - 128 }
    let mean = values.reduce(0, +) / Double(values.count)
    let deviation = (values.reduce(0) { $0 + $1 * $1 } / Double(values.count)).squareRoot()
    #expect(abs(mean) < 0.3)
    #expect(abs(deviation - 8) < 0.3)
  }

  @Test func jpegLeavesItsMarks() throws {
    var configuration = Self.plain
    configuration.scale = 1...1
    let scene = try Fixture.picture("rgba.png")
    let clean = try augment(scene, configuration)
    configuration.jpegProbability = 1
    configuration.jpegQuality = 10...10
    let distance = try augment(scene, configuration).distance(from: clean)
    #expect(distance > 0.1 && distance < 40)
  }

  @Test(
    "A field that makes no sense is named",
    arguments: [
      (#"{"scale": [0, 1]}"#, "scale must be in 0.01...10"),
      (#"{"jpeg_quality": [0, 90]}"#, "jpeg_quality must be in 1...100"),
      (#"{"blur_probability": 2}"#, "blur_probability must be in 0...1"),
      (#"{"nois": [1, 2]}"#, "unknown field nois"),
      (#"{"backgrounds": {"solid": 0, "gradient": 0, "noise": 0}}"#, "backgrounds must be weights"),
    ])
  func mistakes(json: String, sentence: String) {
    let error = #expect(throws: PictureError.self) {
      try JSONDecoder().decode(Configuration.self, from: Data(json.utf8))
    }
    #expect(error?.description.contains(sentence) == true, "\(error?.description ?? "")")
  }

  @Test func theConfigurationIsWrittenAndReadBack() throws {
    let data = try JSONEncoder().encode(Self.plain)
    #expect(try JSONDecoder().decode(Configuration.self, from: data) == Self.plain)
    #expect(try JSONDecoder().decode(Configuration.self, from: Data("{}".utf8)) == Configuration())
  }

  @Test func aSizeOfNothingIsRefused() throws {
    #expect(throws: PictureError.self) {
      try augment(.solid([0, 0, 0], height: 1, width: 1), Configuration(), size: 0)
    }
  }

  @Test func splitMix64GivesThePublishedNumbers() {
    // The first numbers for seed 1234567, as published with the reference implementation's tests.
    var random = SplitMix64(seed: 1_234_567)
    #expect(
      (0..<3).map { _ in random.next() } == [
        6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
      ])
  }
}

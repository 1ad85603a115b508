import Torch
import Foundation
import MultiModalPipeline
import Testing

@Suite struct PictureAugmentationTests {
  /// No change but what a test asks for.
  private func augmentation(
    width: Int = 30, _ change: (inout PictureAugmentation.Configuration) -> Void
  ) throws -> PictureAugmentation {
    var configuration = PictureAugmentation.Configuration()
    configuration.size = [0.5, 0.5]
    configuration.degrees = 0
    configuration.white = 0
    configuration.gradient = 0
    configuration.contrast = 0
    configuration.brightness = 0
    configuration.blurShare = 0
    configuration.noiseShare = 0
    configuration.jpegShare = 0
    change(&configuration)
    return try PictureAugmentation(configuration, height: 20, width: width)
  }

  private func picture(_ pixel: [UInt8], side: Int = 40) throws -> Picture {
    try Picture(
      height: side, width: side, channels: pixel.count,
      pixels: Array(repeating: pixel, count: side * side).flatMap { $0 })
  }

  /// How many pixels of a view are of a colour.
  private func count(_ colour: [Int], in view: Picture) -> Int {
    (0..<view.height).reduce(0) { sum, row in
      sum + (0..<view.width).filter { view.pixel(row: row, column: $0) == colour }.count
    }
  }

  @Test func theSameSeedDrawsTheSameViewAndAnotherAnother() throws {
    let augmentation = try PictureAugmentation(.init(), height: 64, width: 48)
    let source = try Fixture.picture("rgba.png")
    func view(_ seed: UInt64) throws -> Picture {
      var generator = SplitMix64(seed: seed)
      return try augmentation(source, using: &generator)
    }
    #expect(try view(1) == view(1))
    #expect(try view(1) != view(2))
    #expect(try view(1).height == 64)
    #expect(try view(1).width == 48)
    #expect(try view(1).channels == 3)
  }

  @Test func thePictureLiesWhollyInsideAtTheSizeAskedFor() throws {
    let augmentation = try augmentation { _ in }
    let source = try picture([10, 20, 30])
    for seed in 0..<20 as Range<UInt64> {
      var generator = SplitMix64(seed: seed)
      // Half of the view's shorter side of 20 is 10 pixels; edges may fall between pixels.
      let whole = count([10, 20, 30], in: try augmentation(source, using: &generator))
      #expect((81...100).contains(whole), "\(whole)")
    }
  }

  @Test func theBackgroundShowsThroughTransparency() throws {
    let augmentation = try augmentation { $0.size = [2, 2] }
    var generator = SplitMix64(seed: 3)
    let view = try augmentation(try picture([255, 0, 0, 0]), using: &generator)
    #expect(Set((0..<20).flatMap { row in (0..<30).map { view.pixel(row: row, column: $0) } }).count == 1)
    generator = SplitMix64(seed: 3)
    let opaque = try augmentation(try picture([255, 0, 0, 255]), using: &generator)
    #expect(opaque.pixel(row: 10, column: 15) == [255, 0, 0])
  }

  @Test func theShareOnWhiteIsThatOfTheSettings() throws {
    let source = try picture([255, 0, 0, 0])
    var generator = SplitMix64(seed: 4)
    let augmentation = try augmentation { $0.white = 0.25 }
    let white = try (0..<200).filter { _ in
      try count([255, 255, 255], in: augmentation(source, using: &generator)) == 600
    }
    #expect((35...65).contains(white.count), "\(white.count)")
  }

  @Test func aMirroredViewIsTheMirrorImage() throws {
    let half = (0..<40).flatMap { _ in (0..<40).flatMap { $0 < 20 ? [200, 0, 0] : [0, 0, 200] as [UInt8] } }
    let source = try Picture(height: 40, width: 40, channels: 3, pixels: half)
    func view(_ share: Double) throws -> Picture {
      var generator = SplitMix64(seed: 5)
      return try augmentation(width: 20) {
        $0.size = [2, 2]
        $0.flipShare = share
      }(source, using: &generator)
    }
    let (plain, mirrored) = (try view(0), try view(1))
    #expect(count([200, 0, 0], in: plain) > 0)
    #expect(plain != mirrored)
  }

  @Test func everyEffectChangesTheViewAndNoneOverdoesIt() throws {
    let effects: [(String, (inout PictureAugmentation.Configuration) -> Void)] = [
      (
        "blur",
        {
          $0.blurShare = 1
          $0.blur = [1, 1]
        }
      ), ("noise", { $0.noiseShare = 1 }), ("jpeg", { $0.jpegShare = 1 }),
      ("contrast", { $0.contrast = 0.5 }), ("brightness", { $0.brightness = 50 }),
      ("rotation", { $0.degrees = 40 }),
      ("gradient", { $0.gradient = 1 }),
    ]
    let source = try Fixture.picture("rgb.png")
    func view(_ augmentation: PictureAugmentation) throws -> Picture {
      var generator = SplitMix64(seed: 9)
      return try augmentation(source, using: &generator)
    }
    let plain = try view(augmentation { _ in })
    for (name, change) in effects {
      let distance = try plain.distance(from: view(augmentation(change)))
      #expect(distance > 0.05 && distance < 110, "\(name): \(distance)")
    }
  }

  @Test func aWrongSettingIsNamed() throws {
    let wrong: [(String, (inout PictureAugmentation.Configuration) -> Void)] = [
      ("augmentation.size must be [least, most] from 0.05 to 4.0, got [0.9, 0.2]", { $0.size = [0.9, 0.2] }),
      ("augmentation.jpeg_share must be in [0, 1], got 2.0", { $0.jpegShare = 2 }),
      ("augmentation.jpeg_quality must be [least, most] from 1 to 100, got [50]", { $0.jpegQuality = [50] }),
    ]
    for (message, change) in wrong {
      let error = #expect(throws: PictureError.self) { try augmentation(change) }
      #expect(error?.description == message)
    }
    let error = #expect(throws: PictureError.self) { try augmentation(width: 0) { _ in } }
    #expect(error?.description == "a view must have a height and a width from 1 to 16384, got 20 x 0")
  }

  @Test func missingFieldsHaveDefaultsAndUnknownOnesAreRefused() throws {
    func read(_ json: String) throws -> PictureAugmentation.Configuration {
      try JSONDecoder().decode(PictureAugmentation.Configuration.self, from: Data(json.utf8))
    }
    var expected = PictureAugmentation.Configuration()
    #expect(try read("{}") == expected)
    expected.degrees = 3
    expected.jpegQuality = [10, 20]
    #expect(try read(#"{"degrees": 3, "jpeg_quality": [10, 20]}"#) == expected)
    #expect(try read(String(decoding: JSONEncoder().encode(expected), as: UTF8.self)) == expected)
    let error = #expect(throws: PictureError.self) { try read(#"{"degree": 3}"#) }
    #expect(error?.description.contains("degree is not known here: known are blur, blur_share") == true)
  }
}

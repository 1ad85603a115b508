import Foundation
import MultiModalPipeline
import Testing

@Suite struct HeatMapTests {
  private let grey = Result {
    try Picture(height: 4, width: 4, channels: 3, pixels: Array(repeating: 100, count: 48))
  }

  @Test func theHeaviestPatchIsTheReddest() throws {
    let heated = try grey.get().heated(by: [0, 0, 0, 1], rows: 2, columns: 2, enlargedBy: 2)
    #expect((heated.height, heated.width) == (8, 8))
    func red(_ y: Int, _ x: Int) -> Int {
      Int(heated.pixels[3 * (8 * y + x)]) - Int(heated.pixels[3 * (8 * y + x) + 2])
    }
    #expect(red(0, 0) == 0)
    #expect(red(7, 7) > red(4, 4) && red(4, 4) > red(2, 2))
    #expect(try grey.get().heated(by: [0, 0, 0, 0], rows: 2, columns: 2) == grey.get())
    #expect(throws: PictureError.self) { try grey.get().heated(by: [1], rows: 2, columns: 2) }
  }

  @Test func picturesStandBesideAndUnderEachOther() throws {
    let black = try Picture(height: 4, width: 4, channels: 3, pixels: Array(repeating: 0, count: 48))
    let grid = try Picture.grid([grey.get(), black, black], columns: 2, gap: 1)
    #expect((grid.height, grid.width) == (11, 11))
    func value(_ y: Int, _ x: Int) -> UInt8 { grid.pixels[3 * (11 * y + x)] }
    #expect([value(0, 0), value(1, 1), value(1, 6), value(6, 1), value(6, 6)] == [255, 100, 0, 0, 255])
    #expect(throws: PictureError.self) { try Picture.grid([], columns: 2) }
  }

  @Test(arguments: ["rgb.png", "cmyk.jpg"]) func whatAModelSeesIsThePictureThatItWasMadeOf(name: String)
    throws
  {
    var configuration = ImageProcessor.Configuration()
    configuration.size = .init(height: 16, width: 24)
    let processor = try ImageProcessor(configuration: configuration)
    let image = try processor(Fixture.url(name))
    let seen = try processor.picture(of: image)
    #expect((seen.height, seen.width) == (16, 24))
    #expect(try processor(seen) == image)
  }
}

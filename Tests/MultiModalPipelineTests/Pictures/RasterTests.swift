import Foundation
import Testing
import Torch

@testable import MultiModalPipeline

@Suite("Pillow's resizing")
struct RasterTests {
  private struct Case: Decodable {
    let filter: Int
    let part: [Float]?
    let gap: Double?
  }

  @Test func everySampleIsPillows() throws {
    let fixture = try Safetensors.read(Fixture.processors("resizing.safetensors"))
    func raster(_ name: String) throws -> Raster {
      let tensor = try #require(fixture.tensors[name])
      return Raster(
        height: tensor.shape[0], width: tensor.shape[1], channels: tensor.shape[2],
        samples: try tensor.array(of: UInt8.self))
    }
    #expect(fixture.metadata.count == 120)
    for (name, description) in fixture.metadata {
      let given = try JSONDecoder().decode(Case.self, from: Data(description.utf8))
      let filter = try #require(ImageProcessor.Configuration.Resample(rawValue: given.filter))
      let (picture, wanted) = try (raster("\(name).from"), raster("\(name).to"))
      let part = given.part.map { Raster.Part(across: $0[0]...$0[2], down: $0[1]...$0[3]) }
      let resized =
        part == nil
        ? picture.resized(height: wanted.height, width: wanted.width, filter: filter, gap: given.gap)
        : picture.resized(height: wanted.height, width: wanted.width, filter: filter, part: part)
      #expect(resized == wanted, "\(name): \(description)")
    }
  }

  @Test func greyIsPillowsLuma() {
    let colours: [UInt8] = [255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255, 10, 200, 77]
    let raster = Raster(height: 1, width: 5, channels: 3, samples: colours)
    // Image.convert("L") of Pillow 13.
    #expect(raster.gray().samples == [76, 150, 29, 255, 129])
    // Grayscale of torchvision 0.28, in which white is not white.
    #expect(raster.gray(.down).samples == [76, 149, 29, 254, 129])
  }

  @Test func anAreaThatStandsOutIsFilledWithBlack() {
    let raster = Raster(height: 2, width: 2, channels: 1, samples: [1, 2, 3, 4])
    let placed = raster.placed(PixelArea(left: -1, top: 1, height: 2, width: 4))
    #expect(placed.samples == [0, 3, 4, 0, 0, 0, 0, 0])
    #expect(raster.placed(PixelArea(left: 5, top: 0, height: 1, width: 2)).samples == [0, 0])
    #expect(raster.turned().samples == [3, 1, 4, 2])
  }

  @Test func theBorderThatMostCornersHaveIsCutOff() {
    var samples = [UInt8](repeating: 250, count: 6 * 5)
    samples[0] = 0  // A corner that differs keeps its row and column.
    samples[2 * 5 + 3] = 100
    samples[3 * 5 + 4] = 236  // Too near to the border's colour to be anything.
    let raster = Raster(height: 6, width: 5, channels: 1, samples: samples)
    #expect(raster.withoutBorder() == raster.placed(PixelArea(left: 0, top: 0, height: 3, width: 4)))
    let plain = Raster(height: 3, width: 2, channels: 3, samples: [UInt8](repeating: 9, count: 18))
    #expect(plain.withoutBorder() == plain)
  }
}

import Foundation
import MultiModalPipeline

/// The pictures of `Tests/Fixtures/pictures`, which `make.py` there writes.
enum Fixture {
  private static let folder = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/pictures")

  static func url(_ name: String) -> URL { folder.appendingPathComponent(name) }

  /// What `Tests/Reference/picture_fixtures.py` writes.
  static func processors(_ name: String) -> URL {
    folder.deletingLastPathComponent().appendingPathComponent("processors/\(name)")
  }

  static func bytes(_ name: String) throws -> Data { try Data(contentsOf: url(name)) }

  static func picture(_ name: String) throws -> Picture { try Picture(contentsOf: url(name)) }

  /// What the fixtures show: 48 x 32 pixels.
  static func scene(row: Int, column: Int) -> [Int] {
    [column * 255 / 47, row * 255 / 31, column < 16 && row < 8 ? 220 : 40]
  }
}

extension Picture {
  func pixel(row: Int, column: Int) -> [Int] {
    let start = (row * width + column) * channels
    return pixels[start..<start + channels].map(Int.init)
  }

  /// The mean distance of all values from those of a picture of the same shape, 0 to 255.
  func distance(from other: Picture) -> Double {
    guard height == other.height, width == other.width, channels == other.channels else { return .infinity }
    let sum = zip(pixels, other.pixels).reduce(0) { $0 + abs(Int($1.0) - Int($1.1)) }
    return Double(sum) / Double(pixels.count)
  }

  static func solid(_ colour: [UInt8], height: Int, width: Int) throws -> Picture {
    try Picture(
      height: height, width: width, channels: colour.count,
      pixels: (0..<height * width).flatMap { _ in colour })
  }
}

extension ProcessedImage {
  func value(channel: Int, row: Int, column: Int) -> Float {
    values[(channel * height + row) * width + column]
  }
}

extension ImageProcessor.Configuration {
  /// Pixels as they are, 0 to 255, of one size.
  static func raw(height: Int, width: Int, _ mode: ResizeMode = .stretch) -> Self {
    var configuration = Self()
    configuration.size = Size(height: height, width: width)
    configuration.resizeMode = mode
    configuration.doRescale = false
    configuration.doNormalize = false
    return configuration
  }
}

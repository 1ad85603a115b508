import Foundation

/// Makes training pictures out of one picture: scaled, turned and put somewhere on a random background, in other colours,
/// blurred, noisy, and with the marks of JPEG.
///
///     var generator = SplitMix64(seed: 1)
///     let augment = try PictureAugmentation()
///     let sample = try augment(picture, height: 64, width: 64, using: &generator)
public struct PictureAugmentation: Sendable {
  public let configuration: Configuration

  /// - Throws: `PictureError` if the configuration makes no sense.
  public init(configuration: Configuration = Configuration()) throws {
    try configuration.validate()
    self.configuration = configuration
  }

  /// A variant of `picture` of the given size, without alpha. One number is drawn from the generator, and all that happens
  /// follows from it: the same number gives the same picture on the same machine.
  ///
  /// - Throws: `PictureError` if the size is not above 0.
  public func callAsFunction(
    _ picture: Picture, height: Int, width: Int, using generator: inout some RandomNumberGenerator
  ) throws -> Picture {
    let sides = 1...ImageProcessor.Configuration.maxSide
    guard sides.contains(height), sides.contains(width) else {
      throw PictureError(.invalidArgument, "height and width must be in \(sides), got \(height) x \(width)")
    }
    var random = SplitMix64(seed: generator.next())
    let placement = placement(of: picture, height: height, width: width, &random)
    let background = PictureBackground(configuration.backgrounds, &random)
    let recolouring = PictureRecolouring(configuration, &random)
    var pixels = [UInt8](repeating: 0, count: height * width * 3)
    background.fill(&pixels, height: height, width: width)
    placement.draw(picture, over: &pixels, height: height, width: width)
    recolouring.apply(to: &pixels)
    if happens(configuration.blurProbability, &random) {
      let sigma = Double.random(in: configuration.blur, using: &random)
      pixels = blur(pixels, height: height, width: width, sigma: sigma)
    }
    if happens(configuration.noiseProbability, &random) {
      addNoise(to: &pixels, sigma: Float.random(in: configuration.noise, using: &random), &random)
    }
    let result = try Picture(height: height, width: width, channels: 3, pixels: pixels)
    guard happens(configuration.jpegProbability, &random) else { return result }
    let file = try result.jpeg(quality: Int.random(in: configuration.jpegQuality, using: &random))
    return try Picture(bytes: file, name: "that was augmented")
  }

  private func happens(_ probability: Double, _ random: inout SplitMix64) -> Bool {
    Double.random(in: 0..<1, using: &random) < probability
  }

  private func placement(
    of picture: Picture, height: Int, width: Int, _ random: inout SplitMix64
  ) -> PicturePlacement {
    let fit = min(Double(height) / Double(picture.height), Double(width) / Double(picture.width))
    let scale = fit * Double.random(in: configuration.scale, using: &random)
    let (h, w) = (Double(picture.height) * scale, Double(picture.width) * scale)
    let degrees = Double.random(in: configuration.rotation, using: &random)
    let (c, s) = (abs(cos(degrees * .pi / 180)), abs(sin(degrees * .pi / 180)))
    return PicturePlacement(
      scale: scale, degrees: degrees,
      x: centre(extent: w * c + h * s, frame: Double(width), &random),
      y: centre(extent: h * c + w * s, frame: Double(height), &random),
      isFlipped: happens(configuration.flipProbability, &random))
  }

  /// A place for the middle of something so long in a frame so long, such that no more than the overhang stands out.
  private func centre(extent: Double, frame: Double, _ random: inout SplitMix64) -> Double {
    let room = max(0, frame - extent) / 2 + configuration.overhang * extent
    return frame / 2 + room * Double.random(in: -1...1, using: &random)
  }

  /// Adds noise that is normal to the eye: a sum of four even draws, with the given standard deviation.
  private func addNoise(to pixels: inout [UInt8], sigma: Float, _ random: inout SplitMix64) {
    // Four draws of 0..<65536 have a mean of 2 * 65535 and a standard deviation of 65536 / sqrt(3).
    let factor = sigma * Float(3).squareRoot() / 65536
    var local = random
    pixels.withUnsafeMutableBufferPointer { pixels in
      for index in pixels.indices {
        let bits = local.next()
        let sum = (bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48)
        pixels[index] = UInt8(clamping: Float(pixels[index]) + (Float(sum) - 2 * 65535) * factor)
      }
    }
    random = local
  }
}

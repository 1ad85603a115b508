import CVips
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
    do {
      let object = try place(picture, height: height, width: width, &random)
      let background = PictureBackground(configuration.backgrounds, &random)
      let recolouring = PictureRecolouring(configuration, &random)
      var pixels = [UInt8](repeating: 0, count: height * width * 3)
      background.fill(&pixels, height: height, width: width)
      lay(object, over: &pixels)
      recolouring.apply(to: &pixels)
      if Double.random(in: 0..<1, using: &random) < configuration.blurProbability {
        let sigma = Double.random(in: configuration.blur, using: &random)
        pixels = try Picture(height: height, width: width, channels: 3, pixels: pixels)
          .withImage { try $0.blurred(sigma: sigma).bytes() }
      }
      if Double.random(in: 0..<1, using: &random) < configuration.noiseProbability {
        addNoise(to: &pixels, sigma: Float.random(in: configuration.noise, using: &random), &random)
      }
      let result = try Picture(height: height, width: width, channels: 3, pixels: pixels)
      guard Double.random(in: 0..<1, using: &random) < configuration.jpegProbability else { return result }
      return try Picture(bytes: result.jpeg(quality: Int.random(in: configuration.jpegQuality, using: &random)))
    } catch let error as VipsError {
      throw PictureError(.invalidArgument, "cannot augment the picture (\(error.detail))")
    }
  }

  /// The picture at its size, angle and place in an empty frame: `[height, width, 4]`, premultiplied by alpha.
  private func place(_ picture: Picture, height: Int, width: Int, _ random: inout SplitMix64) throws -> [UInt8] {
    let fit = min(Double(height) / Double(picture.height), Double(width) / Double(picture.width))
    let scale = fit * Double.random(in: configuration.scale, using: &random)
    let (h, w) = (Double(picture.height) * scale, Double(picture.width) * scale)
    let degrees = Double.random(in: configuration.rotation, using: &random)
    let (c, s) = (abs(cos(degrees * .pi / 180)), abs(sin(degrees * .pi / 180)))
    let x = centre(extent: w * c + h * s, frame: Double(width), &random)
    let y = centre(extent: h * c + w * s, frame: Double(height), &random)
    let isFlipped = Double.random(in: 0..<1, using: &random) < configuration.flipProbability
    return try picture.withImage { image in
      var image = picture.channels == 4 ? image : try image.addingAlpha()
      if isFlipped { image = try image.upright(from: 2) }
      return
        try image.premultiplied().rounded()
        .resized(height: max(1, Int(h.rounded())), width: max(1, Int(w.rounded())), kernel: CVIPS_LINEAR)
        .rotated(degrees: degrees, ontoX: x, y: y, height: height, width: width)
        .bytes()
    }
  }

  /// A place for the middle of something so long in a frame so long, such that no more than the overhang stands out.
  private func centre(extent: Double, frame: Double, _ random: inout SplitMix64) -> Double {
    let room = max(0, frame - extent) / 2 + configuration.overhang * extent
    return frame / 2 + room * Double.random(in: -1...1, using: &random)
  }

  private func lay(_ object: [UInt8], over pixels: inout [UInt8]) {
    pixels.withUnsafeMutableBufferPointer { pixels in
      object.withUnsafeBufferPointer { object in
        for index in 0..<pixels.count / 3 {
          let alpha = Int(object[4 * index + 3])
          if alpha == 0 { continue }
          for channel in 0..<3 {
            let under = (Int(pixels[3 * index + channel]) * (255 - alpha) + 127) / 255
            pixels[3 * index + channel] = UInt8(min(255, Int(object[4 * index + channel]) + under))
          }
        }
      }
    }
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

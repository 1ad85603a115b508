import Foundation

/// Hue, saturation, brightness and contrast as one linear map of red, green and blue.
struct PictureRecolouring {
  /// Row by row, `[3, 3]`.
  private let matrix: [Float]
  private let offset: Float

  init(_ configuration: PictureAugmentation.Configuration, _ random: inout SplitMix64) {
    let brightness = Float.random(in: configuration.brightness, using: &random)
    let contrast = Float.random(in: configuration.contrast, using: &random)
    let saturation = Float.random(in: configuration.saturation, using: &random)
    let hue = Float.random(in: configuration.hue, using: &random) * .pi / 180
    // feColorMatrix of the W3C's Filter Effects Module, types hueRotate and saturate: grey stays grey.
    let grey: [Float] = [0.213, 0.715, 0.072]
    let turn: [Float] = [-0.213, -0.715, 0.928, 0.143, 0.140, -0.283, -0.787, 0.715, 0.072]
    let factor = brightness * contrast
    matrix = (0..<9).map { index in
      let (row, column) = (index / 3, index % 3)
      let ownShare: Float = (row == column ? 1 : 0) - grey[column]
      return factor * (grey[column] + saturation * (cos(hue) * ownShare + sin(hue) * turn[index]))
    }
    offset = 127.5 * (1 - contrast)
  }

  /// - Parameter pixels: `[pixels, 3]`
  func apply(to pixels: inout [UInt8]) {
    pixels.withUnsafeMutableBufferPointer { pixels in
      matrix.withUnsafeBufferPointer { m in
        for index in stride(from: 0, to: pixels.count, by: 3) {
          let (r, g, b) = (Float(pixels[index]), Float(pixels[index + 1]), Float(pixels[index + 2]))
          for row in 0..<3 {
            let value = m[3 * row] * r + m[3 * row + 1] * g + m[3 * row + 2] * b + offset
            pixels[index + row] = UInt8(clamping: value)
          }
        }
      }
    }
  }
}

extension Float {
  /// Drawn evenly from a range of doubles.
  static func random(in range: ClosedRange<Double>, using random: inout SplitMix64) -> Float {
    Float(Double.random(in: range, using: &random))
  }
}

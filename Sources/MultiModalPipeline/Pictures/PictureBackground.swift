import Foundation

/// Colours on a square grid that are blended between its points: 1 point is one colour, 2 x 2 a gradient, more a texture.
struct PictureBackground {
  private let side: Int
  /// `[side, side, 3]`
  private let colours: [Float]

  init(_ weights: PictureAugmentation.Configuration.Backgrounds, _ random: inout SplitMix64) {
    func colour() -> [Float] { (0..<3).map { _ in Float.random(in: 0...255, using: &random) } }
    let choice = Double.random(in: 0..<(weights.solid + weights.gradient + weights.noise), using: &random)
    let base = colour()
    if choice < weights.solid {
      side = 1
      colours = base
    } else if choice < weights.solid + weights.gradient {
      side = 2
      let other = colour()
      let angle = Float.random(in: 0..<(2 * .pi), using: &random)
      let (c, s) = (cos(angle), sin(angle))
      let reach = abs(c) + abs(s)
      colours = [(-1, -1), (1, -1), (-1, 1), (1, 1)].flatMap { (x: Float, y: Float) in
        let share = (1 + (x * c + y * s) / reach) / 2
        return (0..<3).map { base[$0] + (other[$0] - base[$0]) * share }
      }
    } else {
      side = Int.random(in: 3...12, using: &random)
      let spread = Float.random(in: 10...80, using: &random)
      colours = (0..<side * side).flatMap { _ in
        base.map { min(255, max(0, $0 + Float.random(in: -spread...spread, using: &random))) }
      }
    }
  }

  /// - Parameter pixels: `[height, width, 3]`
  func fill(_ pixels: inout [UInt8], height: Int, width: Int) {
    let rows = steps(height)
    let columns = steps(width)
    pixels.withUnsafeMutableBufferPointer { pixels in
      colours.withUnsafeBufferPointer { colours in
        var index = 0
        for row in rows {
          for column in columns {
            let upper = (row.first * side + column.first) * 3
            let lower = (row.second * side + column.first) * 3
            let across = (column.second - column.first) * 3
            for channel in 0..<3 {
              let above = colours[upper + channel]
              let aboveNext = colours[upper + across + channel]
              let below = colours[lower + channel]
              let belowNext = colours[lower + across + channel]
              let top = above + (aboveNext - above) * column.share
              let bottom = below + (belowNext - below) * column.share
              pixels[index] = UInt8(clamping: top + (bottom - top) * row.share)
              index += 1
            }
          }
        }
      }
    }
  }

  /// For each pixel of a side, the grid points before and after it, and how far it is on the way.
  private func steps(_ count: Int) -> [(first: Int, second: Int, share: Float)] {
    (0..<count).map { pixel in
      let position = Float(pixel) / Float(max(1, count - 1)) * Float(side - 1)
      let first = min(Int(position), max(0, side - 2))
      return (first, min(first + 1, side - 1), position - Float(first))
    }
  }
}

extension UInt8 {
  /// The nearest value in 0...255.
  init(clamping value: Float) { self = UInt8(Swift.min(255, Swift.max(0, value)) + 0.5) }
}

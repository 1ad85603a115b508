import Foundation

/// Where a picture lies in a frame: its scale, its angle, and the point its middle is at.
struct PicturePlacement {
  /// Pixels of the frame per pixel of the picture.
  let scale: Double
  /// Clockwise.
  let degrees: Double
  /// In pixels of the frame, from its upper left corner.
  let x: Double
  let y: Double
  /// Whether left and right of the picture are exchanged.
  let isFlipped: Bool

  /// Lays the picture over what is in the frame, `[height, width, 3]`.
  ///
  /// Each pixel of the frame takes the average of the picture around the point below it, under a tent as wide as the pixel
  /// is there (at least one pixel of the picture to each side): smooth when enlarging, without aliasing when reducing.
  func draw(_ picture: Picture, over frame: inout [UInt8], height: Int, width: Int) {
    let cosine = Float(cos(degrees * .pi / 180) / scale)
    let sine = Float(sin(degrees * .pi / 180) / scale)
    let (centreX, centreY) = (Float(x) - 0.5, Float(y) - 0.5)
    let (middleX, middleY) = (Float(picture.width - 1) / 2, Float(picture.height - 1) / 2)
    let radius = max(1, Float(1 / scale))
    let mirror: Float = isFlipped ? -1 : 1
    let reach = (hypot(Double(picture.width), Double(picture.height)) / 2 + Double(radius)) * scale + 1
    let rows = max(0, Int(y - reach))..<max(0, min(height, Int(y + reach) + 1))
    let columns = max(0, Int(x - reach))..<max(0, min(width, Int(x + reach) + 1))
    picture.pixels.withUnsafeBufferPointer { pixels in
      let tent = Tent(
        pixels: pixels, height: picture.height, width: picture.width, channels: picture.channels,
        radius: radius)
      frame.withUnsafeMutableBufferPointer { frame in
        for row in rows.clamped(to: 0..<height) {
          for column in columns.clamped(to: 0..<width) {
            let (dx, dy) = (Float(column) - centreX, Float(row) - centreY)
            let average = tent.average(
              x: middleX + mirror * (cosine * dx + sine * dy), y: middleY + cosine * dy - sine * dx)
            if average.alpha <= 0 { continue }
            let under = 1 - average.alpha
            let index = (row * width + column) * 3
            frame[index] = UInt8(clamping: average.red + under * Float(frame[index]))
            frame[index + 1] = UInt8(clamping: average.green + under * Float(frame[index + 1]))
            frame[index + 2] = UInt8(clamping: average.blue + under * Float(frame[index + 2]))
          }
        }
      }
    }
  }
}

/// Averages of a picture under a tent; beyond its edges the picture is transparent.
private struct Tent {
  let pixels: UnsafeBufferPointer<UInt8>
  let height: Int
  let width: Int
  let channels: Int
  /// From the top of the tent to its foot, in pixels.
  let radius: Float

  /// Colour premultiplied by alpha, 0...255, and alpha, 0...1.
  @inline(__always)
  func average(x: Float, y: Float) -> (red: Float, green: Float, blue: Float, alpha: Float) {
    let slope = 1 / radius
    let (left, right) = (Int((x - radius).rounded(.up)), Int((x + radius).rounded(.down)))
    let (top, bottom) = (Int((y - radius).rounded(.up)), Int((y + radius).rounded(.down)))
    guard right >= 0, left < width, bottom >= 0, top < height else { return (0, 0, 0, 0) }
    var (red, green, blue, alpha): (Float, Float, Float, Float) = (0, 0, 0, 0)
    var j = max(0, top)
    while j <= min(bottom, height - 1) {
      let weightDown = 1 - abs(Float(j) - y) * slope
      var i = max(0, left)
      while i <= min(right, width - 1) {
        let weight = weightDown * (1 - abs(Float(i) - x) * slope)
        let index = (j * width + i) * channels
        let share = channels == 4 ? weight * Float(pixels[index + 3]) * (1 / 255) : weight
        red += share * Float(pixels[index])
        green += share * Float(pixels[index + 1])
        blue += share * Float(pixels[index + 2])
        alpha += share
        i += 1
      }
      j += 1
    }
    let all = total(x, left, right, slope) * total(y, top, bottom, slope)
    return (red / all, green / all, blue / all, min(1, alpha / all))
  }

  /// The weights of all pixels under one side of the tent, those beyond the picture's edge too.
  @inline(__always)
  private func total(_ centre: Float, _ first: Int, _ last: Int, _ slope: Float) -> Float {
    let count = Float(last - first + 1)
    let before = min(last, Int(centre.rounded(.down)))
    let below = Float(before - first + 1)
    let above = count - below
    let sumBelow = below * centre - below * Float(first + before) / 2
    let sumAbove = above * Float(before + 1 + last) / 2 - above * centre
    return count - (sumBelow + sumAbove) * slope
  }
}

import Foundation

/// Gaussian blur of interleaved pixels, `[height, width, 3]`; what is beyond the edge is like the edge.
///
/// - Parameter sigma: The standard deviation, in pixels.
func blur(_ pixels: [UInt8], height: Int, width: Int, sigma: Double) -> [UInt8] {
  let reach = Int((3 * sigma).rounded(.up))
  guard sigma > 0, reach > 0 else { return pixels }
  let bell = (-reach...reach).map { exp(-Double($0 * $0) / (2 * sigma * sigma)) }
  let weights = bell.map { Float($0 / bell.reduce(0, +)) }
  var across = [Float](repeating: 0, count: pixels.count)
  for row in 0..<height {
    gather(
      pixels, into: &across, weights, from: row * width * 3, count: width, step: 3, { Float($0) }, { $0 })
  }
  var result = [UInt8](repeating: 0, count: pixels.count)
  for column in 0..<width {
    gather(
      across, into: &result, weights, from: column * 3, count: height, step: width * 3, { $0 },
      UInt8.init(clamping:))
  }
  return result
}

/// One line of pixels, each the weighted sum of its neighbours in that line.
@inline(__always)
private func gather<Source, Target>(
  _ source: [Source], into target: inout [Target], _ weights: [Float], from start: Int, count: Int, step: Int,
  _ value: (Source) -> Float, _ result: (Float) -> Target
) {
  let reach = weights.count / 2
  source.withUnsafeBufferPointer { source in
    target.withUnsafeMutableBufferPointer { target in
      for place in 0..<count {
        for channel in 0..<3 {
          var sum: Float = 0
          for (index, weight) in weights.enumerated() {
            let neighbour = min(max(place + index - reach, 0), count - 1)
            sum += weight * value(source[start + neighbour * step + channel])
          }
          target[start + place * step + channel] = result(sum)
        }
      }
    }
  }
}

import Foundation

/// What each sample of a resized line is made of: neighbouring samples of the line and their weights, as Pillow has them.
///
/// The filter is as wide as the picture shrinks, so that nothing is skipped, and cut off at the picture's edges. Weights add
/// up to 1 before each is rounded to 22 bits behind the point: a sum of weighted 8-bit samples then fits in 32 bits.
struct ResampleWeights {
  static let bits: Int32 = 32 - 8 - 2

  /// The first sample that is weighted, and how many are.
  private(set) var places: [(first: Int, count: Int)] = []
  /// From one sample's weights to the next's.
  let stride: Int
  private(set) var values: [Int32]

  /// - Parameters:
  ///   - length: samples of the line
  ///   - part: what of the line is resized, in samples
  ///   - count: samples of the resized line
  init(length: Int, part: ClosedRange<Float>, count: Int, filter: ImageProcessor.Configuration.Resample) {
    let scale = Double(part.upperBound - part.lowerBound) / Double(count)
    let reach = max(1, scale)
    let support = filter.support * reach
    stride = Int(support.rounded(.up)) * 2 + 1
    values = [Int32](repeating: 0, count: count * stride)
    places.reserveCapacity(count)
    var weights = [Double](repeating: 0, count: stride)
    for index in 0..<count {
      let centre = Double(part.lowerBound) + (Double(index) + 0.5) * scale
      let first = max(0, Int(centre - support + 0.5))
      let last = min(length, Int(centre + support + 0.5))
      var sum = 0.0
      for offset in 0..<max(0, last - first) {
        let weight = filter.weight(at: (Double(offset + first) - centre + 0.5) * (1 / reach))
        weights[offset] = weight
        sum += weight
      }
      for offset in 0..<max(0, last - first) {
        let weight = sum == 0 ? weights[offset] : weights[offset] / sum
        let fixed = weight * Double(1 << Self.bits)
        values[index * stride + offset] = Int32(fixed < 0 ? fixed - 0.5 : fixed + 0.5)
      }
      places.append((first, max(0, last - first)))
    }
  }

  /// The samples that any weight is for.
  var reach: Range<Int> {
    let first = places.map(\.first).min() ?? 0
    return first..<max(first, places.map { $0.first + $0.count }.max() ?? 0)
  }
}

extension ImageProcessor.Configuration.Resample {
  /// How far the filter reaches from its centre, in samples of the coarser line.
  fileprivate var support: Double {
    switch self {
    case .nearest, .box: 0.5
    case .bilinear, .hamming: 1
    case .bicubic: 2
    case .lanczos: 3
    }
  }

  fileprivate func weight(at place: Double) -> Double {
    let distance = abs(place)
    switch self {
    case .nearest, .box: return place > -0.5 && place <= 0.5 ? 1 : 0
    case .bilinear: return distance < 1 ? 1 - distance : 0
    case .hamming:
      guard distance > 0 else { return 1 }
      guard distance < 1 else { return 0 }
      let angle = distance * Double.pi
      // Pillow has the window's numbers in single precision.
      return sin(angle) / angle * (Double(0.54 as Float) + Double(0.46 as Float) * cos(angle))
    case .bicubic:
      // Keys' kernel with a = -0.5.
      let a = -0.5
      if distance < 1 { return ((a + 2) * distance - (a + 3)) * distance * distance + 1 }
      if distance < 2 { return (((distance - 5) * distance + 8) * distance - 4) * a }
      return 0
    case .lanczos: return place >= -3 && place < 3 ? sinc(place) * sinc(place / 3) : 0
    }
  }

  private func sinc(_ x: Double) -> Double {
    guard x != 0 else { return 1 }
    let angle = x * Double.pi
    return sin(angle) / angle
  }
}

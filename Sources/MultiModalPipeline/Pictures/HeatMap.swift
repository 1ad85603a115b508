extension ImageProcessor {
  /// What a model sees, as a picture again.
  /// - Throws: `PictureError` unless the processor made the image.
  public func picture(of image: ProcessedImage) throws -> Picture {
    guard image.channels == configuration.imageMean.count || image.channels == 1 else {
      throw PictureError(
        .invalidArgument, "the image has \(image.channels) channels, so this processor did not make it")
    }
    let area = image.height * image.width
    let factor = configuration.doRescale ? configuration.rescaleFactor : 1
    var pixels = [UInt8](repeating: 0, count: 3 * area)
    for channel in 0..<3 {
      let source = min(channel, image.channels - 1)
      let (mean, deviation) =
        configuration.doNormalize ? (configuration.imageMean[source], configuration.imageStd[source]) : (0, 1)
      for index in 0..<area {
        let value = (Double(image.values[source * area + index]) * deviation + mean) / factor
        pixels[3 * index + channel] = UInt8(min(max(value.rounded(), 0), 255))
      }
    }
    return try Picture(height: image.height, width: image.width, channels: 3, pixels: pixels)
  }
}

extension Picture {
  /// The picture, enlarged by a whole number, under the weights of its patches: the heavier, the redder.
  /// - Parameter weights: `[rows, columns]`, row by row
  /// - Throws: `PictureError` unless there are as many, and a picture of three channels.
  public func heated(by weights: [Float], rows: Int, columns: Int, enlargedBy factor: Int = 1) throws
    -> Picture
  {
    guard weights.count == rows * columns, rows > 0, columns > 0, channels == 3, factor > 0 else {
      throw PictureError(
        .invalidArgument,
        "a heat map needs \(rows) x \(columns) weights and a picture of 3 channels, got \(weights.count) and \(channels)"
      )
    }
    let largest = max(weights.max() ?? 0, .leastNormalMagnitude)
    let (height, width) = (self.height * factor, self.width * factor)
    /// Between the centres of the nearest patches, as parts of the way from the first to the second.
    func place(_ pixel: Int, of pixels: Int, among patches: Int) -> (first: Int, second: Int, part: Float) {
      let position = (Float(pixel) + 0.5) / Float(pixels) * Float(patches) - 0.5
      let first = min(max(Int(position.rounded(.down)), 0), patches - 1)
      return (first, min(first + 1, patches - 1), min(max(position - Float(first), 0), 1))
    }
    let across = (0..<width).map { place($0, of: width, among: columns) }
    var heated = [UInt8](repeating: 0, count: 3 * height * width)
    for y in 0..<height {
      let down = place(y, of: height, among: rows)
      for x in 0..<width {
        func row(_ row: Int) -> Float {
          let (first, second) = (
            weights[row * columns + across[x].first], weights[row * columns + across[x].second]
          )
          return first + (second - first) * across[x].part
        }
        let weight = row(down.first) + (row(down.second) - row(down.first)) * down.part
        let share = 0.75 * min(max(weight / largest, 0), 1)
        let source = 3 * ((y / factor) * self.width + x / factor)
        for (channel, heat) in [Float(230), 30, 20].enumerated() {
          let value = Float(pixels[source + channel]) * (1 - share) + heat * share
          heated[3 * (y * width + x) + channel] = UInt8(value.rounded())
        }
      }
    }
    return try Picture(height: height, width: width, channels: 3, pixels: heated)
  }

  /// Pictures of one size beside and under each other, on white.
  /// - Throws: `PictureError` where sizes differ, or there is none.
  public static func grid(_ pictures: [Picture], columns: Int, gap: Int = 8) throws -> Picture {
    guard let first = pictures.first, columns > 0,
      pictures.allSatisfy({ ($0.height, $0.width, $0.channels) == (first.height, first.width, 3) })
    else {
      throw PictureError(
        .invalidArgument, "a grid needs pictures of one size and 3 channels, and at least one column")
    }
    let columns = min(columns, pictures.count)
    let rows = (pictures.count + columns - 1) / columns
    let (height, width) = (rows * (first.height + gap) + gap, columns * (first.width + gap) + gap)
    var pixels = [UInt8](repeating: 255, count: 3 * height * width)
    for (index, picture) in pictures.enumerated() {
      let left = gap + index % columns * (first.width + gap)
      let top = gap + index / columns * (first.height + gap)
      for y in 0..<first.height {
        let start = 3 * ((top + y) * width + left)
        pixels[start..<start + 3 * first.width] =
          picture.pixels[3 * y * first.width..<3 * (y + 1) * first.width][...]
      }
    }
    return try Picture(height: height, width: width, channels: 3, pixels: pixels)
  }
}

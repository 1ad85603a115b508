/// Samples of 8 bits, interleaved, as Pillow holds a picture: grey, or red, green and blue.
struct Raster: Equatable, Sendable {
  let height: Int
  let width: Int
  /// 1 or 3.
  let channels: Int
  /// `[height, width, channels]`.
  let samples: [UInt8]

  /// Copies rows of a larger raster, or onto a larger one, where what is not covered is 0. The area may stand out on any side.
  func placed(_ area: PixelArea) -> Raster {
    let (stride, newStride) = (width * channels, area.width * channels)
    let (columns, rows) = (
      max(0, area.left)..<max(max(0, area.left), min(width, area.left + area.width)),
      max(0, area.top)..<max(max(0, area.top), min(height, area.top + area.height))
    )
    var placed = [UInt8](repeating: 0, count: area.height * newStride)
    guard !columns.isEmpty else { return Raster(area, channels, placed) }
    placed.withUnsafeMutableBytes { out in
      samples.withUnsafeBytes { source in
        for row in rows {
          let start = row * stride + columns.lowerBound * channels
          let target = (row - area.top) * newStride + (columns.lowerBound - area.left) * channels
          UnsafeMutableRawBufferPointer(rebasing: out[target...])
            .copyMemory(from: .init(rebasing: source[start..<start + columns.count * channels]))
        }
      }
    }
    return Raster(area, channels, placed)
  }

  private init(_ area: PixelArea, _ channels: Int, _ samples: [UInt8]) {
    self.init(height: area.height, width: area.width, channels: channels, samples: samples)
  }

  init(height: Int, width: Int, channels: Int, samples: [UInt8]) {
    self.height = height
    self.width = width
    self.channels = channels
    self.samples = samples
  }

  /// A decoded picture over a background, or without its alpha.
  init(_ picture: Picture, over background: [Double]?) {
    let (height, width, pixels) = (picture.height, picture.width, picture.pixels)
    if picture.channels == 3 {
      self.init(height: height, width: width, channels: 3, samples: pixels)
    } else if let background {
      self.init(height: height, width: width, bands: 4, samples: pixels, over: background)
    } else {
      let colours = pixels.enumerated().compactMap { $0.offset % 4 < 3 ? $0.element : nil }
      self.init(height: height, width: width, channels: 3, samples: colours)
    }
  }

  /// Grey or colours with alpha, `bands` samples a pixel of which alpha is the last, over one colour:
  /// `alpha * colour + (1 - alpha) * background`.
  init(height: Int, width: Int, bands: Int, samples: [UInt8], over background: [Double]) {
    let flat = [UInt8](unsafeUninitializedCapacity: 3 * height * width) { out, count in
      for pixel in 0..<height * width {
        let alpha = Double(samples[pixel * bands + bands - 1]) / 255
        for channel in 0..<3 {
          let colour = Double(samples[pixel * bands + min(channel, bands - 2)])
          out[3 * pixel + channel] = UInt8((alpha * colour + (1 - alpha) * background[channel]).rounded())
        }
      }
      count = 3 * height * width
    }
    self.init(height: height, width: width, channels: 3, samples: flat)
  }

  /// Turned by a quarter, clockwise.
  func turned() -> Raster {
    var turned = [UInt8](repeating: 0, count: samples.count)
    for row in 0..<height {
      for column in 0..<width {
        let (from, to) = ((row * width + column) * channels, (column * height + height - 1 - row) * channels)
        for channel in 0..<channels { turned[to + channel] = samples[from + channel] }
      }
    }
    return Raster(height: width, width: height, channels: channels, samples: turned)
  }

  /// One channel, luma by ITU-R 601: in Pillow's 16-bit fixed point, or cut off to whole levels as torchvision does.
  func gray(_ rounding: ImageProcessor.Configuration.HuggingFaceSteps.Rounding = .nearest) -> Raster {
    guard channels == 3 else { return self }
    let gray = [UInt8](unsafeUninitializedCapacity: height * width) { out, count in
      samples.withUnsafeBufferPointer { samples in
        for index in 0..<height * width {
          let (red, green, blue) = (samples[3 * index], samples[3 * index + 1], samples[3 * index + 2])
          switch rounding {
          case .nearest:
            let sum = 19595 * UInt32(red) + 38470 * UInt32(green) + 7471 * UInt32(blue) + 0x8000
            out[index] = UInt8(truncatingIfNeeded: sum >> 16)
          case .down:
            let warm = 0.2989 * Float(red) + 0.587 * Float(green)
            out[index] = UInt8(warm + 0.114 * Float(blue))
          }
        }
      }
      count = height * width
    }
    return Raster(height: height, width: width, channels: 1, samples: gray)
  }

  /// Without the border: rows and columns at the edges in which all differs by no more than 15 from the colour that most
  /// corners have. A picture that is all border stays as it is.
  func withoutBorder() -> Raster {
    let corners = [(0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1)].map {
      pixel(row: $0.0, column: $0.1)
    }
    let counts = corners.map { corner in corners.count { $0 == corner } }
    guard let most = counts.max(), let first = counts.firstIndex(of: most) else { return self }
    let border = corners[first]
    var (top, bottom, left, right) = (height, -1, width, -1)
    for row in 0..<height {
      guard let start = (0..<width).first(where: { differs(row, $0, from: border) }) else { continue }
      let end = (start..<width).last { differs(row, $0, from: border) } ?? start
      (top, bottom) = (min(top, row), row)
      (left, right) = (min(left, start), max(right, end))
    }
    guard bottom >= 0 else { return self }
    return placed(PixelArea(left: left, top: top, height: bottom - top + 1, width: right - left + 1))
  }

  private func pixel(row: Int, column: Int) -> [UInt8] {
    let start = (row * width + column) * channels
    return Array(samples[start..<start + channels])
  }

  /// The channels' weights are those that TexTeller's readers were trained with: luma of red and blue exchanged.
  private func differs(_ row: Int, _ column: Int, from border: [UInt8]) -> Bool {
    let start = (row * width + column) * channels
    func distance(_ channel: Int) -> Int { abs(Int(samples[start + channel]) - Int(border[channel])) }
    guard channels == 3 else { return distance(0) > 15 }
    return (3735 * distance(0) + 19235 * distance(1) + 9798 * distance(2) + 0x4000) >> 15 > 15
  }
}

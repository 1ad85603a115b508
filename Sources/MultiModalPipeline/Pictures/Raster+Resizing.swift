/// Resizing as Pillow 13 does it, to the last bit: across, rounded to 8 bits, then down; or down first where the height is
/// reduced by more than twice as many samples as the width. (Before version 13 Pillow began across whatever the shape.)
extension Raster {
  /// A part of a raster, in samples, that need not begin at a whole one.
  struct Part: Equatable {
    let across: ClosedRange<Float>
    let down: ClosedRange<Float>
  }

  /// - Parameter gap: where the raster becomes smaller by twice this or more, whole blocks of samples are averaged first, so that
  ///   what is left to the filter is this at least; nil leaves all to the filter. Pillow's `reducing_gap`.
  func resized(
    height newHeight: Int, width newWidth: Int, filter: ImageProcessor.Configuration.Resample, gap: Double?
  ) -> Raster {
    guard let gap, filter != .nearest, newHeight != height || newWidth != width else {
      return resized(height: newHeight, width: newWidth, filter: filter)
    }
    let across = max(1, Int(Double(width) / Double(newWidth) / gap))
    let down = max(1, Int(Double(height) / Double(newHeight) / gap))
    guard across > 1 || down > 1 else { return resized(height: newHeight, width: newWidth, filter: filter) }
    let part = Part(
      across: 0...Float(Double(width) / Double(across)), down: 0...Float(Double(height) / Double(down)))
    return averaged(across: across, down: down)
      .resized(height: newHeight, width: newWidth, filter: filter, part: part)
  }

  /// Each sample the mean of a block, in Pillow's 24-bit fixed point; blocks at the right and lower edges may be smaller.
  private func averaged(across: Int, down: Int) -> Raster {
    let (newHeight, newWidth) = ((height + down - 1) / down, (width + across - 1) / across)
    var averaged: [UInt8] = []
    averaged.reserveCapacity(newHeight * newWidth * channels)
    for top in Swift.stride(from: 0, to: height, by: down) {
      let rows = top..<min(height, top + down)
      for left in Swift.stride(from: 0, to: width, by: across) {
        let columns = left..<min(width, left + across)
        let count = UInt64(rows.count * columns.count)
        let factor = UInt64(Float(1 << 32 as UInt64) / Float(count << 8))
        for channel in 0..<channels {
          var sum = count / 2
          for row in rows {
            for column in columns { sum += UInt64(samples[(row * width + column) * channels + channel]) }
          }
          averaged.append(UInt8(truncatingIfNeeded: (sum * factor) >> 24))
        }
      }
    }
    return Raster(height: newHeight, width: newWidth, channels: channels, samples: averaged)
  }

  /// - Parameter part: what of the raster is resized; all of it when not given
  func resized(
    height newHeight: Int, width newWidth: Int, filter: ImageProcessor.Configuration.Resample,
    part: Part? = nil
  ) -> Raster {
    let whole = Part(across: 0...Float(width), down: 0...Float(height))
    let part = part ?? whole
    if newHeight == height, newWidth == width, part == whole { return self }
    if filter == .nearest { return sampled(height: newHeight, width: newWidth, part) }
    let down =
      newHeight == height && part.down == whole.down
      ? nil : ResampleWeights(length: height, part: part.down, count: newHeight, filter: filter)
    let across =
      newWidth == width && part.across == whole.across
      ? nil : ResampleWeights(length: width, part: part.across, count: newWidth, filter: filter)
    guard let down else { return across.map { self.across($0, rows: 0..<height) } ?? self }
    guard let across else { return self.down(down, firstRow: 0) }
    if beginsDown(height: newHeight, width: newWidth) {
      return self.down(down, firstRow: 0).across(across, rows: 0..<newHeight)
    }
    return self.across(across, rows: down.reach).down(down, firstRow: down.reach.lowerBound)
  }

  private func beginsDown(height newHeight: Int, width newWidth: Int) -> Bool {
    newHeight < height && height - newHeight > 2 * (width - newWidth)
  }

  /// How many pixels there are between the two passes.
  func pixelsBetweenPasses(height newHeight: Int, width newWidth: Int) -> Int {
    let (rows, columns) =
      beginsDown(height: newHeight, width: newWidth) ? (newHeight, width) : (height, newWidth)
    let (pixels, overflow) = rows.multipliedReportingOverflow(by: columns)
    return overflow ? .max : pixels
  }

  /// The nearest sample for each; places are added up, as Pillow's are, so that they round alike.
  private func sampled(height newHeight: Int, width newWidth: Int, _ part: Part) -> Raster {
    func places(_ count: Int, _ part: ClosedRange<Float>, _ length: Int) -> [Int] {
      let step = Double(part.upperBound - part.lowerBound) / Double(count)
      var place = Double(part.lowerBound) + step * 0.5
      return (0..<count).map { _ in
        defer { place += step }
        return min(Int(place), length - 1)
      }
    }
    let columns = places(newWidth, part.across, width)
    var sampled: [UInt8] = []
    sampled.reserveCapacity(newHeight * newWidth * channels)
    for row in places(newHeight, part.down, height) {
      for column in columns {
        let start = (row * width + column) * channels
        sampled.append(contentsOf: samples[start..<start + channels])
      }
    }
    return Raster(height: newHeight, width: newWidth, channels: channels, samples: sampled)
  }

  // MARK: - Passes

  private static let half: Int32 = 1 << (ResampleWeights.bits - 1)

  private func across(_ weights: ResampleWeights, rows: Range<Int>) -> Raster {
    let newStride = weights.places.count * channels
    let resized = [UInt8](unsafeUninitializedCapacity: rows.count * newStride) { out, count in
      count = rows.count * newStride
      guard var line = out.baseAddress else { return }
      // A line with room behind it, because pixels of three bytes are read as four.
      var buffer = [UInt8](repeating: 0, count: width * channels + 1)
      buffer.withUnsafeMutableBytes { buffer in
        samples.withUnsafeBytes { samples in
          for row in rows {
            buffer.copyMemory(
              from: .init(rebasing: samples[row * width * channels..<(row + 1) * width * channels]))
            if channels == 3 { colours(buffer, weights, line) } else { grays(buffer, weights, line) }
            line += newStride
          }
        }
      }
    }
    return Raster(height: rows.count, width: weights.places.count, channels: channels, samples: resized)
  }

  private func colours(
    _ line: UnsafeMutableRawBufferPointer, _ weights: ResampleWeights, _ out: UnsafeMutablePointer<UInt8>
  ) {
    guard let start = line.baseAddress else { return }
    weights.values.withUnsafeBufferPointer { values in
      weights.places.withUnsafeBufferPointer { places in
        for index in 0..<places.count {
          var sum = SIMD4<Int32>(repeating: Self.half)
          let (first, weight) = (3 * places[index].first, index * weights.stride)
          for offset in 0..<places[index].count {
            let pixel = start.loadUnaligned(fromByteOffset: first + 3 * offset, as: SIMD4<UInt8>.self)
            sum &+= SIMD4(truncatingIfNeeded: pixel) &* values[weight + offset]
          }
          let bytes = SIMD4<UInt8>(
            truncatingIfNeeded: (sum &>> ResampleWeights.bits).clamped(
              lowerBound: SIMD4(repeating: 0), upperBound: SIMD4(repeating: 255)))
          out[3 * index] = bytes[0]
          out[3 * index + 1] = bytes[1]
          out[3 * index + 2] = bytes[2]
        }
      }
    }
  }

  private func grays(
    _ line: UnsafeMutableRawBufferPointer, _ weights: ResampleWeights, _ out: UnsafeMutablePointer<UInt8>
  ) {
    weights.values.withUnsafeBufferPointer { values in
      weights.places.withUnsafeBufferPointer { places in
        for index in 0..<places.count {
          var sum = Self.half
          let (first, weight) = (places[index].first, index * weights.stride)
          for offset in 0..<places[index].count {
            sum &+= Int32(line[first + offset]) &* values[weight + offset]
          }
          out[index] = UInt8(truncatingIfNeeded: min(max(sum >> ResampleWeights.bits, 0), 255))
        }
      }
    }
  }

  /// - Parameter firstRow: which row of the unresized picture this raster begins with
  private func down(_ weights: ResampleWeights, firstRow: Int) -> Raster {
    let stride = width * channels
    let resized = [UInt8](unsafeUninitializedCapacity: weights.places.count * stride) { out, count in
      count = weights.places.count * stride
      guard let target = out.baseAddress else { return }
      samples.withUnsafeBufferPointer { samples in
        guard let source = samples.baseAddress else { return }
        weights.values.withUnsafeBufferPointer { values in
          for (index, place) in weights.places.enumerated() {
            Self.addRows(
              source + (place.first - firstRow) * stride, stride: stride,
              UnsafeBufferPointer(
                rebasing: values[index * weights.stride..<index * weights.stride + place.count]),
              into: target + index * stride)
          }
        }
      }
    }
    return Raster(height: weights.places.count, width: width, channels: channels, samples: resized)
  }

  private static func addRows(
    _ source: UnsafePointer<UInt8>, stride: Int, _ weights: UnsafeBufferPointer<Int32>,
    into out: UnsafeMutablePointer<UInt8>
  ) {
    var column = 0
    while column + 16 <= stride {
      var sum = SIMD16<Int32>(repeating: half)
      for row in 0..<weights.count {
        let samples = UnsafeRawPointer(source + row * stride + column).loadUnaligned(as: SIMD16<UInt8>.self)
        sum &+= SIMD16(truncatingIfNeeded: samples) &* weights[row]
      }
      let bytes = SIMD16<UInt8>(
        truncatingIfNeeded: (sum &>> ResampleWeights.bits).clamped(
          lowerBound: SIMD16(repeating: 0), upperBound: SIMD16(repeating: 255)))
      UnsafeMutableRawPointer(out + column).storeBytes(of: bytes, as: SIMD16<UInt8>.self)
      column += 16
    }
    while column < stride {
      var sum = half
      for row in 0..<weights.count { sum &+= Int32(source[row * stride + column]) &* weights[row] }
      out[column] = UInt8(truncatingIfNeeded: min(max(sum >> ResampleWeights.bits, 0), 255))
      column += 1
    }
  }
}

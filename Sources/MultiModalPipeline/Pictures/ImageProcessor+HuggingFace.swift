/// Pictures of Hugging Face checkpoints, made as its classes make them with Pillow.
extension ImageProcessor {
  func process(_ encoded: EncodedPicture, _ steps: Configuration.HuggingFaceSteps) throws -> ProcessedImage {
    // JPEGs are decoded whole: what a decoder reduces is not what Pillow would.
    let picture = try encoded.open(shrinkingBy: { _ in 1 }) { image, header in
      let isUpright = !steps.doExifTranspose || header.orientation == 1
      return try (isUpright ? image : image.inMemory().upright(from: Int(header.orientation)))
        .raster(over: steps.background)
    }
    return try process(picture, steps)
  }

  func process(_ picture: Raster, _ steps: Configuration.HuggingFaceSteps) throws -> ProcessedImage {
    var picture = steps.doTrimBorder ? picture.withoutBorder() : picture
    // Filters do the same to equal channels, so grey pictures are resized once.
    if steps.channels == 1 || steps.doConvertGrayscale { picture = picture.gray(steps.rounding) }
    picture = steps.type == .donut ? try donut(picture, steps) : try resize(picture, steps)
    if steps.type != .donut, configuration.doCenterCrop, let size = configuration.cropSize {
      // What is missing goes to the lower right less than to the upper left, if it is odd.
      picture = picture.placed(
        PixelArea(
          left: (picture.width - size.width).halvedDown, top: (picture.height - size.height).halvedDown,
          height: size.height, width: size.width))
    }
    let image = normalise(picture, channels: steps.channels)
    guard steps.type != .donut, steps.doPad, let size = steps.padSize else { return image }
    guard size.height >= image.height, size.width >= image.width else {
      throw PictureError(
        .invalidArgument,
        "pad_size (\(size.height) x \(size.width)) must hold what pictures are resized to, here \(image.height) x "
          + "\(image.width)")
    }
    return image.padded(height: size.height, width: size.width)
  }

  private func resize(_ picture: Raster, _ steps: Configuration.HuggingFaceSteps) throws -> Raster {
    guard configuration.doResize else { return picture }
    return try resized(picture, to: steps.size(of: picture, configuration.size), configuration.resample)
  }

  /// Resized until the shorter side is that of `size`, reduced to fit, and padded with black.
  private func donut(_ given: Raster, _ steps: Configuration.HuggingFaceSteps) throws -> Raster {
    let size = configuration.size
    var picture = given
    let stands = size.width < size.height && picture.width > picture.height
    let lies = size.width > size.height && picture.width < picture.height
    if steps.doAlignLongAxis, stands || lies { picture = picture.turned() }
    if configuration.doResize {
      let edges = Configuration.HuggingFaceSteps.Edges(shortest: min(size.height, size.width))
      picture = try resized(picture, to: edges.size(of: picture, .nearest), configuration.resample)
    }
    if steps.doThumbnail {
      var (height, width) = (min(picture.height, size.height), min(picture.width, size.width))
      if height != picture.height || width != picture.width {
        if picture.height > picture.width {
          width = picture.width * height / picture.height
        } else if picture.width > picture.height {
          height = picture.height * width / picture.width
        }
        picture = try resized(picture, to: .init(height: height, width: width), .bicubic, gap: 2)
      }
    }
    guard steps.doPad else { return picture }
    guard picture.height <= size.height, picture.width <= size.width else {
      throw PictureError(
        .invalidArgument,
        "a picture of \(given.height) x \(given.width) becomes \(picture.height) x \(picture.width), more than size "
          + "(\(size.height) x \(size.width)): set do_thumbnail or do_align_long_axis, or cut the picture")
    }
    return picture.placed(
      PixelArea(
        left: -((size.width - picture.width) / 2), top: -((size.height - picture.height) / 2),
        height: size.height,
        width: size.width))
  }

  /// - Parameter gap: see `Raster.resized(height:width:filter:gap:)`
  private func resized(
    _ picture: Raster, to size: Configuration.Size, _ filter: Configuration.Resample, gap: Double? = nil
  ) throws -> Raster {
    let (area, overflow) = size.height.multipliedReportingOverflow(by: size.width)
    guard size.height > 0, size.width > 0, !overflow, area <= configuration.maxPixels else {
      throw PictureError(
        .tooLarge,
        "a picture of \(picture.height) x \(picture.width) would become \(size.height) x \(size.width): at least 1 x 1 and at "
          + "most \(configuration.maxPixels) pixels in all (max_pixels) are allowed")
    }
    let longest = max(picture.height, picture.width, size.height, size.width)
    guard longest <= Self.longestSide,
      picture.pixelsBetweenPasses(height: size.height, width: size.width) / 2 <= configuration.maxPixels
    else {
      throw PictureError(
        .tooLarge,
        "a picture of \(picture.height) x \(picture.width) is too long to be resized to \(size.height) x "
          + "\(size.width): cut it")
    }
    return picture.resized(height: size.height, width: size.width, filter: filter, gap: gap)
  }

  /// Weights take as much memory as sides are long.
  private static let longestSide = 1 << 20
}

extension ImageProcessor.Configuration.HuggingFaceSteps.Edges {
  /// The size of a picture that keeps its shape, as transformers computes it.
  func size(
    of picture: Raster, _ rounding: ImageProcessor.Configuration.HuggingFaceSteps.Rounding
  ) -> ImageProcessor.Configuration.Size {
    let (short, long) = (min(picture.height, picture.width), max(picture.height, picture.width))
    var (newShort, newLong) = (shortest, Int(Double(shortest * long) / Double(short)))
    if let longest {
      let limited = Double(longest) * Double(short) / Double(long)
      switch rounding {
      case .down where newLong > longest: (newShort, newLong) = (longest * shortest / newLong, longest)
      case .nearest where Double(long) / Double(short) * Double(shortest) > Double(longest):
        newShort = Int(limited.rounded(.toNearestOrEven))
        newLong = newShort == short ? long : Int(limited * Double(long) / Double(short))
      case .nearest where short == shortest: newLong = long
      default: break
      }
    }
    return picture.height < picture.width
      ? .init(height: newShort, width: newLong) : .init(height: newLong, width: newShort)
  }
}

extension Int {
  /// Half of it, rounded down whatever its sign.
  fileprivate var halvedDown: Int { self >> 1 }
}

extension ProcessedImage {
  /// With zeros to the right and below.
  fileprivate func padded(height newHeight: Int, width newWidth: Int) -> ProcessedImage {
    var padded = [Float](repeating: 0, count: channels * newHeight * newWidth)
    for channel in 0..<channels {
      for row in 0..<height {
        let (from, to) = ((channel * height + row) * width, (channel * newHeight + row) * newWidth)
        padded.replaceSubrange(to..<to + width, with: values[from..<from + width])
      }
    }
    return ProcessedImage(values: padded, channels: channels, height: newHeight, width: newWidth)
  }
}

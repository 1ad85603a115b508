import CVips
import Foundation

/// Turns a picture file into what a model takes: decoded, upright, resized, over a background or padded, normalised.
///
///     let processor = try ImageProcessor(configuration: .init(contentsOf: folder.appending(path: "preprocessor_config.json")))
///     let image = try processor(URL(fileURLWithPath: "cat.jpg"))  // values: [3, height, width]
public struct ImageProcessor: Sendable {
  /// What is done with pictures.
  public let configuration: Configuration
  /// What each of the 256 values of a channel becomes: `[channels, 256]`.
  private let normalised: [Float]

  /// - Throws: `PictureError` if the configuration makes no sense.
  public init(configuration: Configuration = Configuration()) throws {
    try configuration.validate()
    self.configuration = configuration
    normalised = Self.normalised(configuration)
  }

  private static func normalised(_ configuration: Configuration) -> [Float] {
    let factor = configuration.doRescale ? configuration.rescaleFactor : 1
    return configuration.imageMean.indices.flatMap { channel in
      let (mean, deviation) = (configuration.imageMean[channel], configuration.imageStd[channel])
      return (0..<256).map { value in
        let rescaled = Double(value) * factor
        guard configuration.doNormalize else { return Float(rescaled) }
        // Hugging Face's code rounds after every step.
        if configuration.huggingFace != nil { return (Float(rescaled) - Float(mean)) / Float(deviation) }
        return Float((rescaled - mean) / deviation)
      }
    }
  }

  /// Reads a file.
  ///
  /// - Throws: `PictureError` for a file that is missing, empty, too large, damaged, or no picture of a supported format,
  ///   `PictureLibraryError` where none can be read.
  public func callAsFunction(_ url: URL) throws -> ProcessedImage {
    try process(EncodedPicture(contentsOf: url, limits: configuration.limits))
  }

  /// Reads the bytes of a file.
  ///
  /// - Parameter name: What error messages call the picture.
  public func callAsFunction(bytes: Data, name: String = "given as bytes") throws -> ProcessedImage {
    try process(EncodedPicture(bytes, name: name, limits: configuration.limits))
  }

  /// Takes a decoded picture.
  public func callAsFunction(_ picture: Picture) throws -> ProcessedImage {
    if let steps = configuration.huggingFace {
      return try process(Raster(picture, over: steps.background), steps)
    }
    let layout = Layout(height: picture.height, width: picture.width, configuration: configuration)
    if picture.channels == 3, layout.isIdentity(height: picture.height, width: picture.width) {
      return normalise(picture)
    }
    do {
      return try normalise(picture.withImage { try Picture(place($0, in: layout, orientation: 1)) })
    } catch let error as VipsError {
      throw PictureError(.invalidArgument, "cannot resize the picture (\(error.detail))")
    }
  }

  private func process(_ encoded: EncodedPicture) throws -> ProcessedImage {
    if let steps = configuration.huggingFace { return try process(encoded, steps) }
    func layout(_ header: CVipsHeader) -> Layout {
      let turned = Orientation(exif: Int(header.orientation)).isTransposed
      return Layout(
        height: Int(turned ? header.width : header.height), width: Int(turned ? header.height : header.width),
        configuration: configuration)
    }
    // Decoding at twice the size or more leaves the filter enough to work with.
    func shrink(_ header: CVipsHeader) -> Double { layout(header).shrink / 2 }
    return try encoded.open(shrinkingBy: shrink) { image, header in
      try normalise(Picture(place(image, in: layout(header), orientation: Int(header.orientation))))
    }
  }

  /// Resizes, cuts, flattens, turns upright and pads. Until pixels are in memory they are read once, from top to bottom,
  /// so resizing and cutting happen in the file's orientation.
  private func place(_ image: VipsPicture, in layout: Layout, orientation: Int) throws -> VipsPicture {
    let turn = Orientation(exif: orientation)
    let stored = turn.stored(layout.visible, height: layout.resizedHeight, width: layout.resizedWidth)
    let (height, width) =
      turn.isTransposed
      ? (layout.resizedWidth, layout.resizedHeight) : (layout.resizedHeight, layout.resizedWidth)
    var image = try image.resized(height: height, width: width, kernel: configuration.resample.kernel)
      .cropped(left: stored.left, top: stored.top, height: stored.height, width: stored.width)
      .sRGB()
    if image.header.has_alpha { image = try image.flattened(over: configuration.background) }
    if orientation != 1 { image = try image.inMemory().upright(from: orientation) }
    guard layout.visible.height < layout.height || layout.visible.width < layout.width else { return image }
    return try image.embedded(
      left: max(0, layout.left), top: max(0, layout.top), height: layout.height, width: layout.width,
      background: configuration.background)
  }

  private func normalise(_ picture: Picture) -> ProcessedImage {
    normalise(
      Raster(height: picture.height, width: picture.width, channels: 3, samples: picture.pixels), channels: 3)
  }

  /// Planes of normalised values; a grey picture is repeated where more channels are asked for.
  func normalise(_ picture: Raster, channels: Int) -> ProcessedImage {
    let area = picture.height * picture.width
    let step = picture.channels
    let values = [Float](unsafeUninitializedCapacity: channels * area) { values, count in
      picture.samples.withUnsafeBufferPointer { samples in
        normalised.withUnsafeBufferPointer { table in
          for channel in 0..<channels {
            let (first, plane, part) = (min(channel, step - 1), channel * area, channel * 256)
            for index in 0..<area { values[plane + index] = table[part + Int(samples[step * index + first])] }
          }
        }
      }
      count = channels * area
    }
    return ProcessedImage(values: values, channels: channels, height: picture.height, width: picture.width)
  }
}

extension ImageProcessor.Configuration.Resample {
  var kernel: CVipsKernel {
    switch self {
    case .nearest: CVIPS_NEAREST
    case .lanczos: CVIPS_LANCZOS
    // The last two are refused before.
    case .bilinear, .box, .hamming: CVIPS_LINEAR
    case .bicubic: CVIPS_CUBIC
    }
  }
}

import CVips
import Foundation

/// Turns a picture file into what a model takes: decoded, upright, sRGB, resized, over a background, normalised.
///
///     let processor = try ImageProcessor(configuration: .init(contentsOf: folder.appending(path: "preprocessor_config.json")))
///     let image = try processor(URL(fileURLWithPath: "cat.jpg"))  // values: [3, height, width]
public struct ImageProcessor: Sendable {
  public let configuration: Configuration
  /// What each of the 256 values of a channel becomes: `[3, 256]`.
  private let normalised: [Float]

  /// - Throws: `PictureError` if the configuration makes no sense.
  public init(configuration: Configuration = Configuration()) throws {
    try configuration.validate()
    self.configuration = configuration
    let factor = configuration.doRescale ? configuration.rescaleFactor : 1
    normalised = (0..<3).flatMap { channel in
      (0..<256).map { value in
        let rescaled = Double(value) * factor
        guard configuration.doNormalize else { return Float(rescaled) }
        return Float((rescaled - configuration.imageMean[channel]) / configuration.imageStd[channel])
      }
    }
  }

  /// Reads a file.
  ///
  /// - Throws: `PictureError` for a file that is missing, empty, too large, damaged, or no picture of a supported format.
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
    let area = picture.height * picture.width
    let values = [Float](unsafeUninitializedCapacity: 3 * area) { values, count in
      picture.pixels.withUnsafeBufferPointer { pixels in
        normalised.withUnsafeBufferPointer { table in
          for index in 0..<area {
            values[index] = table[Int(pixels[3 * index])]
            values[area + index] = table[256 + Int(pixels[3 * index + 1])]
            values[2 * area + index] = table[512 + Int(pixels[3 * index + 2])]
          }
        }
      }
      count = 3 * area
    }
    return ProcessedImage(values: values, height: picture.height, width: picture.width)
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

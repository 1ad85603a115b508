import Foundation
import Torch

extension ImageProcessor {
  /// What to do with a picture before a model sees it: the content of `preprocessor_config.json`, in Hugging Face's field
  /// names where those exist. A missing field has its default; an unknown one is refused, because it may be a misspelt one.
  public struct Configuration: Codable, Equatable, Sendable {
    public struct Size: Codable, Equatable, Sendable {
      public var height: Int
      public var width: Int

      public init(height: Int, width: Int) {
        self.height = height
        self.width = width
      }
    }

    /// How a picture of one shape becomes one of another.
    public enum ResizeMode: String, Codable, CaseIterable, Sendable {
      /// Height and width are scaled each on its own.
      case stretch
      /// Scaled until it covers the size; what stands out on both sides is cut off.
      case crop
      /// Scaled until it fits in the size; the rest is `background`.
      case pad
    }

    /// The filter, by the number that Pillow gives it.
    public enum Resample: Int, Codable, CaseIterable, Sendable {
      case nearest = 0
      case lanczos = 1
      case bilinear = 2
      case bicubic = 3
      /// The mean of what a pixel covers. Hugging Face's kind alone has it.
      case box = 4
      /// Sharper than `bilinear`. Hugging Face's kind alone has it.
      case hamming = 5

      /// Those that libvips has.
      static let own: [Self] = [.nearest, .lanczos, .bilinear, .bicubic]
    }

    public var doResize = true
    /// The size after resizing, in pixels.
    public var size = Size(height: 256, width: 256)
    public var resizeMode = ResizeMode.stretch
    public var resample = Resample.bicubic
    /// The middle that is kept after resizing, in pixels; nil keeps all. Where the picture is smaller, `background` is added.
    public var cropSize: Size?
    /// Whether `cropSize` is heeded.
    public var doCenterCrop = true
    /// Red, green and blue, 0 to 255: what shows through transparency, and what padding is filled with.
    public var background: [Double] = [255, 255, 255]
    public var doRescale = true
    /// What pixels, 0 to 255, are multiplied by.
    public var rescaleFactor = 1.0 / 255
    public var doNormalize = true
    /// Subtracted from the rescaled red, green and blue.
    public var imageMean: [Double] = [0.5, 0.5, 0.5]
    /// What the result is divided by.
    public var imageStd: [Double] = [0.5, 0.5, 0.5]
    /// Pictures with more pixels are refused before decoding.
    public var maxPixels = PictureLimits().maxPixels
    /// Larger files are refused before reading.
    public var maxBytes = PictureLimits().maxBytes

    public init() {}

    /// The size of what comes out; nil where pictures keep their own.
    public var outputSize: Size? {
      if doCenterCrop, let cropSize { return cropSize }
      return doResize ? size : nil
    }

    public var limits: PictureLimits { PictureLimits(maxPixels: maxPixels, maxBytes: maxBytes) }

    /// Reads and checks a `preprocessor_config.json`.
    ///
    /// - Throws: `PictureError` that names the file and the field.
    public init(contentsOf url: URL) throws {
      do {
        self = try JSONDecoder().decode(Self.self, from: Data(contentsOf: url))
        try validate()
      } catch let error as PictureError {
        throw PictureError(error.reason, "\(url.path): \(error.description)")
      } catch let error as DecodingError {
        throw PictureError(.invalidArgument, "\(url.path): \(error.sentence)")
      } catch {
        throw PictureError(.unreadable, "cannot read \(url.path): \(error.localizedDescription)")
      }
    }

    /// Writes a `preprocessor_config.json`.
    public func write(to url: URL) throws {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
      try AtomicFile.write(encoder.encode(self) + Data("\n".utf8), to: url)
    }
  }
}

// MARK: - Checks

extension ImageProcessor.Configuration {
  /// The longest side that is resized to.
  static let maxSide = 16384

  /// - Throws: `PictureError` for the first field that makes no sense.
  public func validate() throws {
    try Self.check(size, "size")
    if doCenterCrop, let cropSize {
      try Self.check(cropSize, "crop_size")
      guard !doResize || (cropSize.height <= size.height && cropSize.width <= size.width) else {
        throw PictureError(
          .invalidArgument,
          "crop_size must fit in size (\(size.height) x \(size.width)), got \(cropSize.height) x \(cropSize.width)"
        )
      }
    }
    try Self.check(background, "background", each: "in 0...255") { (0...255).contains($0) }
    try Self.check([rescaleFactor], "rescale_factor", count: 1, each: "finite and above 0") {
      $0.isFinite && $0 > 0
    }
    try Self.check(imageMean, "image_mean", each: "finite") { $0.isFinite }
    try Self.check(imageStd, "image_std", each: "finite and above 0") { $0.isFinite && $0 > 0 }
    for (limit, name) in [(maxPixels, "max_pixels"), (maxBytes, "max_bytes")] where limit < 1 {
      throw PictureError(.invalidArgument, "\(name) must be above 0, got \(limit)")
    }
  }

  private static func check(_ size: Size, _ name: String) throws {
    guard (1...maxSide).contains(size.height), (1...maxSide).contains(size.width) else {
      throw PictureError(
        .invalidArgument,
        "\(name) must have a height and a width in 1...\(maxSide), got \(size.height) x \(size.width)")
    }
  }

  private static func check(
    _ values: [Double], _ name: String, count: Int = 3, each: String, isValid: (Double) -> Bool
  ) throws {
    guard values.count == count, values.allSatisfy(isValid) else {
      let wanted = count == 1 ? "be" : "hold \(count) numbers (red, green, blue), each"
      let got = values.map { "\($0)" }.joined(separator: ", ")
      throw PictureError(.invalidArgument, "\(name) must \(wanted) \(each), got \(got)")
    }
  }
}

// MARK: - JSON

extension ImageProcessor.Configuration {
  enum CodingKeys: String, CodingKey, CaseIterable {
    case doResize = "do_resize"
    case size
    case resizeMode = "resize_mode"
    case resample
    case cropSize = "crop_size"
    case doCenterCrop = "do_center_crop"
    case background
    case doRescale = "do_rescale"
    case rescaleFactor = "rescale_factor"
    case doNormalize = "do_normalize"
    case imageMean = "image_mean"
    case imageStd = "image_std"
    case maxPixels = "max_pixels"
    case maxBytes = "max_bytes"
  }

  /// Fields of Hugging Face's files that say nothing about pixels, or what is done anyway.
  private static let ignored: Set<String> = [
    "image_processor_type", "feature_extractor_type", "processor_class", "do_convert_rgb",
  ]

  public init(from decoder: any Decoder) throws {
    try decoder.refuseUnknownKeys(besides: CodingKeys.self, ignoring: Self.ignored)
    let fields = try decoder.container(keyedBy: CodingKeys.self)
    try fields.read(&doResize, .doResize)
    try fields.read(&size, .size)
    try fields.read(&cropSize, .cropSize)
    try fields.read(&doCenterCrop, .doCenterCrop)
    try fields.read(&background, .background)
    try fields.read(&doRescale, .doRescale)
    try fields.read(&rescaleFactor, .rescaleFactor)
    try fields.read(&doNormalize, .doNormalize)
    try fields.read(&imageMean, .imageMean)
    try fields.read(&imageStd, .imageStd)
    try fields.read(&maxPixels, .maxPixels)
    try fields.read(&maxBytes, .maxBytes)
    if let name = try fields.decodeIfPresent(String.self, forKey: .resizeMode) {
      guard let mode = ResizeMode(rawValue: name) else {
        let allowed = ResizeMode.allCases.map(\.rawValue).joined(separator: ", ")
        throw PictureError(.invalidArgument, "resize_mode must be one of \(allowed), got \(name)")
      }
      resizeMode = mode
    }
    if let number = try fields.decodeIfPresent(Int.self, forKey: .resample) {
      guard let filter = Resample(rawValue: number), Resample.own.contains(filter) else {
        let allowed = Resample.own.map { "\($0.rawValue) (\($0))" }.joined(separator: ", ")
        throw PictureError(.invalidArgument, "resample must be one of \(allowed), got \(number)")
      }
      resample = filter
    }
    try validate()
  }
}

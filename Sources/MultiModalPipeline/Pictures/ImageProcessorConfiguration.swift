import Foundation
import Torch

extension ImageProcessor {
  /// What to do with a picture before a model sees it: the content of `preprocessor_config.json`.
  ///
  /// There are two kinds of file. One that names a class (`image_processor_type` or, older, `feature_extractor_type`) is Hugging
  /// Face's: pictures are made as that class makes them with Pillow (see `HuggingFaceSteps`). Any other is this package's own, in
  /// Hugging Face's field names where those exist: libvips' filters, colours by the picture's profile, alpha over `background`.
  /// In both a missing field has its default, and an unknown one is refused, because it may be a misspelt one.
  public struct Configuration: Codable, Equatable, Sendable {
    /// Of a picture, in pixels.
    public struct Size: Codable, Equatable, Sendable {
      /// Rows.
      public var height: Int
      /// Columns.
      public var width: Int

      /// In pixels.
      public init(height: Int, width: Int) {
        self.height = height
        self.width = width
      }
    }

    /// How a picture of one shape becomes one of another.
    public enum ResizeMode: String, CaseIterable, Sendable {
      /// Height and width are scaled each on its own.
      case stretch
      /// Scaled until it covers the size; what stands out on both sides is cut off.
      case crop
      /// Scaled until it fits in the size; the rest is `background`.
      case pad
    }

    /// The filter, by the number that Pillow gives it.
    public enum Resample: Int, CaseIterable, Sendable {
      /// The nearest pixel.
      case nearest = 0
      /// Lanczos' windowed sinc, over three pixels on each side.
      case lanczos = 1
      /// Straight lines.
      case bilinear = 2
      /// Cubic curves.
      case bicubic = 3
      /// The mean of what a pixel covers. Hugging Face's kind alone has it.
      case box = 4
      /// Sharper than `bilinear`. Hugging Face's kind alone has it.
      case hamming = 5

      /// Those that libvips has.
      static let own: [Self] = [.nearest, .lanczos, .bilinear, .bicubic]
    }

    /// What makes the pictures of a Hugging Face checkpoint; nil for this package's own kind.
    public var huggingFace: HuggingFaceSteps?

    /// Whether pictures become `size`.
    public var doResize = true
    /// The size after resizing, in pixels.
    public var size = Size(height: 256, width: 256)
    /// This package's own kind alone has it.
    public var resizeMode = ResizeMode.stretch
    /// How pictures are resized.
    public var resample = Resample.bicubic
    /// The middle that is kept after resizing, in pixels; nil keeps all. Where the picture is smaller, `background` is added, or
    /// black in Hugging Face's kind.
    public var cropSize: Size?
    /// Whether `cropSize` is heeded.
    public var doCenterCrop = true
    /// Red, green and blue, 0 to 255: what shows through transparency, and what padding is filled with. This package's own kind
    /// alone has it.
    public var background: [Double] = [255, 255, 255]
    /// Whether pixels are multiplied by `rescaleFactor`.
    public var doRescale = true
    /// What pixels, 0 to 255, are multiplied by.
    public var rescaleFactor = 1.0 / 255
    /// Whether `imageMean` and `imageStd` are heeded.
    public var doNormalize = true
    /// Subtracted from the rescaled red, green and blue, or grey where there is one channel.
    public var imageMean: [Double] = [0.5, 0.5, 0.5]
    /// What the result is divided by.
    public var imageStd: [Double] = [0.5, 0.5, 0.5]
    /// Pictures with more pixels are refused before decoding.
    public var maxPixels = PictureLimits().maxPixels
    /// Larger files are refused before reading.
    public var maxBytes = PictureLimits().maxBytes

    /// 256 x 256, from -1 to 1.
    public init() {}

    /// The size of what comes out; nil where it depends on the picture.
    public var outputSize: Size? {
      if let huggingFace { return huggingFace.outputSize(self) }
      if doCenterCrop, let cropSize { return cropSize }
      return doResize ? size : nil
    }

    /// What is refused before it is read.
    public var limits: PictureLimits { PictureLimits(maxPixels: maxPixels, maxBytes: maxBytes) }

    /// Reads and checks a `preprocessor_config.json`, or the part of a newer `processor_config.json` that is about pictures.
    ///
    /// - Throws: `PictureError` that names the file and the field.
    public init(contentsOf url: URL) throws {
      do {
        self = try JSONDecoder().decode(File.self, from: InputFile.json(url)).configuration
      } catch let error as PictureError {
        throw PictureError(error.reason, "\(url.path): \(error.description)")
      } catch let error as DecodingError {
        throw PictureError(.invalidArgument, "\(url.path): \(error.sentence)")
      } catch {
        throw PictureError(.unreadable, error.localizedDescription)
      }
    }

    /// Reads and checks what a model folder says: in `processor_config.json` under `image_processor`, where it has that, and
    /// otherwise in `preprocessor_config.json`.
    ///
    /// - Throws: `PictureError` that names the file and the field.
    public init(folder: URL) throws {
      let newer = folder.appendingPathComponent("processor_config.json")
      struct Processor: Decodable {
        let image_processor: Present?
        struct Present: Decodable {}
      }
      let processor = try? JSONDecoder().decode(Processor.self, from: Data(contentsOf: newer))
      try self.init(
        contentsOf: processor?.image_processor == nil
          ? folder.appendingPathComponent("preprocessor_config.json") : newer)
    }

    /// Writes a `preprocessor_config.json`.
    public func write(to url: URL) throws {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
      try AtomicFile.write(encoder.encode(self) + Data("\n".utf8), to: url)
    }
  }
}

// MARK: - JSON

/// A configuration, by itself or under `image_processor`.
private struct File: Decodable {
  let configuration: ImageProcessor.Configuration

  private enum Field: String, CodingKey {
    case imageProcessor = "image_processor"
  }

  init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Field.self)
    configuration =
      try fields.decodeIfPresent(ImageProcessor.Configuration.self, forKey: .imageProcessor)
      ?? .init(from: decoder)
  }
}

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

  /// Reads the fields; refuses what is not known.
  public init(from decoder: any Decoder) throws {
    if let type = try HuggingFaceType(decoder) {
      try self.init(type, from: decoder)
    } else {
      try self.init(own: decoder)
    }
    try validate()
  }

  /// Writes the fields of its kind.
  public func encode(to encoder: any Encoder) throws {
    if let huggingFace { try encode(huggingFace, to: encoder) } else { try encodeOwn(to: encoder) }
  }

  private init(own decoder: any Decoder) throws {
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
    resizeMode = try fields.name(.resizeMode) ?? resizeMode
    resample = try fields.number(.resample, of: Resample.own) ?? resample
  }

  private func encodeOwn(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(doResize, forKey: .doResize)
    try fields.encode(size, forKey: .size)
    try fields.encode(resizeMode.rawValue, forKey: .resizeMode)
    try fields.encode(resample.rawValue, forKey: .resample)
    try fields.encodeIfPresent(cropSize, forKey: .cropSize)
    try fields.encode(doCenterCrop, forKey: .doCenterCrop)
    try fields.encode(background, forKey: .background)
    try fields.encode(doRescale, forKey: .doRescale)
    try fields.encode(rescaleFactor, forKey: .rescaleFactor)
    try fields.encode(doNormalize, forKey: .doNormalize)
    try fields.encode(imageMean, forKey: .imageMean)
    try fields.encode(imageStd, forKey: .imageStd)
    try fields.encode(maxPixels, forKey: .maxPixels)
    try fields.encode(maxBytes, forKey: .maxBytes)
  }
}

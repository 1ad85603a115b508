import Foundation
import MultiModalModel
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

    /// The size of what comes out, the largest where there are several; nil where the picture alone decides.
    public var outputSize: Size? {
      if let huggingFace { return huggingFace.outputSize(self) }
      if doCenterCrop, let cropSize { return cropSize }
      return doResize ? size : nil
    }

    /// All sizes that may come out, the largest first; none where the picture alone decides.
    public var outputSizes: [Size] {
      guard let largest = outputSize else { return [] }
      let widths = Set(huggingFace?.widths ?? []).subtracting([largest.width])
      return [largest] + widths.sorted(by: >).map { Size(height: largest.height, width: $0) }
    }

    /// What is refused before it is read.
    public var limits: PictureLimits { PictureLimits(maxPixels: maxPixels, maxBytes: maxBytes) }

    /// Reads and checks a `preprocessor_config.json`, or the part of a newer `processor_config.json` that is about pictures.
    ///
    /// - Throws: `PictureError` that names the file and the field.
    public init(contentsOf url: URL) throws { self = try Self.read(url).configuration }

    /// - Returns: also whether the file has this package's own field for how pictures become the size
    private static func read(_ url: URL) throws -> (configuration: Self, saysLayout: Bool) {
      do {
        let json = try JSONDecoder().decode(JSONValue.self, from: InputFile.json(url))
        let all = try JSONFields(.init(json), refusal: PictureError.field)
        let fields = try all.object("image_processor") ?? all
        return (try Self(fields), fields["resize_mode"] != nil)
      } catch let error as PictureError {
        throw PictureError(error.reason, "\(url.path): \(error.description)")
      } catch {
        throw PictureError(.unreadable, error.localizedDescription)
      }
    }

    /// Reads and checks what a model folder says: in `processor_config.json` under `image_processor`, where it has that, and
    /// otherwise in `preprocessor_config.json`.
    ///
    /// - Throws: `PictureError` that names the file and the field.
    public init(folder: URL) throws { self = try Self.read(folder: folder).configuration }

    /// - Returns: also whether the file has this package's own field for how pictures become the size
    static func read(folder: URL) throws -> (configuration: Self, saysLayout: Bool) {
      let newer = folder.appendingPathComponent("processor_config.json")
      let fields = try? JSONDecoder().decode([String: JSONValue].self, from: Data(contentsOf: newer))
      return try read(
        fields?["image_processor"] ?? .null == .null
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

extension ImageProcessor.Configuration {
  /// Fields of Hugging Face's files that say where and in what layout to compute, or what is done anyway.
  private static let harmless: Set<String> = [
    "feature_extractor_type", "processor_class", "do_convert_rgb", "data_format", "input_data_format",
    "return_tensors", "device", "disable_grouping", "image_seq_length", "model_input_names",
  ]

  /// Reads the fields; refuses what is not known.
  public init(from decoder: any Decoder) throws {
    try self.init(JSONFields(from: decoder, refusal: PictureError.field))
  }

  private init(_ fields: JSONFields) throws {
    self.init()
    if let type = try HuggingFaceType(fields) {
      self = Self(type)
      try read(fields, type)
    } else {
      try readOwn(fields)
    }
    doResize = try fields.bool("do_resize") ?? doResize
    doCenterCrop = try fields.bool("do_center_crop") ?? doCenterCrop
    doRescale = try fields.bool("do_rescale") ?? doRescale
    rescaleFactor = try fields.number("rescale_factor") ?? rescaleFactor
    doNormalize = try fields.bool("do_normalize") ?? doNormalize
    maxPixels = try fields.integer("max_pixels") ?? maxPixels
    maxBytes = try fields.integer("max_bytes") ?? maxBytes
    let filters = huggingFace == nil ? Resample.own : Resample.allCases
    resample =
      try fields.read(
        "resample", "one of \(filters.map { "\($0.rawValue) (\($0))" }.joined(separator: ", "))"
      ) {
        $0.integer.flatMap(Resample.init).flatMap { filters.contains($0) ? $0 : nil }
      } ?? resample
    try fields.refuseUnknown(besides: Self.harmless)
    try validate()
  }

  private mutating func readOwn(_ fields: JSONFields) throws {
    func size(_ name: String) throws -> Size? {
      try fields.read(name, "an object of a height and a width") {
        if case .size(let size)? = GivenSize($0) { size } else { nil }
      }
    }
    self.size = try size("size") ?? self.size
    cropSize = try size("crop_size")
    resizeMode = try fields.choice("resize_mode") ?? resizeMode
    background = try fields.numbers("background") ?? background
    imageMean = try fields.numbers("image_mean") ?? imageMean
    imageStd = try fields.numbers("image_std") ?? imageStd
  }

  /// Writes the fields of its kind.
  public func encode(to encoder: any Encoder) throws {
    var fields: [String: JSONValue] = [
      "do_resize": .bool(doResize), "size": size.json, "resample": .int(resample.rawValue),
      "do_rescale": .bool(doRescale), "rescale_factor": .double(rescaleFactor),
      "do_normalize": .bool(doNormalize), "image_mean": .array(imageMean.map(JSONValue.double)),
      "image_std": .array(imageStd.map(JSONValue.double)),
    ]
    fields["crop_size"] = cropSize?.json
    let own: [String: JSONValue] = [
      "resize_mode": .string(resizeMode.rawValue), "do_center_crop": .bool(doCenterCrop),
      "background": .array(background.map(JSONValue.double)), "max_pixels": .int(maxPixels),
      "max_bytes": .int(maxBytes),
    ]
    try fields.merging(huggingFace.map(self.fields) ?? own) { $1 }.encode(to: encoder)
  }
}

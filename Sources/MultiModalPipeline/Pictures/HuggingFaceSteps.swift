extension ImageProcessor.Configuration {
  /// Hugging Face's classes of image processors, by their names in `image_processor_type`. The older
  /// `ViTFeatureExtractor` and the like, `ViTImageProcessorFast` and `ViTImageProcessorPil` are the same to this package.
  public enum HuggingFaceType: String, CaseIterable, Sendable {
    /// Of ViT and TrOCR.
    case vit = "ViTImageProcessor"
    /// Of DeiT.
    case deit = "DeiTImageProcessor"
    /// Of Donut.
    case donut = "DonutImageProcessor"
    /// Of BLIP.
    case blip = "BlipImageProcessor"
  }

  /// What Hugging Face's kind of configuration has besides what both kinds have.
  ///
  /// A picture is decoded, turned upright, its border cut off, made grey, turned to lie as `size` does, resized, reduced to fit,
  /// padded or cropped, rescaled, normalised and padded again, each where it is asked for. Filters, rounding and colours are
  /// Pillow's: profiles are passed over, and alpha is dropped unless there is a `background`.
  public struct HuggingFaceSteps: Equatable, Sendable {
    /// Lengths of a resized picture's sides, where it keeps its shape.
    public struct Edges: Equatable, Sendable {
      /// What the shorter side becomes.
      public var shortest: Int
      /// What the longer side must not exceed; nil for any length. The shorter one then becomes less.
      public var longest: Int?

      /// In pixels.
      public init(shortest: Int, longest: Int? = nil) {
        self.shortest = shortest
        self.longest = longest
      }
    }

    /// How levels of grey are rounded, and the shorter side where `Edges.longest` decides.
    public enum Rounding: String, CaseIterable, Sendable {
      /// As Pillow and transformers do.
      case nearest
      /// As torchvision's `Grayscale` and `Resize(size, max_size:)` do.
      case down
    }

    /// The class whose steps and defaults these are.
    public var type: HuggingFaceType
    /// Of what comes out: 3, or 1 for grey.
    public var channels = 3
    /// What pictures are resized to, instead of `size`.
    public var edges: Edges?
    /// How levels of grey and lengths are rounded.
    public var rounding = Rounding.nearest
    /// Donut: whether what was resized until its shorter side is `size`'s is reduced to fit in `size`.
    public var doThumbnail = false
    /// Donut: whether pictures that lie are turned by a quarter where `size` stands, and the other way round.
    public var doAlignLongAxis = false
    /// Whether what is missing is added: in Donut black on all sides, to `size`; in the others 0 to the right and below, after
    /// normalising, to `padSize`.
    public var doPad = false
    /// What pictures are padded to, in pixels; nil for no padding. Not for Donut.
    public var padSize: Size?
    /// Whether pictures are turned as their EXIF orientation says. Hugging Face's code never does.
    public var doExifTranspose = true
    /// Narrower than `size`: a picture becomes `size.height` high and gets the least of these widths, or that of `size`, at which
    /// it is not squeezed more than `squeeze` times. Short words then need fewer patches than long ones. Not for Donut.
    public var widths: [Int] = []
    /// How many times narrower against its shape a picture may become where `widths` decide.
    public var squeeze = 1.0
    /// Red, green and blue, 0 to 255, that show through transparency. Hugging Face's code drops alpha, as nil does.
    public var background: [Double]?
    /// Whether pictures lose their colours, whatever `channels` is.
    public var doConvertGrayscale = false
    /// Whether rows and columns at the edges that have one colour, to about 15 of 255, are cut off.
    public var doTrimBorder = false

    /// The class's defaults, where they differ from this type's.
    public init(_ type: HuggingFaceType) {
      self.type = type
      doThumbnail = type == .donut
      doPad = type == .donut
    }

    /// What a picture of that shape is resized to.
    func size(of picture: Raster, _ size: Size) -> Size {
      if let edges { return edges.size(of: picture, rounding) }
      let natural = Double(picture.width * size.height) / Double(picture.height)
      let width = widths.filter { $0 < size.width && natural <= Double($0) * squeeze }.min()
      return Size(height: size.height, width: width ?? size.width)
    }

    /// The size of what comes out, the largest of them; nil where the picture alone decides.
    func outputSize(_ configuration: ImageProcessor.Configuration) -> Size? {
      if type == .donut { return doPad ? configuration.size : nil }
      if doPad, let padSize { return padSize }
      if configuration.doCenterCrop, let cropSize = configuration.cropSize { return cropSize }
      return configuration.doResize && edges == nil ? configuration.size : nil
    }
  }

  /// The class's defaults.
  public init(_ type: HuggingFaceType) {
    huggingFace = HuggingFaceSteps(type)
    doCenterCrop = type == .deit
    switch type {
    case .vit:
      size = Size(height: 224, width: 224)
      resample = .bilinear
    case .deit:
      size = Size(height: 256, width: 256)
      cropSize = Size(height: 224, width: 224)
    case .donut:
      size = Size(height: 2560, width: 1920)
      resample = .bilinear
    case .blip:
      size = Size(height: 384, width: 384)
      // CLIP's.
      imageMean = [0.48145466, 0.4578275, 0.40821073]
      imageStd = [0.26862954, 0.26130258, 0.27577711]
    }
  }
}

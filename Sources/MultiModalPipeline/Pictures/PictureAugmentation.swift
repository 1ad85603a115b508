import Torch
import CVips
import MultiModalModel

/// Random views of pictures for training: place, size, background, rotation, colours, blur, noise and JPEG.
public struct PictureAugmentation: Sendable {
  /// Ranges are [least, most]; each view draws from them evenly. In JSON a missing field has its default, an unknown one is
  /// refused.
  public struct Configuration: Codable, Sendable, Equatable {
    /// The picture's longer side, as a share of the view's side.
    public var size = [0.6, 1.0]
    /// The largest rotation either way, in degrees.
    public var degrees = 12.0
    /// The share of views on white, as pages and screens show pictures; the others have drawn colours.
    public var white = 0.25
    /// The share of the others with a gradient as background; the rest have one colour.
    public var gradient = 0.5
    /// The largest change of a channel's contrast, as a share.
    public var contrast = 0.2
    /// The largest change of brightness, of 255.
    public var brightness = 20.0
    /// The share of views that are blurred, and the standard deviation in pixels.
    public var blurShare = 0.3
    /// From and to, in pixels.
    public var blur = [0.3, 0.8]
    /// The share of views with noise, and its standard deviation, of 255.
    public var noiseShare = 0.5
    /// From and to, of 255.
    public var noise = [1.0, 8.0]
    /// The share of views that went through JPEG, and its quality from 1 to 100.
    public var jpegShare = 0.7
    /// From and to.
    public var jpegQuality = [50, 95]
    /// The share of views that are mirrored; 0 where left and right mean something.
    public var flipShare = 0.0

    enum CodingKeys: String, CodingKey {
      case size, degrees, white, gradient, contrast, brightness, blur, noise
      case blurShare = "blur_share"
      case noiseShare = "noise_share"
      case jpegShare = "jpeg_share"
      case jpegQuality = "jpeg_quality"
      case flipShare = "flip_share"
    }

    /// The defaults.
    public init() {}

    /// Reads the fields; refuses what is not known.
    public init(from decoder: any Decoder) throws {
      let fields = try JSONFields(from: decoder, refusal: PictureError.field)
      func read(_ value: inout Double, _ key: CodingKeys) throws {
        value = try fields.number(key.rawValue) ?? value
      }
      func read(_ values: inout [Double], _ key: CodingKeys) throws {
        values = try fields.numbers(key.rawValue) ?? values
      }
      try read(&size, .size)
      try read(&degrees, .degrees)
      try read(&white, .white)
      try read(&gradient, .gradient)
      try read(&contrast, .contrast)
      try read(&brightness, .brightness)
      try read(&blurShare, .blurShare)
      try read(&blur, .blur)
      try read(&noiseShare, .noiseShare)
      try read(&noise, .noise)
      try read(&jpegShare, .jpegShare)
      jpegQuality =
        try fields.read(CodingKeys.jpegQuality.rawValue, "a list of whole numbers") { $0.list(\.integer) }
        ?? jpegQuality
      try read(&flipShare, .flipShare)
      try fields.refuseUnknown()
      try validate()
    }

    /// - Throws: `PictureError` that names the first field out of range.
    public func validate() throws {
      func range<Value: Comparable>(_ name: String, _ values: [Value], _ allowed: ClosedRange<Value>) throws {
        guard values.count == 2, values[0] <= values[1], values.allSatisfy(allowed.contains) else {
          throw PictureError(
            .invalidArgument,
            "augmentation.\(name) must be [least, most] from \(allowed.lowerBound) to \(allowed.upperBound), got "
              + "\(values)")
        }
      }
      try range("size", size, 0.05...4)
      try range("blur", blur, 0...20)
      try range("noise", noise, 0...255)
      try range("jpeg_quality", jpegQuality, 1...100)
      let shares = [
        ("white", white), ("gradient", gradient), ("blur_share", blurShare), ("noise_share", noiseShare),
        ("jpeg_share", jpegShare),
        ("flip_share", flipShare), ("contrast", contrast),
      ]
      for (name, share) in shares {
        guard (0...1).contains(share) else {
          throw PictureError(.invalidArgument, "augmentation.\(name) must be in [0, 1], got \(share)")
        }
      }
      guard (0...180).contains(degrees), (0...255).contains(brightness) else {
        throw PictureError(
          .invalidArgument,
          "augmentation.degrees must be in [0, 180] and brightness in [0, 255], got \(degrees) and \(brightness)"
        )
      }
    }
  }

  /// How views are drawn.
  public let configuration: Configuration
  private let height: Int
  private let width: Int

  /// - Parameters:
  ///   - height: of a view, in pixels; the model's input
  ///   - width: of a view, in pixels
  public init(_ configuration: Configuration, height: Int, width: Int) throws {
    try configuration.validate()
    let allowed = 1...ImageProcessor.Configuration.maxSide
    guard allowed.contains(height), allowed.contains(width) else {
      throw PictureError(
        .invalidArgument,
        "a view must have a height and a width from 1 to \(allowed.upperBound), got \(height) x \(width)")
    }
    self.configuration = configuration
    self.height = height
    self.width = width
  }

  /// Draws a view of a picture.
  public func callAsFunction(_ picture: Picture, using generator: inout some RandomNumberGenerator) throws
    -> Picture
  {
    let view = drawView(of: picture, using: &generator)
    let blur = happens(configuration.blurShare, &generator) ? draw(configuration.blur, &generator) : 0
    let quality =
      happens(configuration.jpegShare, &generator)
      ? Int.random(in: configuration.jpegQuality[0]...configuration.jpegQuality[1], using: &generator) : nil
    var result = try render(view, of: picture)
    if blur > 0 { result = try result.withImage { try Picture($0.blurred(sigma: blur)) } }
    if let quality { result = try Picture(bytes: result.jpeg(quality: quality)) }
    return result
  }

  private func render(_ view: CVipsView, of picture: Picture) throws -> Picture {
    let count = 3 * height * width
    let drawn = picture.pixels.withUnsafeBufferPointer { source in
      [UInt8](unsafeUninitializedCapacity: count) { out, written in
        var pixels = CVipsPixels(
          data: source.baseAddress, width: Int32(picture.width), height: Int32(picture.height),
          bands: Int32(picture.channels))
        var view = view
        cvips_draw_view(&pixels, &view, out.baseAddress)
        written = count
      }
    }
    return try Picture(height: height, width: width, channels: 3, pixels: drawn)
  }

  private func draw(_ range: [Double], _ generator: inout some RandomNumberGenerator) -> Double {
    .random(in: range[0]...range[1], using: &generator)
  }

  private func happens(_ share: Double, _ generator: inout some RandomNumberGenerator) -> Bool {
    .random(in: 0..<1, using: &generator) < share
  }

  private func drawView(of picture: Picture, using generator: inout some RandomNumberGenerator) -> CVipsView {
    func draw(_ range: [Double]) -> Double { self.draw(range, &generator) }
    func happens(_ share: Double) -> Bool { self.happens(share, &generator) }
    let settings = configuration
    var view = CVipsView()
    view.width = Int32(width)
    view.height = Int32(height)
    let (width, height) = (Double(width), Double(height))
    let size = draw(settings.size) * min(width, height)
    view.scale = size / Double(max(picture.width, picture.height))
    view.degrees = draw([-settings.degrees, settings.degrees])
    func place(_ length: Double) -> Double {
      let room = abs(length - size) / 2
      return length / 2 + draw([-room, room])
    }
    view.center_x = place(width)
    view.center_y = place(height)
    view.flip = happens(settings.flipShare)

    func colour() -> (Double, Double, Double) { (draw([0, 255]), draw([0, 255]), draw([0, 255])) }
    let onWhite = happens(settings.white)
    view.background = onWhite ? (255, 255, 255) : colour()
    if !onWhite, happens(settings.gradient) {
      let end = colour()
      let along = draw([0, 1])
      let change = (end.0 - view.background.0, end.1 - view.background.1, end.2 - view.background.2)
      func slope(_ share: Double) -> (Double, Double, Double) {
        (change.0 * share, change.1 * share, change.2 * share)
      }
      view.background_x = slope(along / width)
      view.background_y = slope((1 - along) / height)
    }
    func contrast() -> Double { 1 + draw([-settings.contrast, settings.contrast]) }
    let shared = contrast()
    // Channels differ by a quarter of what all change by.
    func channel() -> Double { shared * (1 + (contrast() - 1) / 4) }
    view.contrast = (channel(), channel(), channel())
    view.brightness = draw([-settings.brightness, settings.brightness])
    if happens(settings.noiseShare) { view.noise = draw(settings.noise) }
    view.noise_seed = .random(in: 0 ... .max, using: &generator)
    return view
  }
}

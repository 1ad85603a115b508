import CVips

/// Random views of pictures for training: place, size, background, rotation, colours, blur, noise and JPEG.
public struct PictureAugmentation: Sendable {
  /// Ranges are [least, most]; each view draws from them evenly.
  public struct Configuration: Codable, Sendable, Equatable {
    /// Height and width of a view in pixels; those of the model's input.
    public var height = 64
    public var width = 64
    /// The picture's longer side, as a share of the view's side.
    public var size = [0.6, 1.0]
    /// The largest rotation either way, in degrees.
    public var degrees = 12.0
    /// The share of views with a gradient as background; the others have one colour.
    public var gradient = 0.5
    /// The largest change of a channel's contrast, as a share.
    public var contrast = 0.2
    /// The largest change of brightness, of 255.
    public var brightness = 20.0
    /// The share of views that are blurred, and the standard deviation in pixels.
    public var blurShare = 0.3
    public var blur = [0.3, 0.8]
    /// The share of views with noise, and its standard deviation, of 255.
    public var noiseShare = 0.5
    public var noise = [1.0, 8.0]
    /// The share of views that went through JPEG, and its quality from 1 to 100.
    public var jpegShare = 0.7
    public var jpegQuality = [50, 95]
    /// The share of views that are mirrored; 0 where left and right mean something.
    public var flipShare = 0.0

    enum CodingKeys: String, CodingKey {
      case height, width, size, degrees, gradient, contrast, brightness, blur, noise
      case blurShare = "blur_share"
      case noiseShare = "noise_share"
      case jpegShare = "jpeg_share"
      case jpegQuality = "jpeg_quality"
      case flipShare = "flip_share"
    }

    public init() {}

    /// - Throws: `PictureError` that names the first field out of range.
    public func validate() throws {
      func range<Value: Comparable>(_ name: String, _ values: [Value], _ allowed: ClosedRange<Value>) throws {
        guard values.count == 2, values[0] <= values[1], values.allSatisfy(allowed.contains) else {
          throw PictureError(
            "augmentation.\(name) must be [least, most] from \(allowed.lowerBound) to \(allowed.upperBound), got "
              + "\(values)")
        }
      }
      try range("size", size, 0.05...4)
      try range("blur", blur, 0...20)
      try range("noise", noise, 0...255)
      try range("jpeg_quality", jpegQuality, 1...100)
      let shares = [
        ("gradient", gradient), ("blur_share", blurShare), ("noise_share", noiseShare),
        ("jpeg_share", jpegShare),
        ("flip_share", flipShare), ("contrast", contrast),
      ]
      for (name, share) in shares {
        guard (0...1).contains(share) else {
          throw PictureError("augmentation.\(name) must be in [0, 1], got \(share)")
        }
      }
      guard (0...180).contains(degrees), (0...255).contains(brightness) else {
        throw PictureError(
          "augmentation.degrees must be in [0, 180] and brightness in [0, 255], got \(degrees) and \(brightness)"
        )
      }
      guard (1...16384).contains(height), (1...16384).contains(width) else {
        throw PictureError("augmentation.height and width must be from 1 to 16384, got \(height) x \(width)")
      }
    }
  }

  public let configuration: Configuration

  public init(_ configuration: Configuration) throws {
    try configuration.validate()
    self.configuration = configuration
  }

  /// Draws a view of a picture, of the configuration's height and width.
  public func callAsFunction(_ picture: Picture, using generator: inout some RandomNumberGenerator) throws
    -> Picture
  {
    var view = drawView(of: picture, using: &generator)
    return Picture(
      owning: try Vips.pixels("no view of the picture can be drawn") { result in
        var source = picture.pixels
        return withExtendedLifetime(picture) { cv_view(&source, &view, &result) }
      })
  }

  private func drawView(of picture: Picture, using generator: inout some RandomNumberGenerator) -> CVView {
    func draw(_ range: [Double]) -> Double { .random(in: range[0]...range[1], using: &generator) }
    func happens(_ share: Double) -> Bool { .random(in: 0..<1, using: &generator) < share }
    let settings = configuration
    let (width, height) = (Double(settings.width), Double(settings.height))
    var view = CVView()
    view.width = Int32(settings.width)
    view.height = Int32(settings.height)
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
    view.background = colour()
    if happens(settings.gradient) {
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
    if happens(settings.blurShare) { view.blur = draw(settings.blur) }
    if happens(settings.noiseShare) { view.noise = draw(settings.noise) }
    view.noise_seed = .random(in: 0 ... .max, using: &generator)
    if happens(settings.jpegShare) {
      view.jpeg_quality = Int32(
        Int.random(in: settings.jpegQuality[0]...settings.jpegQuality[1], using: &generator))
    }
    return view
  }
}

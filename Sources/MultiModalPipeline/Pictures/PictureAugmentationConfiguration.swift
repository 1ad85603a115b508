extension PictureAugmentation {
  /// What may happen to a training picture. Each range is drawn from evenly, for every picture anew; in JSON a range is
  /// `[lowest, highest]`. A missing field has its default; an unknown one is refused.
  public struct Configuration: Codable, Equatable, Sendable {
    /// How often each kind of background is drawn, relative to the others.
    public struct Backgrounds: Codable, Equatable, Sendable {
      /// One colour.
      public var solid = 1.0
      /// From one colour to another, in any direction.
      public var gradient = 1.0
      /// Soft patches around one colour.
      public var noise = 1.0

      public init() {}
    }

    /// The picture's size, where 1 just fits the frame.
    public var scale = 0.6...1.0
    /// The part of its height or width by which the picture may leave the frame.
    public var overhang = 0.0
    /// Degrees, clockwise.
    public var rotation = -12.0...12.0
    /// How often left and right are exchanged, 0 to 1.
    public var flipProbability = 0.0
    public var backgrounds = Backgrounds()
    /// Factor on all values.
    public var brightness = 0.8...1.2
    /// Factor on the distance from middle grey.
    public var contrast = 0.8...1.2
    /// Factor on the distance from a pixel's own grey: 0 is black and white.
    public var saturation = 0.7...1.3
    /// Degrees on the colour wheel.
    public var hue = -6.0...6.0
    /// How often the result is blurred, 0 to 1.
    public var blurProbability = 0.3
    /// Standard deviation of the blur, in pixels of the result.
    public var blur = 0.3...1.0
    /// How often noise is added, 0 to 1.
    public var noiseProbability = 0.3
    /// Standard deviation of the noise, where white is 255.
    public var noise = 1.0...10.0
    /// How often the result goes through JPEG, 0 to 1.
    public var jpegProbability = 0.3
    /// Quality of that JPEG, 1 to 100.
    public var jpegQuality = 40...95

    public init() {}

    /// - Throws: `PictureError` for the first field that makes no sense.
    public func validate() throws {
      func check(_ isValid: Bool, _ name: CodingKeys, _ rule: String, _ got: Any) throws {
        if !isValid { throw PictureError(.invalidArgument, "\(name.rawValue) must be \(rule), got \(got)") }
      }
      func check(_ range: ClosedRange<Double>, _ name: CodingKeys, in allowed: ClosedRange<Double>) throws {
        let isValid = allowed.contains(range.lowerBound) && allowed.contains(range.upperBound)
        try check(isValid, name, "in \(allowed)", range)
      }
      try check(scale, .scale, in: 0.01...10)
      try check((0...1).contains(overhang), .overhang, "in 0...1", overhang)
      try check(rotation, .rotation, in: -360...360)
      try check(brightness, .brightness, in: 0...10)
      try check(contrast, .contrast, in: 0...10)
      try check(saturation, .saturation, in: 0...10)
      try check(hue, .hue, in: -360...360)
      try check(blur, .blur, in: 0...100)
      try check(noise, .noise, in: 0...255)
      for (probability, name) in [
        (flipProbability, CodingKeys.flipProbability), (blurProbability, .blurProbability),
        (noiseProbability, .noiseProbability), (jpegProbability, .jpegProbability),
      ] {
        try check((0...1).contains(probability), name, "in 0...1", probability)
      }
      try check(
        jpegQuality.lowerBound >= 1 && jpegQuality.upperBound <= 100, .jpegQuality, "in 1...100", jpegQuality)
      let weights = [backgrounds.solid, backgrounds.gradient, backgrounds.noise]
      try check(
        weights.allSatisfy { (0...1e6).contains($0) } && weights.contains { $0 > 0 }, .backgrounds,
        "weights in 0...1e6, one above 0", weights)
    }
  }
}

// MARK: - JSON

extension PictureAugmentation.Configuration {
  enum CodingKeys: String, CodingKey, CaseIterable {
    case scale, overhang, rotation
    case flipProbability = "flip_probability"
    case backgrounds, brightness, contrast, saturation, hue
    case blurProbability = "blur_probability"
    case blur
    case noiseProbability = "noise_probability"
    case noise
    case jpegProbability = "jpeg_probability"
    case jpegQuality = "jpeg_quality"
  }

  public init(from decoder: any Decoder) throws {
    try decoder.refuseUnknownKeys(besides: CodingKeys.self)
    let fields = try decoder.container(keyedBy: CodingKeys.self)
    try fields.read(&scale, .scale)
    try fields.read(&overhang, .overhang)
    try fields.read(&rotation, .rotation)
    try fields.read(&flipProbability, .flipProbability)
    try fields.read(&backgrounds, .backgrounds)
    try fields.read(&brightness, .brightness)
    try fields.read(&contrast, .contrast)
    try fields.read(&saturation, .saturation)
    try fields.read(&hue, .hue)
    try fields.read(&blurProbability, .blurProbability)
    try fields.read(&blur, .blur)
    try fields.read(&noiseProbability, .noiseProbability)
    try fields.read(&noise, .noise)
    try fields.read(&jpegProbability, .jpegProbability)
    try fields.read(&jpegQuality, .jpegQuality)
    try validate()
  }
}

extension PictureAugmentation.Configuration.Backgrounds {
  enum CodingKeys: String, CodingKey, CaseIterable {
    case solid, gradient, noise
  }

  public init(from decoder: any Decoder) throws {
    try decoder.refuseUnknownKeys(besides: CodingKeys.self)
    let fields = try decoder.container(keyedBy: CodingKeys.self)
    try fields.read(&solid, .solid)
    try fields.read(&gradient, .gradient)
    try fields.read(&noise, .noise)
  }
}

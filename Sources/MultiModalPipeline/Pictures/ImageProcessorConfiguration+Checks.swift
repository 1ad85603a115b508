extension ImageProcessor.Configuration {
  /// The longest side that is resized to.
  static let maxSide = 16384

  /// - Throws: `PictureError` for the first field that makes no sense.
  public func validate() throws {
    try Self.check(size, "size")
    if let huggingFace { try validate(huggingFace) } else { try validateOwn() }
    let channels = huggingFace?.channels ?? 3
    try Self.check([rescaleFactor], "rescale_factor", count: 1, each: "finite and above 0") {
      $0.isFinite && $0 > 0
    }
    try Self.check(imageMean, "image_mean", count: channels, each: "finite") { $0.isFinite }
    try Self.check(imageStd, "image_std", count: channels, each: "finite and above 0") {
      $0.isFinite && $0 > 0
    }
    for (limit, name) in [(maxPixels, "max_pixels"), (maxBytes, "max_bytes")] where limit < 1 {
      throw PictureError(.invalidArgument, "\(name) must be above 0, got \(limit)")
    }
  }

  private func validateOwn() throws {
    if doCenterCrop, let cropSize {
      try Self.check(cropSize, "crop_size")
      guard !doResize || (cropSize.height <= size.height && cropSize.width <= size.width) else {
        throw PictureError(
          .invalidArgument,
          "crop_size must fit in size (\(size.height) x \(size.width)), got \(cropSize.height) x \(cropSize.width)"
        )
      }
    }
    guard Resample.own.contains(resample) else {
      throw PictureError(
        .invalidArgument,
        "resample must be one of \(Resample.own.map { "\($0.rawValue) (\($0))" }.joined(separator: ", ")) where there is no "
          + "image_processor_type, got \(resample.rawValue)")
    }
    try Self.check(background: background)
  }

  private static func check(background: [Double]) throws {
    try check(background, "background", count: 3, each: "in 0...255") { (0...255).contains($0) }
  }

  private func validate(_ steps: HuggingFaceSteps) throws {
    guard steps.channels == 1 || steps.channels == 3 else {
      throw PictureError(.invalidArgument, "num_channels must be 1 or 3, got \(steps.channels)")
    }
    if let background = steps.background { try Self.check(background: background) }
    if let cropSize { try Self.check(cropSize, "crop_size") }
    if let padSize = steps.padSize { try Self.check(padSize, "pad_size") }
    if let edges = steps.edges {
      guard steps.type != .donut else {
        throw PictureError(.invalidArgument, "size must be a height and a width for \(steps.type.rawValue)")
      }
      let allowed = 1...Self.maxSide
      guard allowed.contains(edges.shortest), allowed.contains(edges.longest ?? 1) else {
        throw PictureError(
          .invalidArgument,
          "size must have edges in \(allowed), got \(edges.shortest) and \(edges.longest.map(String.init) ?? "none")"
        )
      }
    }
    try validateWidths(steps)
    guard steps.type != .donut || !doCenterCrop else {
      throw PictureError(
        .invalidArgument, "do_center_crop must be false for \(steps.type.rawValue), which pads")
    }
    guard steps.type == .donut || (!steps.doThumbnail && !steps.doAlignLongAxis) else {
      throw PictureError(
        .invalidArgument,
        "do_thumbnail and do_align_long_axis must be false for \(steps.type.rawValue): only Donut's have them"
      )
    }
  }

  private func validateWidths(_ steps: HuggingFaceSteps) throws {
    guard steps.squeeze.isFinite, steps.squeeze >= 1 else {
      throw PictureError(.invalidArgument, "squeeze must be finite and at least 1, got \(steps.squeeze)")
    }
    guard !steps.widths.isEmpty else { return }
    guard steps.type != .donut, steps.edges == nil, doResize, !doCenterCrop, !steps.doPad else {
      throw PictureError(
        .invalidArgument,
        "widths need a size of a height and a width, without cropping and padding, and not \(HuggingFaceType.donut.rawValue)"
      )
    }
    let allowed = 1...size.width
    guard steps.widths.allSatisfy(allowed.contains) else {
      throw PictureError(.invalidArgument, "widths must be in \(allowed), size's width, got \(steps.widths)")
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
    _ values: [Double], _ name: String, count: Int, each: String, isValid: (Double) -> Bool
  ) throws {
    guard values.count == count, values.allSatisfy(isValid) else {
      let single = values.count == 1 ? "be" : "be one number, because there is one channel,"
      let wanted = count == 1 ? single : "hold \(count) numbers (red, green, blue), each"
      let got = values.map { "\($0)" }.joined(separator: ", ")
      throw PictureError(.invalidArgument, "\(name) must \(wanted) \(each), got \(got)")
    }
  }
}

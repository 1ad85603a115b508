import MultiModalModel

/// Reading and writing Hugging Face's form of `preprocessor_config.json`.
extension ImageProcessor.Configuration {
  /// What this kind alone has.
  mutating func read(_ fields: JSONFields, _ type: HuggingFaceType) throws {
    var steps = HuggingFaceSteps(type)
    try readSizes(fields, &steps)
    try readChannels(fields, &steps)
    steps.doThumbnail = try fields.bool("do_thumbnail") ?? steps.doThumbnail
    steps.doAlignLongAxis = try fields.bool("do_align_long_axis") ?? steps.doAlignLongAxis
    steps.doPad = try fields.bool("do_pad") ?? steps.doPad
    try fields.expect("offset", "false, because values that are shifted are not supported") {
      $0.bool == false
    }
    // This package's own.
    steps.doExifTranspose = try fields.bool("do_exif_transpose") ?? steps.doExifTranspose
    steps.widths = try fields.read("widths", "a list of whole numbers") { $0.list(\.integer) } ?? []
    steps.squeeze = try fields.number("squeeze") ?? steps.squeeze
    steps.background = try fields.numbers("background")
    steps.doConvertGrayscale = try fields.bool("do_convert_grayscale") ?? steps.doConvertGrayscale
    steps.doTrimBorder = try fields.bool("do_trim_border") ?? steps.doTrimBorder
    steps.rounding = try fields.choice("rounding") ?? steps.rounding
    huggingFace = steps
  }

  private mutating func readSizes(_ fields: JSONFields, _ steps: inout HuggingFaceSteps) throws {
    let isSquare = try fields.bool("default_to_square") ?? true
    let forms = "a number, a list of two, height and width"
    switch try fields.read(
      "size", "\(forms), shortest_edge, or shortest_edge and longest_edge", GivenSize.init)
    {
    case nil: break
    case .side(let side)? where isSquare: size = Size(height: side, width: side)
    case .side(let side)?: steps.edges = .init(shortest: side)
    // Donut's lists are the other way round.
    case .list(let first, let second)?:
      size = steps.type == .donut ? Size(height: second, width: first) : Size(height: first, width: second)
    case .size(let both)?: size = both
    case .edges(let edges)?: steps.edges = edges
    }
    cropSize = try fields.read("crop_size", forms) { GivenSize($0)?.size } ?? cropSize
    steps.padSize = try fields.read("pad_size", forms) { GivenSize($0)?.size }
  }

  /// Means and deviations, which tell the number of channels where no field does.
  private mutating func readChannels(_ fields: JSONFields, _ steps: inout HuggingFaceSteps) throws {
    let channels = try fields.integer("num_channels") ?? (fields["image_mean"]?.array?.count == 1 ? 1 : 3)
    func values(_ name: String) throws -> [Double]? {
      try fields.read(name, "a number, or a list of one for each channel") {
        $0.number.map { Array(repeating: $0, count: max(0, min(channels, 3))) } ?? $0.list(\.number)
      }
    }
    /// A list of equal numbers is as good as one number.
    func fitted(_ values: [Double]) -> [Double] {
      channels == 1 && Set(values).count == 1 ? [values[0]] : values
    }
    steps.channels = channels
    imageMean = fitted(try values("image_mean") ?? imageMean)
    imageStd = fitted(try values("image_std") ?? imageStd)
  }

  /// What this kind alone has, or has instead.
  func fields(_ steps: HuggingFaceSteps) -> [String: JSONValue] {
    let standard = Self(steps.type)
    var fields: [String: JSONValue] = ["image_processor_type": .string(steps.type.rawValue)]
    fields["size"] = steps.edges.map {
      .object(
        ["shortest_edge": $0.shortest, "longest_edge": $0.longest].compactMapValues { $0.map(JSONValue.int) })
    }
    if steps.type == .donut {
      fields["do_thumbnail"] = .bool(steps.doThumbnail)
      fields["do_align_long_axis"] = .bool(steps.doAlignLongAxis)
    }
    if steps.type == .donut || steps.doPad { fields["do_pad"] = .bool(steps.doPad) }
    if steps.type == .deit || doCenterCrop { fields["do_center_crop"] = .bool(doCenterCrop) }
    fields["pad_size"] = steps.padSize?.json
    if steps.rounding != .nearest { fields["rounding"] = .string(steps.rounding.rawValue) }
    if !steps.doExifTranspose { fields["do_exif_transpose"] = false }
    if !steps.widths.isEmpty {
      fields["widths"] = .array(steps.widths.map(JSONValue.int))
      fields["squeeze"] = .double(steps.squeeze)
    }
    fields["background"] = steps.background.map { .array($0.map(JSONValue.double)) }
    if steps.doConvertGrayscale { fields["do_convert_grayscale"] = true }
    if steps.doTrimBorder { fields["do_trim_border"] = true }
    if maxPixels != standard.maxPixels { fields["max_pixels"] = .int(maxPixels) }
    if maxBytes != standard.maxBytes { fields["max_bytes"] = .int(maxBytes) }
    return fields
  }
}

extension ImageProcessor.Configuration.HuggingFaceType {
  /// The class that a file names; nil where it names none.
  init?(_ fields: JSONFields) throws {
    let name = fields["image_processor_type"] == nil ? "feature_extractor_type" : "image_processor_type"
    let known = Self.allCases.map(\.rawValue).joined(separator: ", ")
    let type = try fields.read(name, "one of \(known)") { value -> Self? in
      guard var stem = value.string else { return nil }
      for ending in ["Fast", "Pil"] where stem.hasSuffix(ending) { stem.removeLast(ending.count) }
      if stem.hasSuffix("FeatureExtractor") {
        stem.removeLast("FeatureExtractor".count)
        stem += "ImageProcessor"
      }
      return Self(rawValue: stem)
    }
    guard let type else { return nil }
    self = type
  }
}

/// A size in any of the forms that Hugging Face's files have had.
enum GivenSize {
  typealias Configuration = ImageProcessor.Configuration

  case side(Int)
  case list(Int, Int)
  case size(Configuration.Size)
  case edges(Configuration.HuggingFaceSteps.Edges)

  init?(_ value: JSONFields.Value) {
    if let side = value.integer {
      self = .side(side)
    } else if let list = value.list(\.integer) {
      guard list.count == 2 else { return nil }
      self = .list(list[0], list[1])
    } else {
      let fields = (value.object ?? []).filter { !$0.value.isNull }
      let sides = Dictionary(fields.map { ($0.key, $0.value.integer) }) { $1 }.compactMapValues { $0 }
      guard sides.count == fields.count else { return nil }
      if sides.count == 2, let height = sides["height"], let width = sides["width"] {
        self = .size(.init(height: height, width: width))
      } else if let shortest = sides["shortest_edge"], sides.count == (sides["longest_edge"] == nil ? 1 : 2) {
        self = .edges(.init(shortest: shortest, longest: sides["longest_edge"]))
      } else {
        return nil
      }
    }
  }

  /// Height and width; nil where edges mean nothing.
  var size: Configuration.Size? {
    switch self {
    case .side(let side): .init(height: side, width: side)
    case .list(let height, let width): .init(height: height, width: width)
    case .size(let size): size
    case .edges: nil
    }
  }
}

extension ImageProcessor.Configuration.Size {
  var json: JSONValue { ["height": .int(height), "width": .int(width)] }
}

/// Reading and writing Hugging Face's form of `preprocessor_config.json`.
extension ImageProcessor.Configuration {
  private enum Field: String, CodingKey, CaseIterable {
    case type = "image_processor_type"
    case olderType = "feature_extractor_type"
    case doResize = "do_resize"
    case size
    case defaultToSquare = "default_to_square"
    case resample
    case doCenterCrop = "do_center_crop"
    case cropSize = "crop_size"
    case doRescale = "do_rescale"
    case rescaleFactor = "rescale_factor"
    case doNormalize = "do_normalize"
    case imageMean = "image_mean"
    case imageStd = "image_std"
    case doThumbnail = "do_thumbnail"
    case doAlignLongAxis = "do_align_long_axis"
    case doPad = "do_pad"
    case padSize = "pad_size"
    case offset
    // This package's own.
    case numChannels = "num_channels"
    case rounding
    case doExifTranspose = "do_exif_transpose"
    case background
    case doConvertGrayscale = "do_convert_grayscale"
    case doTrimBorder = "do_trim_border"
    case maxPixels = "max_pixels"
    case maxBytes = "max_bytes"
  }

  /// Fields of Hugging Face's files that say where and in what layout to compute, or what is done anyway.
  private static let harmless: Set<String> = [
    "processor_class", "_processor_class", "do_convert_rgb", "data_format", "input_data_format",
    "return_tensors",
    "device", "disable_grouping", "image_seq_length", "_valid_processor_keys", "model_input_names",
  ]

  init(_ type: HuggingFaceType, from decoder: any Decoder) throws {
    try decoder.refuseUnknownKeys(besides: Field.self, ignoring: Self.harmless)
    self.init(type)
    var steps = HuggingFaceSteps(type)
    let fields = try decoder.container(keyedBy: Field.self)
    try fields.read(&doResize, .doResize)
    try readSizes(fields, &steps)
    resample = try fields.number(.resample, of: Resample.allCases) ?? resample
    try fields.read(&doCenterCrop, .doCenterCrop)
    try fields.read(&doRescale, .doRescale)
    try fields.read(&rescaleFactor, .rescaleFactor)
    try fields.read(&doNormalize, .doNormalize)
    try readChannels(fields, &steps)
    try fields.read(&steps.doThumbnail, .doThumbnail)
    try fields.read(&steps.doAlignLongAxis, .doAlignLongAxis)
    try fields.read(&steps.doPad, .doPad)
    try fields.read(&steps.doExifTranspose, .doExifTranspose)
    steps.background = try fields.decodeIfPresent([Double].self, forKey: .background)
    try fields.read(&steps.doConvertGrayscale, .doConvertGrayscale)
    try fields.read(&steps.doTrimBorder, .doTrimBorder)
    steps.rounding = try fields.name(.rounding) ?? steps.rounding
    try fields.read(&maxPixels, .maxPixels)
    try fields.read(&maxBytes, .maxBytes)
    guard try fields.decodeIfPresent(Bool.self, forKey: .offset) != true else {
      throw PictureError(.invalidArgument, "offset must be false: values that are shifted are not supported")
    }
    huggingFace = steps
  }

  private mutating func readSizes(_ fields: KeyedDecodingContainer<Field>, _ steps: inout HuggingFaceSteps)
    throws
  {
    if let given = try fields.decodeIfPresent(GivenSize.self, forKey: .size) {
      let isSquare = try fields.decodeIfPresent(Bool.self, forKey: .defaultToSquare) ?? true
      switch given {
      case .side(let side) where isSquare: size = Size(height: side, width: side)
      case .side(let side): steps.edges = .init(shortest: side)
      // Donut's lists are the other way round.
      case .list(let first, let second):
        size = steps.type == .donut ? Size(height: second, width: first) : Size(height: first, width: second)
      case .size(let both): size = both
      case .edges(let edges): steps.edges = edges
      }
    }
    cropSize =
      try fields.decodeIfPresent(GivenSize.self, forKey: .cropSize)?.size(named: "crop_size") ?? cropSize
    steps.padSize = try fields.decodeIfPresent(GivenSize.self, forKey: .padSize)?.size(named: "pad_size")
  }

  /// Means and deviations, which tell the number of channels where no field does.
  private mutating func readChannels(_ fields: KeyedDecodingContainer<Field>, _ steps: inout HuggingFaceSteps)
    throws
  {
    let mean = try fields.decodeIfPresent(Numbers.self, forKey: .imageMean)
    let std = try fields.decodeIfPresent(Numbers.self, forKey: .imageStd)
    let given = try fields.decodeIfPresent(Int.self, forKey: .numChannels)
    steps.channels = given ?? (mean?.list?.count == 1 ? 1 : 3)
    imageMean = (mean ?? Numbers(list: imageMean)).values(steps.channels)
    imageStd = (std ?? Numbers(list: imageStd)).values(steps.channels)
  }

  func encode(_ steps: HuggingFaceSteps, to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: Field.self)
    try fields.encode(steps.type.rawValue, forKey: .type)
    try fields.encode(doResize, forKey: .doResize)
    if let edges = steps.edges {
      try fields.encode(GivenSize.edges(edges), forKey: .size)
    } else {
      try fields.encode(size, forKey: .size)
    }
    try fields.encode(resample.rawValue, forKey: .resample)
    try fields.encode(doRescale, forKey: .doRescale)
    try fields.encode(rescaleFactor, forKey: .rescaleFactor)
    try fields.encode(doNormalize, forKey: .doNormalize)
    try fields.encode(imageMean, forKey: .imageMean)
    try fields.encode(imageStd, forKey: .imageStd)
    let standard = Self(steps.type)
    if steps.type == .donut {
      try fields.encode(steps.doThumbnail, forKey: .doThumbnail)
      try fields.encode(steps.doAlignLongAxis, forKey: .doAlignLongAxis)
    }
    if steps.type == .donut || steps.doPad { try fields.encode(steps.doPad, forKey: .doPad) }
    if steps.type == .deit || doCenterCrop { try fields.encode(doCenterCrop, forKey: .doCenterCrop) }
    try fields.encodeIfPresent(cropSize, forKey: .cropSize)
    try fields.encodeIfPresent(steps.padSize, forKey: .padSize)
    if steps.rounding != .nearest {
      try fields.encode(steps.rounding.rawValue, forKey: .rounding)
    }
    if !steps.doExifTranspose { try fields.encode(false, forKey: .doExifTranspose) }
    try fields.encodeIfPresent(steps.background, forKey: .background)
    if steps.doConvertGrayscale { try fields.encode(true, forKey: .doConvertGrayscale) }
    if steps.doTrimBorder { try fields.encode(true, forKey: .doTrimBorder) }
    if maxPixels != standard.maxPixels { try fields.encode(maxPixels, forKey: .maxPixels) }
    if maxBytes != standard.maxBytes { try fields.encode(maxBytes, forKey: .maxBytes) }
  }
}

extension ImageProcessor.Configuration.HuggingFaceType {
  private enum Field: String, CodingKey {
    case type = "image_processor_type"
    case olderType = "feature_extractor_type"
  }

  /// The class that a file names; nil where it names none.
  init?(_ decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Field.self)
    let given = try fields.decodeIfPresent(String.self, forKey: .type)
    guard let name = try given ?? fields.decodeIfPresent(String.self, forKey: .olderType) else { return nil }
    var stem = name
    for ending in ["Fast", "Pil"] where stem.hasSuffix(ending) { stem.removeLast(ending.count) }
    if stem.hasSuffix("FeatureExtractor") {
      stem.removeLast("FeatureExtractor".count)
      stem += "ImageProcessor"
    }
    guard let type = Self(rawValue: stem) else {
      let allowed = Self.allCases.map(\.rawValue).joined(separator: ", ")
      throw PictureError(
        .invalidArgument,
        "\(given == nil ? Field.olderType.rawValue : Field.type.rawValue) must be one of \(allowed), got \(name)"
      )
    }
    self = type
  }
}

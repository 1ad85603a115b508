import Torch

extension VisionEncoderDecoder {
  /// A `config.json` of transformers' `VisionEncoderDecoderModel`. Absent fields have the defaults of its classes; what it does not
  /// know and may change the result is refused.
  public struct Configuration: ImageToTextConfiguration {
    /// All fields, as they are written again.
    public private(set) var fields: JSONValue
    let encoder: VisionTransformer.Configuration
    private(set) var decoder: TextDecoderConfiguration
    /// Whether pictures of other sizes than the encoder's own are taken, with positions between the learned ones; ours, by the
    /// name of transformers' argument.
    let interpolatesPositions: Bool

    /// - Throws: `ModelError` that names the first field that cannot be.
    public init(_ fields: JSONValue) throws {
      self.fields = fields
      var top = try ConfigurationFields(fields)
      encoder = try VisionTransformer.Configuration(top.value("encoder"))
      decoder = try TextDecoderConfiguration(top.value("decoder"), encoderWidth: encoder.width)
      interpolatesPositions = try top.bool("interpolate_pos_encoding", false)
      try top.refuseUnknown()
    }

    public init(from decoder: any Decoder) throws { try self.init(JSONValue(from: decoder)) }

    public func encode(to encoder: any Encoder) throws { try fields.encode(to: encoder) }
  }
}

extension VisionEncoderDecoder.Configuration {
  /// transformers' name of the class.
  public static var modelType: String? { "vision-encoder-decoder" }

  public var vocabularySize: Int {
    get { decoder.vocabulary }
    set {
      guard newValue != decoder.vocabulary, case .object(var top) = fields,
        case .object(var own)? = top["decoder"]
      else { return }
      own["vocab_size"] = .int(newValue)
      top["decoder"] = .object(own)
      // Only a number in the range is set, which was read before.
      if let changed = try? Self(.object(top)) { self = changed }
    }
  }

  public var mayExceedTokenizer: Bool { true }
  public var longestText: Int { decoder.longestText }
  public var longestTextName: String { decoder.positionsName }
  public var pictureSize: (height: Int, width: Int) { (encoder.height, encoder.pictureWidth) }
  public var channels: Int { encoder.channels }

  /// As transformers 4 resolves them: what the outermost object says, then the decoder's, then its class.
  public var generationFields: [String: JSONValue] {
    guard case .object(let top) = fields, case .object(let own)? = top["decoder"] else { return [:] }
    let said = own.filter { $0.value != .null }.merging(top.filter { $0.value != .null }) { own, outer in
      // A default that the outermost object states is as good as unsaid.
      [.int(1), .int(20), .int(0), .double(1), .bool(false)].contains(outer) ? own : outer
    }
    return decoder.kind.generationFields.merging(said) { $1 }
  }

  /// Matrices and tables of tokens.
  public var approximateParameters: Double {
    func layers(_ depth: Int, _ width: Int, _ inner: Int, attentions: Int) -> Double {
      Double(depth) * Double(width) * (4 * Double(attentions * width) + 2 * Double(inner))
    }
    let tables = Double(decoder.vocabulary) * Double(decoder.width) * (decoder.hasTiedHead ? 1 : 2)
    return layers(encoder.depth, encoder.width, encoder.innerWidth, attentions: 1)
      + layers(decoder.depth, decoder.width, decoder.innerWidth, attentions: 2) + tables
  }

  public func replacing(_ field: String, with value: String) throws -> Self {
    throw ModelError("\(field) is no choice of models of the type \(Self.modelType ?? "")")
  }

  /// Everything was checked when it was read.
  public func validate() throws {}

  public func validateImage(height: Int, width: Int) throws {
    _ = try encoder.grid(height: height, width: width, interpolates: interpolatesPositions)
  }

  public func makeModel(contents: ParameterStore.Contents, dtype: DType, device: Device) throws
    -> any ImageToTextModel
  {
    try VisionEncoderDecoder(self, contents: contents, dtype: dtype, device: device)
  }
}

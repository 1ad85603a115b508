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
      let top = try JSONFields(.init(fields), refusal: ModelError.field)
      encoder = try VisionTransformer.Configuration(top.required("encoder", top.object))
      decoder = try TextDecoderConfiguration(
        top.required("decoder", top.object), encoderWidth: encoder.width)
      interpolatesPositions = try top.bool("interpolate_pos_encoding") ?? false
      // Older scripts copy the decoder's here, where it says nothing.
      try top.refuseOthers(besides: ["vocab_size"])
    }

    /// Reads a `config.json` as transformers writes it.
    public init(from decoder: any Decoder) throws { try self.init(JSONValue(from: decoder)) }

    /// Writes the fields as they were read.
    public func encode(to encoder: any Encoder) throws { try fields.encode(to: encoder) }
  }
}

extension VisionEncoderDecoder.Configuration {
  /// transformers' name of the class.
  public static var modelType: String? { "vision-encoder-decoder" }

  /// The decoder's `vocab_size`.
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

  /// Checkpoints have rows of the head that belong to no token.
  public var mayExceedTokenizer: Bool { true }
  /// How many positions the decoder has.
  public var longestText: Int { decoder.longestText }
  /// What `config.json` calls that.
  public var longestTextName: String { decoder.positionsName }
  /// The encoder's `image_size`.
  public var pictureSize: (height: Int, width: Int) { (encoder.height, encoder.pictureWidth) }
  /// The encoder's `num_channels`.
  public var channels: Int { encoder.channels }

  /// As `GenerationConfig.from_model_config` of transformers 4 resolves them: what the outermost object says, then the decoder's,
  /// then its class. A default that is stated is as good as unsaid.
  public var generationFields: [String: JSONValue]? {
    guard case .object(let top) = fields, case .object(let own)? = top["decoder"] else { return [:] }
    return decoder.kind.generationFields.merging(Self.generationFields(of: own)) { $1 }
      .merging(Self.generationFields(of: top)) { $1 }
  }

  private static func generationFields(of fields: [String: JSONValue]) -> [String: JSONValue] {
    fields.filter { name, value in
      value != .null && (generationDefaults[name].map { !value.isSame(as: $0) } ?? false)
    }
  }

  /// `GenerationConfig`'s fields that a `config.json` may hold, and what they are where nobody says otherwise.
  private static let generationDefaults: [String: JSONValue] = [
    "decoder_start_token_id": .null, "bos_token_id": .null, "eos_token_id": .null, "pad_token_id": .null,
    "max_length": .int(20), "max_new_tokens": .null, "min_length": .int(0), "min_new_tokens": .null,
    "do_sample": .bool(false), "early_stopping": .bool(false), "num_beams": .int(1),
    "num_beam_groups": .int(1),
    "diversity_penalty": .int(0), "temperature": .int(1), "top_k": .int(50), "top_p": .int(1), "min_p": .null,
    "typical_p": .int(1), "repetition_penalty": .int(1), "length_penalty": .int(1),
    "no_repeat_ngram_size": .int(0),
    "encoder_no_repeat_ngram_size": .int(0), "bad_words_ids": .null, "num_return_sequences": .int(1),
    "forced_bos_token_id": .null, "forced_eos_token_id": .null, "exponential_decay_length_penalty": .null,
    "suppress_tokens": .null, "begin_suppress_tokens": .null,
  ]

  /// Matrices and tables of tokens.
  public var approximateParameters: Double {
    func layers(_ depth: Int, _ width: Int, _ inner: Int, attentions: Int) -> Double {
      Double(depth) * Double(width) * (4 * Double(attentions * width) + 2 * Double(inner))
    }
    let tables = Double(decoder.vocabulary) * Double(decoder.width) * (decoder.hasTiedHead ? 1 : 2)
    return layers(encoder.depth, encoder.width, encoder.innerWidth, attentions: 1)
      + layers(decoder.depth, decoder.width, decoder.innerWidth, attentions: 2) + tables
  }

  /// The same with another value of a field that may be replaced.
  public func replacing(_ field: String, with value: String) throws -> Self {
    throw ModelError("\(field) is no choice of models of the type \(Self.modelType ?? "")")
  }

  /// Everything was checked when it was read.
  public func validate() throws {}

  /// - Throws: `ModelError` when the encoder cannot take a picture of this size, in pixels.
  public func validateImage(height: Int, width: Int) throws {
    _ = try encoder.grid(height: height, width: width, interpolates: interpolatesPositions)
  }

  /// A model of this configuration.
  public func makeModel(contents: ParameterStore.Contents, dtype: DType, device: Device) throws
    -> any ImageToTextModel
  {
    try VisionEncoderDecoder(self, contents: contents, dtype: dtype, device: device)
  }
}

import Torch

extension GPT4MultiModal {
  /// The parameters of `GPT4MultiModal`. Defaults and names are the documented ones; in JSON they are written in
  /// snake case (`image_size`).
  public struct Configuration: Sendable, Equatable {
    /// Whose arithmetic the model follows.
    public enum Compatibility: String, Sendable, CaseIterable, Codable {
      /// What the parameters say.
      case documented
      /// Number for number what zetascale 2.8.8 computes, so that weights trained with it give the same logits:
      /// `qkNorm` is ignored, xPos acts on the values too and is centred on half of the sequence's length, and
      /// `useAbsPosEmb` has no effect beside `rotaryXpos`.
      case zetascale
    }

    /// Height and width of the largest square image, in pixels. Other heights and widths are accepted too, as
    /// long as they are multiples of `patchSize` and there are no more than `maxPatches` patches.
    public var imageSize = 256
    /// Height and width of a patch, in pixels.
    public var patchSize = 32
    /// Patches in a row of the widest picture: patches of a narrower one have the positions that their places have in that, so
    /// that a model learns from pictures of several widths what it needs once. Nil, as in the reference, counts the positions
    /// row by row whatever the width is.
    public var positionColumns: Int?
    /// Width of the encoder's embeddings.
    public var encoderDim = 512
    /// Layers of the encoder.
    public var encoderDepth = 6
    /// Attention heads of an encoder layer.
    public var encoderHeads = 8
    /// The size of the vocabulary.
    public var numTokens = 20000
    /// The longest text, in tokens.
    public var maxSeqLen = 1024
    /// Width of the decoder's embeddings.
    public var decoderDim = 512
    /// Layers of the decoder.
    public var decoderDepth = 6
    /// Attention heads of a decoder layer.
    public var decoderHeads = 8
    /// How many of the decoder's heads have an ALiBi slope; the others see no distance.
    public var alibiNumHeads = 4
    /// Adds a learned vector per position to the token embeddings.
    public var useAbsPosEmb = false
    /// Lets the decoder attend to the encoder's output in blocks of their own; otherwise the encoder's output
    /// goes before the text in the decoder's own sequence.
    public var crossAttend = true
    /// Lowers attention's logits by the distance of key and query.
    public var alibiPosBias = true
    /// Turns queries and keys by their positions, scaled as xPos does.
    public var rotaryXpos = true
    /// Computes attention with LibTorch's fused kernel.
    public var attnFlash = true
    /// Attends by cosine similarity in the decoder: queries and keys are normalised, and multiplied by 10.
    public var qkNorm = true

    /// Whose arithmetic the model follows.
    public var compatibility = Compatibility.documented
    /// Probability of zeroing an attention weight while training.
    public var attnDropout = 0.0
    /// Probability of zeroing a hidden unit of the feed-forward blocks while training.
    public var ffDropout = 0.0
    /// Probability of zeroing an element of the embeddings while training.
    public var embDropout = 0.0

    /// The documented defaults.
    public init() {}

    /// Width of one attention head, whatever the model's width is.
    public static let headDim = 64

    /// Patches of the largest square image.
    public var maxPatches: Int { (imageSize / patchSize) * (imageSize / patchSize) }
  }
}

// MARK: - What holds

extension GPT4MultiModal.Configuration {
  // What the model is built with, after `compatibility` has had its say.
  var normalizesQueriesAndKeys: Bool { qkNorm && compatibility == .documented }
  var hasAbsolutePositions: Bool { useAbsPosEmb && !(compatibility == .zetascale && rotaryXpos) }

  /// - Throws: `ModelError` that names the first parameter out of range.
  public func validate() throws {
    for field in Self.fields {
      switch field.access {
      case .int(let path, let limit): try Self.check(field.name, self[keyPath: path], limit: limit)
      case .optionalInt(let path, let limit):
        if let value = self[keyPath: path] { try Self.check(field.name, value, limit: limit) }
      case .probability(let path):
        guard (0..<1).contains(self[keyPath: path]) else {
          throw ModelError("\(field.name) must be in [0, 1), got \(self[keyPath: path])")
        }
      case .bool, .compatibility: continue
      }
    }
    guard imageSize % patchSize == 0 else {
      throw ModelError("image_size must be a multiple of patch_size, got \(imageSize) and \(patchSize)")
    }
    if let positionColumns, positionColumns > maxPatches {
      throw ModelError(
        "position_columns must be at most \(maxPatches), which image_size \(imageSize) allows, got \(positionColumns)"
      )
    }
    guard !alibiPosBias || alibiNumHeads <= decoderHeads else {
      throw ModelError(
        "alibi_num_heads must be at most decoder_heads, got \(alibiNumHeads) and \(decoderHeads)")
    }
    let positions = maxSeqLen + (crossAttend ? 0 : maxPatches)
    guard !rotaryXpos || positions <= RotaryXpos.maxPositions else {
      throw ModelError(
        "with rotary_xpos there may be at most \(RotaryXpos.maxPositions) positions, beyond which xPos' scale leaves the "
          + "range of float32, but max_seq_len is \(maxSeqLen)\(crossAttend ? "" : " after \(maxPatches) patches")"
      )
    }
    if compatibility == .zetascale {
      guard crossAttend else {
        throw ModelError(
          "cross_attend false does not exist in zetascale, which fails on it: use compatibility documented")
      }
      guard encoderDim == decoderDim else {
        throw ModelError(
          "encoder_dim \(encoderDim) and decoder_dim \(decoderDim) differ, which zetascale cannot run: "
            + "use compatibility documented")
      }
    }
  }
}

extension GPT4MultiModal.Configuration {
  private static func check(_ name: String, _ value: Int, limit: Int) throws {
    guard (1...limit).contains(value) else {
      throw ModelError("\(name) must be from 1 to \(limit), got \(value)")
    }
  }
}

extension GPT4MultiModal.Configuration: ImageToTextConfiguration {
  /// None: a file without `model_type` is of this family.
  public static var modelType: String? { nil }

  /// `num_tokens`
  public var vocabularySize: Int {
    get { numTokens }
    set { numTokens = newValue }
  }

  /// `num_tokens` is the vocabulary's size.
  public var mayExceedTokenizer: Bool { false }
  /// `max_seq_len`
  public var longestText: Int { maxSeqLen }
  /// What `config.json` calls that.
  public var longestTextName: String { "max_seq_len" }
  /// A square of `image_size`.
  public var pictureSize: (height: Int, width: Int) { (imageSize, imageSize) }
  /// Red, green and blue.
  public var channels: Int { ViTransformerWrapper.channels }

  /// Matrices and tables of tokens.
  public var approximateParameters: Double {
    let decoder = Double(decoderDepth * (crossAttend ? 16 : 12)) * Double(decoderDim) * Double(decoderDim)
    let encoder = 12 * Double(encoderDepth) * Double(encoderDim) * Double(encoderDim)
    return encoder + decoder + 2 * Double(numTokens) * Double(decoderDim)
  }

  /// The same with another `compatibility`.
  public func replacing(_ field: String, with value: String) throws -> Self {
    guard field == "compatibility", let compatibility = Compatibility(rawValue: value) else {
      throw ModelError(
        "\(field) cannot be \(value): compatibility may be "
          + Compatibility.allCases.map(\.rawValue).joined(separator: " or "))
    }
    var other = self
    other.compatibility = compatibility
    return other
  }

  /// A model of this configuration.
  public func makeModel(contents: ParameterStore.Contents, dtype: DType, device: Device) throws
    -> any ImageToTextModel
  {
    try GPT4MultiModal(self, contents: contents, dtype: dtype, device: device)
  }

  /// - Throws: `ModelError` when the model cannot take an image of this size.
  public func validateImage(height: Int, width: Int) throws {
    guard height > 0, width > 0, height % patchSize == 0, width % patchSize == 0 else {
      throw ModelError(
        "img is \(height) x \(width), but height and width must be multiples of patch_size \(patchSize)")
    }
    let (rows, columns) = (height / patchSize, width / patchSize)
    if let positionColumns {
      guard columns <= positionColumns else {
        throw ModelError(
          "img is \(height) x \(width), which makes \(columns) patches in a row, but position_columns allows "
            + "\(positionColumns)")
      }
    }
    let patches = rows * (positionColumns ?? columns)
    guard patches <= maxPatches else {
      throw ModelError(
        "img is \(height) x \(width), which takes \(patches) positions, but image_size \(imageSize) allows "
          + "\(maxPatches)")
    }
  }
}

// MARK: - JSON

extension GPT4MultiModal.Configuration: Codable {
  private enum Access {
    case int(WritableKeyPath<GPT4MultiModal.Configuration, Int> & Sendable, limit: Int)
    case optionalInt(WritableKeyPath<GPT4MultiModal.Configuration, Int?> & Sendable, limit: Int)
    case bool(WritableKeyPath<GPT4MultiModal.Configuration, Bool> & Sendable)
    case probability(WritableKeyPath<GPT4MultiModal.Configuration, Double> & Sendable)
    case compatibility
  }

  private struct Field: Sendable {
    let name: String
    let access: Access
  }

  /// Every parameter under its documented name, with the largest value that makes sense.
  private static let fields: [Field] = [
    Field(name: "image_size", access: .int(\.imageSize, limit: 16384)),
    Field(name: "patch_size", access: .int(\.patchSize, limit: 1024)),
    Field(name: "position_columns", access: .optionalInt(\.positionColumns, limit: 16384)),
    Field(name: "encoder_dim", access: .int(\.encoderDim, limit: 65536)),
    Field(name: "encoder_depth", access: .int(\.encoderDepth, limit: 1024)),
    Field(name: "encoder_heads", access: .int(\.encoderHeads, limit: 1024)),
    Field(name: "num_tokens", access: .int(\.numTokens, limit: 10_000_000)),
    Field(name: "max_seq_len", access: .int(\.maxSeqLen, limit: 1_048_576)),
    Field(name: "decoder_dim", access: .int(\.decoderDim, limit: 65536)),
    Field(name: "decoder_depth", access: .int(\.decoderDepth, limit: 1024)),
    Field(name: "decoder_heads", access: .int(\.decoderHeads, limit: 1024)),
    Field(name: "alibi_num_heads", access: .int(\.alibiNumHeads, limit: 1024)),
    Field(name: "use_abs_pos_emb", access: .bool(\.useAbsPosEmb)),
    Field(name: "cross_attend", access: .bool(\.crossAttend)),
    Field(name: "alibi_pos_bias", access: .bool(\.alibiPosBias)),
    Field(name: "rotary_xpos", access: .bool(\.rotaryXpos)),
    Field(name: "attn_flash", access: .bool(\.attnFlash)),
    Field(name: "qk_norm", access: .bool(\.qkNorm)),
    Field(name: "compatibility", access: .compatibility),
    Field(name: "attn_dropout", access: .probability(\.attnDropout)),
    Field(name: "ff_dropout", access: .probability(\.ffDropout)),
    Field(name: "emb_dropout", access: .probability(\.embDropout)),
  ]

  /// Missing parameters take their defaults; unknown ones are refused, because a misspelt parameter that is
  /// silently ignored gives another model.
  public init(from decoder: any Decoder) throws {
    self.init()
    let fields = try JSONFields(from: decoder, refusal: ModelError.field)
    for field in Self.fields {
      switch field.access {
      case .int(let path, _): self[keyPath: path] = try fields.integer(field.name) ?? self[keyPath: path]
      case .optionalInt(let path, _): self[keyPath: path] = try fields.integer(field.name)
      case .bool(let path): self[keyPath: path] = try fields.bool(field.name) ?? self[keyPath: path]
      case .probability(let path): self[keyPath: path] = try fields.number(field.name) ?? self[keyPath: path]
      case .compatibility: compatibility = try fields.choice(field.name) ?? compatibility
      }
    }
    try fields.refuseUnknown()
    try validate()
  }

  /// Writes all fields that have a value.
  public func encode(to encoder: any Encoder) throws {
    let values = Self.fields.compactMap { field -> (String, JSONValue)? in
      switch field.access {
      case .int(let path, _): (field.name, .int(self[keyPath: path]))
      case .optionalInt(let path, _): self[keyPath: path].map { (field.name, .int($0)) }
      case .bool(let path): (field.name, .bool(self[keyPath: path]))
      case .probability(let path): (field.name, .double(self[keyPath: path]))
      case .compatibility: (field.name, .string(compatibility.rawValue))
      }
    }
    try Dictionary(uniqueKeysWithValues: values).encode(to: encoder)
  }
}

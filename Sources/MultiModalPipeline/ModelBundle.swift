import MultiModalModel

/// A model with all that stands between it and pictures and texts: what captioning, training, evaluating and serving take,
/// whatever its family.
public struct ModelBundle {
  public let model: any ImageToTextModel
  public let tokenizer: Tokenizer
  public let processor: ImageProcessor
  public let generation: GenerationSettings

  /// - Parameter generation: those of the tokenizer when nil
  /// - Throws: `ModelError` when the parts do not fit together.
  public init(
    model: any ImageToTextModel, tokenizer: Tokenizer, processor: ImageProcessor,
    generation: GenerationSettings? = nil
  ) throws {
    self.model = model
    self.tokenizer = tokenizer
    self.processor = processor
    self.generation = generation ?? GenerationSettings(tokenizer)
    let limits = model.decoder.limits
    guard tokenizer.vocabularySize == limits.vocabulary else {
      throw ModelError(
        "the tokenizer has \(tokenizer.vocabularySize) tokens, but the model's \(limits.vocabularyName) is "
          + "\(limits.vocabulary): they must be equal")
    }
    guard let size = processor.configuration.outputSize else { return }
    do {
      try model.configuration.validateImage(height: size.height, width: size.width)
    } catch {
      throw ModelError("the model does not take the pictures that the processor makes: \(error)")
    }
  }
}

/// How a model's texts begin and end, and what is asked for where nobody says otherwise.
public struct GenerationSettings: Sendable, Equatable {
  /// The token that begins every text.
  public var start: Int
  /// Tokens that end a text; the first ends those that are learned.
  public var end: [Int]
  /// Fills up short rows.
  public var padding: Int
  /// What a text is asked for by default; stop tokens are `end`.
  public var options: GenerationOptions

  public init(start: Int, end: [Int], padding: Int, options: GenerationOptions = GenerationOptions()) {
    self.start = start
    self.end = end
    self.padding = padding
    self.options = options
    self.options.stopTokens = end
  }

  /// Texts from the tokenizer's begin to its end.
  public init(_ tokenizer: Tokenizer) {
    self.init(start: tokenizer.bos, end: [tokenizer.eos], padding: tokenizer.pad)
  }
}

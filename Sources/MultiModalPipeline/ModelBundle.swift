import MultiModalModel

/// A model with all that stands between it and pictures and texts: what captioning, training, evaluating and serving take,
/// whatever its family.
public struct ModelBundle {
  /// The model, prepared for inference or to be trained.
  public let model: any ImageToTextModel
  /// Text to tokens and back.
  public let tokenizer: any Tokenizer
  /// Picture files to what the model takes.
  public let processor: ImageProcessor
  /// How texts begin and end, and what is asked for by default.
  public let generation: GenerationSettings

  /// - Parameter generation: what the model's configuration or else the tokenizer says when nil
  /// - Throws: `ModelError` when the parts do not fit together.
  public init(
    model: any ImageToTextModel, tokenizer: any Tokenizer, processor: ImageProcessor,
    generation: GenerationSettings? = nil
  ) throws {
    self.model = model
    self.tokenizer = tokenizer
    self.processor = processor
    let limits = model.decoder.limits
    var generation = try generation ?? GenerationSettings(model.configuration, tokenizer)
    let options = generation.options
    for token in [generation.start] + options.stopTokens + options.suppressTokens
      + options.beginSuppressTokens
      + [options.forcedBOSToken, options.forcedEOSToken].compactMap({ $0 })
    {
      try limits.checkToken(token)
    }
    // A bundle's own length is a wish, which ends where the model does.
    if let wanted = generation.options.maxNewTokens, wanted >= limits.longestText {
      generation.options.maxNewTokens = nil
    }
    self.generation = generation
    let (own, most) = (tokenizer.vocabularySize, limits.vocabulary)
    guard own == most || own < most && model.configuration.mayExceedTokenizer else {
      throw ModelError(
        "the tokenizer has \(own) tokens, but the model's \(limits.vocabularyName) is \(most): "
          + (model.configuration.mayExceedTokenizer ? "it must not have more" : "they must be equal"))
    }
    let channels = processor.configuration.huggingFace?.channels ?? 3
    guard channels == model.configuration.channels else {
      throw ModelError(
        "the processor makes pictures of \(channels) channels, but the model takes \(model.configuration.channels)"
      )
    }
    do {
      for size in processor.configuration.outputSizes {
        try model.configuration.validateImage(height: size.height, width: size.width)
      }
    } catch {
      throw ModelError("the model does not take the pictures that the processor makes: \(error)")
    }
  }
}

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

  /// - Parameter generation: those of the tokenizer when nil
  /// - Throws: `ModelError` when the parts do not fit together.
  public init(
    model: any ImageToTextModel, tokenizer: any Tokenizer, processor: ImageProcessor,
    generation: GenerationSettings? = nil
  ) throws {
    self.model = model
    self.tokenizer = tokenizer
    self.processor = processor
    self.generation = try generation ?? GenerationSettings([:], tokenizer: tokenizer)
    let limits = model.decoder.limits
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
    guard let size = processor.configuration.outputSize else { return }
    do {
      try model.configuration.validateImage(height: size.height, width: size.width)
    } catch {
      throw ModelError("the model does not take the pictures that the processor makes: \(error)")
    }
  }
}

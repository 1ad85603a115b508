import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

/// A GPT4MultiModal of one layer each side with random weights, for pictures of 16 x 16, and what belongs to it.
public struct SmallBundle {
  /// Untrained.
  public let model: GPT4MultiModal
  /// With a small vocabulary.
  public let tokenizer: SentencePieceTokenizer
  /// For its pictures.
  public let processor: ImageProcessor

  /// - Parameters:
  ///   - texts: what the vocabulary is made of
  ///   - width: of encoder and decoder
  ///   - longestText: in tokens
  public init(
    texts: [String] = ["a cat", "a dog"], vocabularySize: Int, width: Int, longestText: Int = 24,
    _ change: (inout GPT4MultiModal.Configuration) -> Void = { _ in }
  ) throws {
    tokenizer = try .train(on: texts, configuration: .init(vocabularySize: vocabularySize))
    var configuration = GPT4MultiModal.Configuration()
    configuration.imageSize = 16
    configuration.patchSize = 8
    configuration.encoderDim = width
    configuration.encoderDepth = 1
    configuration.encoderHeads = 1
    configuration.decoderDim = width
    configuration.decoderDepth = 1
    configuration.decoderHeads = 1
    configuration.alibiNumHeads = 1
    configuration.maxSeqLen = longestText
    configuration.numTokens = tokenizer.vocabularySize
    change(&configuration)
    model = try GPT4MultiModal(configuration, contents: .random(Generator(seed: 2)))
    var image = ImageProcessor.Configuration()
    image.size = .init(height: 16, width: 16)
    processor = try ImageProcessor(configuration: image)
  }

  /// Writes a model folder.
  public func write(to url: URL, dtype: DType = .float32, readme: String? = nil) throws {
    try ModelFolder.write(
      model, tokenizer: tokenizer, processor: processor, to: url, dtype: dtype, readme: readme)
  }
}

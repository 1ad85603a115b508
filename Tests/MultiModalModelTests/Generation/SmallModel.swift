import MultiModalModel
import Torch

/// A model that is quick to build and run.
func smallModel(
  seed: UInt64 = 1, maxSeqLen: Int = 12, numTokens: Int = 20,
  _ change: (inout GPT4MultiModal.Configuration) -> Void = { _ in }
) throws -> GPT4MultiModal {
  var configuration = GPT4MultiModal.Configuration()
  configuration.imageSize = 16
  configuration.patchSize = 8
  configuration.encoderDim = 16
  configuration.encoderDepth = 1
  configuration.encoderHeads = 1
  configuration.numTokens = numTokens
  configuration.maxSeqLen = maxSeqLen
  configuration.decoderDim = 16
  configuration.decoderDepth = 2
  configuration.decoderHeads = 3
  configuration.alibiNumHeads = 2
  change(&configuration)
  return try GPT4MultiModal(configuration, contents: .random(Generator(seed: seed)))
}

func smallImages(_ count: Int, seed: UInt64 = 7) throws -> Tensor {
  try Tensor.randn([count, 3, 16, 16], generator: Generator(seed: seed))
}

import MultiModalModel
import Torch

/// What a piece of work costs at least: the multiplications and additions of its matrix products, and the weights it reads.
struct WorkCost {
  private let configuration: Configuration
  private let patches: Int

  /// - Parameter patches: along one side of the picture
  init(_ configuration: Configuration, patches: Int) {
    self.configuration = configuration
    self.patches = patches * patches
  }

  private var encoderInner: Int { configuration.encoderHeads * Configuration.headDim }
  private var decoderInner: Int { configuration.decoderHeads * Configuration.headDim }
  private var patchWidth: Int { 3 * configuration.patchSize * configuration.patchSize }

  /// Weights of all matrices that the encoder multiplies by.
  private var encoderMatrices: Int {
    let dim = configuration.encoderDim
    return configuration.encoderDepth * (4 * dim * encoderInner + 8 * dim * dim) + patchWidth * dim
      + (dim == configuration.decoderDim ? 0 : dim * configuration.decoderDim)
  }

  private var decoderMatricesPerLayer: Int {
    let dim = configuration.decoderDim
    return 4 * dim * decoderInner + (configuration.crossAttend ? 2 * dim * decoderInner : 0) + 8 * dim * dim
  }

  private var crossContextMatrices: Int {
    configuration.crossAttend ? configuration.decoderDepth * 2 * configuration.decoderDim * decoderInner : 0
  }

  private var logitsMatrix: Int { configuration.decoderDim * configuration.numTokens }

  func flops(_ work: Work, batch: Int, textLength: Int, newTokens: Int) -> Double {
    let rows = Double(patches)
    let encode =
      2 * rows * Double(encoderMatrices)
      + 4 * rows * rows * Double(encoderInner * configuration.encoderDepth)
    let context = 2 * rows * Double(crossContextMatrices)
    func decode(_ length: Double, keys: Double) -> Double {
      let perToken =
        2 * Double(decoderMatricesPerLayer * configuration.decoderDepth + logitsMatrix)
        + 4 * (keys + (configuration.crossAttend ? rows : 0))
        * Double(decoderInner * configuration.decoderDepth)
      return length * perToken
    }
    let length = Double(textLength)
    let batch = Double(batch)
    switch work {
    case .forward: return batch * (encode + context + decode(length, keys: length))
    case .encode: return batch * encode
    case .generate:
      let tokens = Double(newTokens)
      return batch * (encode + context + decode(tokens, keys: tokens / 2))
    case .decode: return batch * decode(1, keys: Double(newTokens) / 2)
    case .train: return 3 * batch * (encode + context + decode(length, keys: length))
    }
  }

  private func bytes(_ weights: Int, _ precision: Precision) -> Int {
    switch precision {
    case .float32: 4 * weights
    case .bfloat16: 2 * weights
    case .int8, .int8WeightOnly: weights
    // A scale and a zero point of two bytes each per group.
    case .int4WeightOnly: weights / 2 + weights / QuantizedWeight.groupSize * 4
    }
  }

  func decoderStepBytes(_ precision: Precision) -> Int {
    bytes(decoderMatricesPerLayer * configuration.decoderDepth + logitsMatrix, precision)
  }

  func weightBytes(_ precision: Precision) -> Int {
    let matrices =
      encoderMatrices + decoderMatricesPerLayer * configuration.decoderDepth + crossContextMatrices
      + logitsMatrix
    let tables =
      configuration.numTokens * configuration.decoderDim + configuration.maxPatches * configuration.encoderDim
      + (configuration.useAbsPosEmb ? configuration.maxSeqLen * configuration.decoderDim : 0)
    return bytes(matrices, precision) + tables * precision.storageDType.size
  }
}

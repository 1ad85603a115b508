import MultiModalModel
import Torch

/// What a piece of work costs at least: the multiplications and additions of its matrix products, and the weights it reads.
struct WorkCost {
  /// Weights that a position of a picture is multiplied with in the encoder, that of its output in the decoder, and a token.
  private let encoderMatrices: Int
  private let contextMatrices: Int
  private let tokenMatrices: Int
  private let encoderAttentionWidth: Int
  private let decoderAttentionWidth: Int
  /// Elements of embeddings.
  private let tables: Int
  private let positions: Double

  /// - Parameter positions: of the encoder's output for a picture
  init(_ model: any ImageToTextModel, positions: Int) {
    func count(_ parameters: [Parameter]) -> Int { parameters.reduce(0) { $0 + $1.count } }
    let decoder = model.decoder.tokenWeights + model.decoder.contextWeights
    let own = Set(decoder.map(\.name))
    let all = model.parameters.trainable
    encoderMatrices = count(
      all.filter { $0.role == .weight && $0.shape.count == 2 && !own.contains($0.name) })
    contextMatrices = count(model.decoder.contextWeights)
    tokenMatrices = count(model.decoder.tokenWeights)
    encoderAttentionWidth = model.encoderAttentionWidth
    decoderAttentionWidth = model.decoder.attentionWidth
    tables = count(all.filter { $0.role == .embedding || $0.role == .position })
    self.positions = Double(positions)
  }

  func flops(_ work: Workload.Kind, batch: Int, textLength: Int, newTokens: Int) -> Double {
    let encode =
      2 * positions * Double(encoderMatrices) + 4 * positions * positions * Double(encoderAttentionWidth)
    let context = 2 * positions * Double(contextMatrices)
    func decode(_ length: Double, keys: Double) -> Double {
      let seen = keys + (contextMatrices > 0 ? positions : 0)
      return length * (2 * Double(tokenMatrices) + 4 * seen * Double(decoderAttentionWidth))
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

  func decoderStepBytes(_ precision: Precision) -> Int { bytes(tokenMatrices, precision) }

  func weightBytes(_ precision: Precision) -> Int {
    bytes(encoderMatrices + contextMatrices + tokenMatrices, precision) + tables * precision.storageDType.size
  }
}

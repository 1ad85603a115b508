import Torch

/// Where each token of a text looks in the context, averaged over the heads of all layers. The text is read piece by piece, so
/// that other texts can have their steps between two pieces.
package final class ContextAttention {
  private let decoder: Transformer
  private let context: Tensor
  private let text: [Int]
  private var read = 0
  private let cache = DecoderCache()
  private let textSlot: Int
  private var contextSlot: Int?

  /// - Parameters:
  ///   - text: at least one token
  ///   - context: what `encode` gave, [1, positions, dim]
  /// - Throws: `ModelError` where no layer attends to the context, and for a text that the model cannot take.
  package init(_ decoder: Transformer, text: [Int], context: Tensor) throws {
    guard decoder.attendsToContext else {
      throw ModelError("the decoder has no cross-attention, so it does not say where it looks")
    }
    guard text.count <= decoder.limits.longestText else {
      throw ModelError(
        "the text has \(text.count) tokens, but \(decoder.limits.longestTextName) is "
          + "\(decoder.limits.longestText): only texts that fit can be explained")
    }
    for token in text { try decoder.limits.checkToken(token) }
    self.decoder = decoder
    self.context = context
    self.text = text
    textSlot = cache.texts.take()
    if decoder.hasExactCache {
      contextSlot = try withoutGradients { try decoder.layers.hold(context, in: cache) }
    }
  }

  /// Reads on.
  /// - Returns: of the tokens that were read, one after the other, the weight of each position; nil at the end
  package func next() throws -> [Float]? {
    guard read < text.count else { return nil }
    return try withoutGradients {
      let maps = try contextSlot.map(readPiece) ?? readAll()
      return try Tensor.cat(maps, dim: 1).mean([0, 1]).array(of: Float.self)
    }
  }

  private func readPiece(_ context: Int) throws -> [Attention.Map] {
    let end = min(text.count, read + DecodingBatch.piece)
    let row = Transformer.StepRow(
      slot: textSlot, context: context, prefix: nil, tokens: text[read..<end], position: read,
      isWanted: false)
    var maps: [Attention.Map] = []
    _ = try decoder.step([row], cache: cache) { maps.append(try $0.to(dtype: .float32)) }
    read = end
    return maps
  }

  /// Where no cache is exact.
  private func readAll() throws -> [Attention.Map] {
    let tokens = try Tensor(text, shape: [1, text.count]).to(device: decoder.device)
    let maps = try decoder.output(tokens, context: context, wantsAttentionMaps: true).attentionMaps
    read = text.count
    // Each layer's own attention comes before that to the context.
    return try maps.enumerated().filter { $0.offset % 2 == 1 }.map { try $0.element.to(dtype: .float32) }
  }
}

import Torch

/// The text decoder: tokens in, logits over the next token out.
public final class Transformer {
  private let embedding: TextEmbedding
  let layers: TransformerDecoder
  private let head: TextHead
  /// What it can take.
  public let limits: TextLimits
  /// Whether layers attend to the context; otherwise it goes before the text.
  let attendsToContext: Bool

  /// What a call returns besides logits, when asked.
  public struct Output {
    /// [batch, length, numTokens]
    public let logits: Tensor
    /// The last hidden states, [batch, length, dim].
    public let embeddings: Tensor
    /// Attention weights, [batch, heads, queries, keys]: for each layer that of self-attention and, where it has one,
    /// that of cross-attention.
    public let attentionMaps: [Attention.Map]
  }

  init(
    embedding: TextEmbedding, layers: TransformerDecoder, head: TextHead, limits: TextLimits,
    attendsToContext: Bool
  ) {
    self.embedding = embedding
    self.layers = layers
    self.head = head
    self.limits = limits
    self.attendsToContext = attendsToContext
  }

  /// Whether a cached step gives exactly what computing the whole text gives.
  public var hasExactCache: Bool { layers.hasExactCache }

  var device: Device { embedding.tokens.weight.value.device }

  /// The weights that each token of a text is multiplied with.
  public var tokenWeights: [Parameter] { layers.tokenWeights + head.weights }
  /// The weights that each position of a text's picture is multiplied with.
  public var contextWeights: [Parameter] { layers.contextWeights }
  /// Heads times their width, over all layers: attention among n positions takes 4 n² times as many floating-point operations.
  public var attentionWidth: Int { layers.attentionWidth }

  /// Packs the weights for a precision, and computes what depends on positions alone.
  func prepareForInference(_ precision: Precision) throws {
    // The largest first, while little else is in memory. The head may read the embedding's table.
    try head.prepareForInference(precision)
    try embedding.prepareForInference(precision)
    try layers.prepareForInference(precision)
  }

  /// - Parameters:
  ///   - text: int64 [batch, length]
  ///   - context: the encoder's output, [batch, keys, decoderDim]: attended to, or put before the text where
  ///     no layer attends to it
  ///   - mask: bool [batch, length], true for a real token; positions count real tokens alone, so padding does
  ///     not change the logits of the others
  /// - Returns: logits [batch, length, numTokens]
  /// - Throws: `ModelError` for a text that the model cannot take.
  public func callAsFunction(
    _ text: Tensor, context: Tensor? = nil, mask: Tensor? = nil, training: Bool = false
  ) throws -> Tensor {
    try head(
      hiddenStates(text, context: context, mask: mask, training: training, wantsMaps: false).states)
  }

  /// As the call, for the last position alone.
  /// - Parameter text: tokens that are known to be in the vocabulary
  /// - Returns: logits [batch, numTokens]
  func lastLogits(_ text: Tensor, context: Tensor, mask: Tensor?) throws -> Tensor {
    let states = try hiddenStates(
      text, context: context, mask: mask, training: false, wantsMaps: false, knowsTokens: true
    ).states
    return try head(states.select(1, states.shape[1] - 1))
  }

  /// What is added to one text in a step.
  struct StepRow {
    let slot: Int
    /// With cross-attention the slot of the picture's keys and values.
    let context: Int?
    /// Without it, what goes before the first token: the encoder's output, [1, keys, decoderDim].
    let prefix: Tensor?
    /// Tokens that are known to be in the vocabulary, and the place of the first among the text's tokens.
    let tokens: ArraySlice<Int>
    let position: Int
    /// Whether the logits after the last token are asked for.
    let isWanted: Bool
  }

  /// The next tokens of texts whose earlier ones lie in a cache, which takes up these.
  /// - Parameter takeMap: is given where the tokens of a single row look in the context, [1, heads, tokens, keys] for each layer
  /// - Returns: for the rows that want them, logits over the next token, [rows, numTokens]
  func step(
    _ rows: [StepRow], cache: DecoderCache, takeMap: ((Attention.Map) throws -> Void)? = nil
  ) throws -> Tensor {
    var x = try embedding(
      Tensor(rows.flatMap(\.tokens)).to(device: device),
      at: .listed(rows.flatMap { $0.position..<$0.position + $0.tokens.count }))
    if rows.contains(where: { $0.prefix != nil }) {
      let own = try x.split(rows.map(\.tokens.count), dim: 0)
      x = try Tensor.cat(
        zip(rows, own).flatMap { row, part in
          try [row.prefix?.squeeze(0).to(dtype: part.dtype), part].compactMap { $0 }
        })
    }
    let counts = rows.map { ($0.prefix?.shape[1] ?? 0) + $0.tokens.count }
    var end = 0
    var wanted: [Int] = []
    for (row, count) in zip(rows, counts) {
      end += count
      if row.isWanted { wanted.append(end - 1) }
    }
    let states = try layers.step(
      x, zip(rows, counts).map { .init(slot: $0.slot, context: $0.context, count: $1) }, wanted: wanted,
      cache: cache, takeMap: takeMap)
    return try head(states)
  }

  /// Logits, last hidden states and attention weights together.
  public func output(
    _ text: Tensor, context: Tensor? = nil, mask: Tensor? = nil, wantsAttentionMaps: Bool = false
  )
    throws -> Output
  {
    let (states, maps) = try hiddenStates(
      text, context: context, mask: mask, training: false, wantsMaps: wantsAttentionMaps)
    return Output(logits: try head(states), embeddings: states, attentionMaps: maps)
  }

  private func hiddenStates(
    _ text: Tensor, context: Tensor?, mask: Tensor?, training: Bool, wantsMaps: Bool,
    knowsTokens: Bool = false
  ) throws -> (states: Tensor, maps: [Attention.Map]) {
    let contextShape = try context?.sequenceShape("context")
    // Without cross-attention the context goes before the text.
    let prefix = attendsToContext ? nil : context
    let prefixLength = prefix?.shape[1] ?? 0
    try check(text, mask: mask)
    if !knowsTokens { try checkTokens(text) }

    if let contextShape, contextShape[0] != text.shape[0] {
      throw ModelError(
        "img has a batch of \(contextShape[0]), but text has \(text.shape[0]): they must be equal")
    }
    // Positions need a tensor of their own only where padding makes them differ from row to row: each token's place among
    // the real tokens of its row, from 0; int64 [batch, length].
    let textPositions = try mask.map {
      try ($0.to(dtype: .int64).cumsum(1) - 1).clamp(min: 0).to(dtype: .int64)
    }
    var x = try embedding(text.to(dtype: .int64), at: textPositions.map { .given($0) } ?? .counted)
    var allPositions = try textPositions.map { try $0 + prefixLength }
    var padding = mask
    if let prefix {
      x = try Tensor.cat([prefix, x], dim: 1)
      allPositions = try allPositions.map {
        let before = try Tensor.arange(prefixLength, device: x.device).unsqueeze(0)
        return try Tensor.cat([before.expand([$0.shape[0], prefixLength]), $0], dim: 1)
      }
      padding = try mask.map {
        try Tensor.cat(
          [Tensor.ones([text.shape[0], prefixLength], dtype: .bool, device: x.device), $0], dim: 1)
      }
    }
    if training && embedding.dropout > 0 { x = try x.dropout(embedding.dropout) }
    let (states, maps) = try layers.forward(
      x, context: attendsToContext ? context : nil, positions: allPositions, padding: padding,
      training: training, wantsMaps: wantsMaps)
    return (prefix == nil ? states : try states.narrow(1, start: prefixLength, length: text.shape[1]), maps)
  }

  /// - Throws: `ModelError` for a token that is not in the vocabulary.
  private func checkTokens(_ text: Tensor) throws {
    for extreme in [try text.amin().item(Int.self), try text.amax().item(Int.self)] {
      try limits.checkToken(extreme)
    }
  }

  private func check(_ text: Tensor, mask: Tensor?) throws {
    let shape = text.shape
    guard shape.count == 2, shape[0] > 0, shape[1] > 0 else {
      throw ModelError("text has shape \(shape), but must be [batch, length] with at least one token")
    }
    let dtype = try text.dtype
    guard dtype == .int64 || dtype == .int32 else {
      throw ModelError("text holds \(dtype), but must hold token ids as int64 or int32")
    }
    guard shape[1] <= limits.longestText else {
      throw ModelError(
        "text has \(shape[1]) tokens, but \(limits.longestTextName) is \(limits.longestText): shorten it")
    }
    if let mask {
      guard mask.shape == shape, try mask.dtype == .bool else {
        throw ModelError(
          "mask has shape \(mask.shape) and holds \(try mask.dtype), but must hold bool in text's shape \(shape)"
        )
      }
    }
  }
}

/// What texts a decoder takes, and what its configuration calls that.
public struct TextLimits: Sendable, Equatable {
  /// How many tokens there are: the length of a row of logits.
  public let vocabulary: Int
  /// The most tokens of a text.
  public let longestText: Int
  package let vocabularyName: String
  let longestTextName: String

  /// - Throws: `ModelError` when a token is not in the vocabulary.
  package func checkToken(_ token: Int) throws {
    guard (0..<vocabulary).contains(token) else {
      throw ModelError("text holds token \(token), but \(vocabularyName) is \(vocabulary)")
    }
  }

  /// Checks what is asked for, and gives the number of tokens after which a text ends.
  /// - Throws: `ModelError` for what the model cannot do.
  package func newTokens(after prompt: [Int], _ options: GenerationOptions) throws -> Int {
    try options.validate(vocabulary: vocabulary)
    guard !prompt.isEmpty else {
      throw ModelError("every prompt needs at least one token, such as the one that begins a text")
    }
    for token in prompt { try checkToken(token) }
    guard prompt.count <= longestText else {
      throw ModelError(
        "a prompt has \(prompt.count) tokens, but \(longestTextName) is \(longestText): shorten it")
    }
    // The last token is never fed back, so the text may be one longer than what the decoder sees.
    let room = longestText - prompt.count + 1
    guard let wanted = options.maxNewTokens else {
      return max(1, min(room, options.maxLength.map { $0 - prompt.count } ?? room))
    }
    guard wanted <= room || options.overflow == .slidingWindow else {
      throw ModelError(
        "max_new_tokens is \(wanted), but after a prompt of \(prompt.count) tokens only \(room) fit into "
          + "\(longestTextName) \(longestText): ask for fewer, or choose the sliding window")
    }
    return wanted
  }
}

import Torch

/// A text's tokens and their positions as vectors: `norm(tokenScale · token + positionScale · position + type)`.
final class TextEmbedding {
  /// Vectors of positions. A text's first token has the one at `offset`.
  enum Positions {
    case learned(Embedding, offset: Int)
    /// [positions, dim], computed and not trained
    case fixed(Tensor, offset: Int)
  }

  let tokens: Embedding
  private var positions: Positions?
  /// The vector of token type 0, the first row of [types, dim], which BERT adds to every token.
  private let types: Parameter?
  private let norm: LayerNorm?
  private let tokenScale: Double
  private let positionScale: Double
  /// Of the result and what goes before it, while training.
  let dropout: Double

  init(
    tokens: Embedding, positions: Positions?, types: Parameter? = nil, norm: LayerNorm? = nil,
    tokenScale: Double = 1, positionScale: Double = 1, unplaced: Int? = nil, dropout: Double = 0
  ) {
    self.tokens = tokens
    self.positions = positions
    self.types = types
    self.norm = norm
    self.tokenScale = tokenScale
    self.positionScale = positionScale
    self.unplaced = unplaced
    self.dropout = dropout
  }

  /// Which token has the row before the first place's wherever it stands, as padding has in RoBERTa; the others count it.
  private let unplaced: Int?

  /// Where tokens are put.
  enum Places {
    /// Each row's first token at place 0.
    case counted
    /// int64 [batch, length]
    case given(Tensor)
    /// Of a single row of tokens, [tokens, dim].
    case listed([Int])
  }

  /// - Parameter text: int64 [batch, length], or [tokens] where places are listed
  /// - Returns: [batch, length, dim], or [tokens, dim]
  func callAsFunction(_ text: Tensor, at places: Places) throws -> Tensor {
    var x = try tokens(text)
    if tokenScale != 1 { x = try x * tokenScale }
    if let added = try vectors(of: places, like: text) {
      x = try x + (positionScale == 1 ? added : added * positionScale)
    }
    if let types { x = try x + types.value.select(0, 0) }
    return try norm?(x) ?? x
  }

  private func vectors(of places: Places, like text: Tensor) throws -> Tensor? {
    guard let positions else { return nil }
    let (table, offset) = positions.parts
    if let unplaced {
      let rows: Tensor =
        switch places {
        case .counted: try .arange(offset, offset + text.shape[1], device: text.device).unsqueeze(0)
        case .given(let places): try places + offset
        case .listed(let places): try Tensor(places.map { $0 + offset }).to(device: text.device)
        }
      return try rows.maskedFill(text == unplaced, Double(offset - 1)).embedding(table)
    }
    switch places {
    case .counted: return try table.narrow(0, start: offset, length: text.shape[1])
    case .given(let places): return try (places + offset).embedding(table)
    case .listed(let places):
      return try Tensor(places.map { $0 + offset }).to(device: table.device).embedding(table)
    }
  }

  func prepareForInference(_ precision: Precision) throws {
    try tokens.prepareForInference(precision)
    if case .learned(let table, _)? = positions { try table.prepareForInference(precision) }
    try norm?.prepareForInference(precision)
  }
}

extension TextEmbedding.Positions {
  /// [positions, dim]
  fileprivate var parts: (table: Tensor, offset: Int) {
    switch self {
    case .learned(let embedding, let offset): (embedding.weight.value, offset)
    case .fixed(let table, let offset): (table, offset)
    }
  }
}

/// Hidden states to logits over the next token: `W h + b`, after `norm(activation(V h + c))` where there is a transform.
final class TextHead {
  /// What masked language models such as BERT do before the last layer.
  struct Transform {
    let dense: Linear
    let activation: Activation
    let norm: LayerNorm
  }

  private let transform: Transform?
  private let output: Linear

  init(transform: Transform? = nil, output: Linear) {
    self.transform = transform
    self.output = output
  }

  func callAsFunction(_ states: Tensor) throws -> Tensor {
    guard let transform else { return try output(states) }
    return try output(transform.norm(transform.dense(states, activation: transform.activation)))
  }

  var weights: [Parameter] { [transform?.dense.weight, output.weight].compactMap { $0 } }

  func prepareForInference(_ precision: Precision) throws {
    try output.prepareForInference(precision)
    try transform?.dense.prepareForInference(precision)
    try transform?.norm.prepareForInference(precision)
  }
}

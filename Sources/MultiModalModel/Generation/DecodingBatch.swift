import Torch

/// Texts that grow together, a token at each step. They may join and leave at any time, and what a text becomes depends on its
/// own picture, prompt and options alone. The one place that feeds the decoder.
public final class DecodingBatch {
  /// Names what joined together: the texts of one picture.
  public struct ID: Hashable, Sendable { fileprivate let number: Int }

  /// A token and what the text's condition says after it.
  public struct Token: Sendable {
    /// What was taken or drawn.
    public internal(set) var token: GeneratedToken
    /// A copy, as it was after the token; nil where the text has none.
    public let condition: (any StopCondition)?
  }

  /// A finished text and its condition at the end.
  public struct Text: Sendable {
    /// All its tokens.
    public let text: GeneratedText
    /// As it was after the last token; nil where the text has none.
    public let condition: (any StopCondition)?
  }

  /// What a step gave one picture's texts.
  public struct Progress: Sendable {
    /// Whose texts they are.
    public let id: ID
    /// One for each text that runs; none in a beam search, and while a long prompt is read.
    public let tokens: [Token]
    /// All texts when the last one ends, or why there are none, which is no other text's concern; then they have left.
    public let finished: Result<[Text], any Error>?
  }

  /// A running text.
  private struct Row {
    var text: [Int]
    /// Tokens behind the first that the sliding window left out.
    var dropped = 0
    /// How many of the others the cache holds.
    var fed = 0
    var slot: Int

    var visibleCount: Int { text.count - dropped }

    func visible(from start: Int, to end: Int) -> ArraySlice<Int> {
      if dropped == 0 { return text[start..<end] }
      return (text.prefix(1) + text.dropFirst(1 + dropped))[start..<end]
    }
  }

  private struct Member {
    let id: ID
    /// The encoder's output, [1, keys, dim].
    let context: Tensor
    /// Where its keys and values lie, with cross-attention.
    let contextSlot: Int?
    var rows: [Row]
    var continuation: any Continuation
    let overflow: GenerationOptions.Overflow
  }

  private let model: any ImageToTextModel
  private let cache: DecoderCache
  private var members: [Member] = []
  private var joined = 0

  /// Tokens of a prompt that are read in one step, so that a long one does not keep the other texts waiting.
  static let piece = 128

  /// - Parameter model: must not change while texts run
  public convenience init(_ model: any ImageToTextModel) { self.init(model, cache: DecoderCache()) }

  init(_ model: any ImageToTextModel, cache: DecoderCache) {
    self.model = model
    self.cache = cache
  }

  /// Whether no text runs.
  public var isEmpty: Bool { members.isEmpty }

  /// Adds the texts that are asked for of one picture.
  /// - Parameters:
  ///   - context: what `encode` gave, [1, patches, dim]
  ///   - prompt: with at least one token
  ///   - condition: ends a text after a token, as a stop token does
  /// - Throws: `ModelError` for what the model cannot do.
  @discardableResult
  public func join(
    context: Tensor, prompt: [Int], options: GenerationOptions, condition: (any StopCondition)? = nil
  ) throws -> ID {
    let limit = try model.decoder.limits.newTokens(after: prompt, options)
    let continuation: any Continuation =
      try options.numBeams > 1
      ? BeamSearch(options, promptLength: prompt.count, limit: limit, condition: condition)
      : Sampling(options, promptLength: prompt.count, limit: limit, condition: condition)
    let contextSlot =
      try model.decoder.hasExactCache
      ? withoutGradients { try model.decoder.layers.hold(context, in: cache) } : nil
    joined += 1
    let id = ID(number: joined)
    members.append(
      Member(
        id: id, context: context, contextSlot: contextSlot,
        rows: [Row(text: prompt, slot: cache.texts.take())],
        continuation: continuation, overflow: options.overflow))
    return id
  }

  /// Takes a picture's texts out, wherever they are.
  public func leave(_ id: ID) {
    guard let index = members.firstIndex(where: { $0.id == id }) else { return }
    release(members.remove(at: index))
  }

  private func release(_ member: Member) {
    for row in member.rows { cache.texts.leave(row.slot) }
    if let slot = member.contextSlot { cache.contexts.leave(slot) }
  }

  /// Gives every running text its next token, and every new one a piece of its prompt.
  /// - Throws: `ModelError` when nothing can be computed; what ran is then lost and must leave.
  public func step() throws -> [Progress] {
    guard !members.isEmpty else { return [] }
    for index in members.indices { try makeRoom(&members[index]) }
    let (logits, ready) = try withoutGradients {
      try model.decoder.hasExactCache ? feed() : recompute()
    }
    guard !ready.isEmpty else { return [] }
    let next = try NextTokens(logits)
    var start = 0
    var progress: [Progress] = []
    var copies = Copies()
    for index in ready {
      let end = start + members[index].rows.count
      var advance = Advance()
      do {
        try next.check(start..<end)
        advance = try members[index].continuation.advance(
          next, rows: start..<end, texts: members[index].rows.map(\.text))
      } catch {
        advance.finished = .failure(error)
      }
      continueRows(of: &members[index], advance.rows, &copies)
      progress.append(
        Progress(id: members[index].id, tokens: advance.tokens, finished: advance.finished))
      start = end
    }
    try cache.texts.copy(copies.sources, to: copies.targets)
    for index in members.indices.reversed() where members[index].rows.isEmpty {
      release(members.remove(at: index))
    }
    return progress
  }

  private struct Copies {
    var sources: [Int] = []
    var targets: [Int] = []
  }

  /// Gives the texts that go on a slot each: that of the text which they continue, or a copy of it.
  private func continueRows(
    of member: inout Member, _ rows: [(parent: Int, token: Int)], _ copies: inout Copies
  ) {
    let old = member.rows
    let parents = Set(rows.map(\.parent))
    for (index, row) in old.enumerated() where !parents.contains(index) { cache.texts.leave(row.slot) }
    var kept = Set<Int>()
    member.rows = rows.map { parent, token in
      var row = old[parent]
      row.text.append(token)
      if !kept.insert(parent).inserted {
        row.slot = cache.texts.take()
        copies.sources.append(old[parent].slot)
        copies.targets.append(row.slot)
      }
      return row
    }
  }

  /// Feeds what the cache does not hold yet.
  /// - Returns: logits of the texts that are read to their end, and whose they are
  private func feed() throws -> (logits: Tensor, ready: [Int]) {
    var steps: [Transformer.StepRow] = []
    var ready: [Int] = []
    for index in members.indices {
      let member = members[index]
      for place in member.rows.indices {
        let row = member.rows[place]
        let end = min(row.visibleCount, row.fed + Self.piece)
        let isWanted = end == row.visibleCount
        steps.append(
          .init(
            slot: row.slot, context: member.contextSlot,
            prefix: row.fed == 0 && member.contextSlot == nil ? member.context : nil,
            tokens: row.visible(from: row.fed, to: end), position: row.fed, isWanted: isWanted))
        members[index].rows[place].fed = end
        if isWanted && place == 0 { ready.append(index) }
      }
    }
    return (try model.decoder.step(steps, cache: cache), ready)
  }

  /// Where no cache can be exact: computes all texts as a whole, those of pictures of one size together.
  private func recompute() throws -> (logits: Tensor, ready: [Int]) {
    let sizes = Dictionary(grouping: members.indices) { members[$0].context.shape[1] }
    let groups = sizes.keys.sorted().compactMap { sizes[$0] }
    let logits = try groups.map { group in
      let texts = group.flatMap { index in
        members[index].rows.map { $0.visible(from: 0, to: $0.visibleCount) }
      }
      let contexts = group.flatMap { index in members[index].rows.map { _ in members[index].context } }
      let (text, mask) = try padded(texts)
      return try model.decoder.lastLogits(text, context: Tensor.cat(contexts), mask: mask)
    }
    return (try logits.count == 1 ? logits[0] : Tensor.cat(logits), groups.flatMap { $0 })
  }

  /// Texts padded on the left.
  private func padded(_ texts: [ArraySlice<Int>]) throws -> (text: Tensor, mask: Tensor?) {
    let length = texts.map(\.count).max() ?? 0
    let device = model.parameters.device
    let flat = texts.flatMap { Array(repeating: 0, count: length - $0.count) + $0 }
    let text = try Tensor(flat, shape: [texts.count, length]).to(device: device)
    guard texts.contains(where: { $0.count < length }) else { return (text, nil) }
    let real = texts.flatMap { text in (0..<length).map { $0 >= length - text.count } }
    return (text, try Tensor(real, shape: [texts.count, length]).to(device: device))
  }

  /// Where texts no longer fit, drops their older half but for the first token.
  private func makeRoom(_ member: inout Member) throws {
    let longest = model.decoder.limits.longestText
    for index in member.rows.indices where member.rows[index].visibleCount > longest {
      guard member.overflow == .slidingWindow else {
        throw ModelError(
          "the text has reached \(model.decoder.limits.longestTextName) \(longest): ask for fewer tokens")
      }
      member.rows[index].dropped = member.rows[index].text.count - 1 - longest / 2
      member.rows[index].fed = 0
      cache.texts.clear(member.rows[index].slot)
    }
  }
}

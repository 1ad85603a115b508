import MultiModalModel

/// The text that tokens make, up to a stop string, as far as it is certain.
struct TextAssembler: StopCondition {
  private var decoder: any StreamingDecoder
  private var stops: StopStrings
  private(set) var text = ""
  /// What the last token added to the text.
  private(set) var piece = ""

  init(_ tokenizer: any Tokenizer, stopStrings: [String]) {
    decoder = tokenizer.streamingDecoder()
    stops = StopStrings(stopStrings)
  }

  mutating func append(_ token: Int) throws -> Bool {
    take(stops.append(try decoder.append(token)))
    return stops.isStopped
  }

  /// Takes what was held back, at the end of the text, as the last piece.
  mutating func finish() throws { take(stops.append(try decoder.finish()) + stops.finish()) }

  private mutating func take(_ piece: String) {
    text += piece
    self.piece = piece
  }
}

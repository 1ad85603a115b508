import Testing

@testable import MultiModalPipeline

@Suite struct StopStringsTests {
  private func filtered(_ pieces: [String], stops: [String]) -> (shown: [String], stopped: Bool) {
    var filter = StopStrings(stops)
    var shown = pieces.map { filter.append($0) }
    shown.append(filter.finish())
    return (shown, filter.isStopped)
  }

  @Test func textEndsBeforeTheFirstStopString() {
    #expect(filtered(["a cat. ", "A dog."], stops: ["."]).shown.joined() == "a cat")
    #expect(filtered(["one END two"], stops: ["two", "END"]).shown.joined() == "one ")
    #expect(filtered(["no stop"], stops: []).shown.joined() == "no stop")
  }

  @Test func aStopStringInPiecesIsNotShownEvenInPart() {
    let (shown, stopped) = filtered(["a #", "#", "# b"], stops: ["###"])
    #expect(shown == ["a ", "", "", ""])
    #expect(stopped)
  }

  @Test func whatOnlyBeganLikeAStopStringIsShown() {
    let (shown, stopped) = filtered(["a ##", " b", " #"], stops: ["###"])
    #expect(shown == ["a ", "## b", " ", "#"])
    #expect(!stopped)
  }

  /// Flags, letters with combining marks, and what a neighbour would join to one character: cut anywhere between scalars,
  /// a stop string is found, and what is shown is what stands before it.
  @Test(arguments: [
    "\u{1F1E9}\u{1F1EA}", "\u{1F1E9}", "e\u{301}", "e", "\u{301}", "\r\n", "\n", "\r", "\u{200D}",
    "\u{1F469}\u{200D}\u{1F373}",
    "\u{1F44D}\u{1F3FD}", "\u{1100}\u{1161}", "\u{E9}", "#\u{FE0F}\u{20E3}",
  ])
  func aStopStringIsFoundWhereverItFalls(stop: String) {
    for (before, after) in [
      ("a ", " b"), ("\u{1F1EB}\u{1F1F7}", "\u{1F1E9}"), ("", "\u{301}\u{302}"), ("x", "\n"),
      ("\u{1F469}", "\u{1F3FD}"),
    ] {
      let scalars = (before + stop + after).unicodeScalars.map { String($0) }
      for cut in 0...scalars.count {
        let pieces = [scalars[..<cut].joined(), scalars[cut...].joined()]
        for pieces in [pieces, scalars] {
          let (shown, stopped) = filtered(pieces, stops: [stop])
          #expect(stopped)
          #expect(shown.joined().unicodeScalars.elementsEqual(before.unicodeScalars))
        }
      }
    }
  }

  @Test func anotherSpellingOfAStopStringIsText() {
    let (shown, stopped) = filtered(["caf\u{E9}"], stops: ["e\u{301}"])
    #expect(shown.joined() == "caf\u{E9}")
    #expect(!stopped)
  }
}

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
}

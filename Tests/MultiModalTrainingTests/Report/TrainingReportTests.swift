import Foundation
import Testing

@testable import MultiModalTraining

#if canImport(FoundationXML)
  import FoundationXML
#endif

@Suite struct TrainingReportTests {
  private func html(
    _ log: [[String: RunLog.Value]] = [], title: String = "A run", summary: [(String, String)] = [],
    examples: [TrainingReport.Example] = []
  ) throws -> String {
    var history = RunHistory()
    for fields in log { history.add(fields) }
    let html = TrainingReport(title: title, summary: summary, history: history, examples: examples).html()
    for word in ["nan", "inf", "http://", "https://", "<script", "Optional("] {
      #expect(!html.lowercased().contains(word), "\(word)")
    }
    return html
  }

  private func count(_ part: String, in text: String) -> Int { text.components(separatedBy: part).count - 1 }

  @Test func aRunThatHasMeasuredNothingHasAPage() throws {
    let page = try html()
    #expect(page.contains("Nothing has been measured yet."))
    #expect(page.contains("<title>A run</title>"))
    #expect(!page.contains("<svg"))
  }

  @Test func textsFromOutsideAreOnlyText() throws {
    let evil = #"<script>alert('1')</script>"&\#u{1}"#
    let page = try html(
      [["step": 1, "event": .string(evil), "ids": [evil]]], title: evil, summary: [(evil, evil)],
      examples: [.init(jpeg: Data([1, 2, 3]), prompt: evil, expected: [evil], generated: evil)])
    let escaped = "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;\u{fffd}"
    #expect(count(escaped, in: page) == 9)
    #expect(page.contains(#"src="data:image/jpeg;base64,AQID""#))
  }

  @Test func whatIsRightIsMarked() throws {
    let page = try html(examples: [
      .init(jpeg: Data(), prompt: nil, expected: ["a dog", "a cat"], generated: "a cat"),
      .init(jpeg: Data(), prompt: nil, expected: ["a dog"], generated: ""),
    ])
    #expect(page.contains("Held-out pictures: 1 of 2 right"))
    #expect(count("✓ right", in: page) == 1)
    #expect(count("✗ different", in: page) == 1)
    #expect(page.contains(#"alt="Held-out picture 2""#))
    #expect(!page.contains("Prompt"))
  }

  @Test func everyKeyHasItsCurve() throws {
    let keys = [
      "loss", "learning_rate", "gradient_norm", "samples_per_second", "memory_bytes", "validation_loss",
      "perplexity",
      "exact_match", "token_f1", "character_error_rate", "word_error_rate", "bleu_4", "rouge_l", "cider",
    ]
    for key in keys {
      let page = try html([["step": 5, key: 2_147_483_648], ["step": 6, key: .number(.nan)]])
      #expect(count("<figure>", in: page) == 1, "\(key)")
      #expect(page.contains("at step 5,"), "\(key)")
    }
  }

  private static let hardValues: [[Double]] = [
    [0], [1], [-3], [1e-300], [1e99], [1, 1, 1], [1, 1 + 1e-15], [.nan, 2], [.infinity, -Double.infinity],
    [-1e99, 1e99], [1e300, 5], [.leastNonzeroMagnitude, 1], [0, .leastNonzeroMagnitude], [0, 1e-9],
    [123_456_789, 123_456_790],
  ]

  @Test(arguments: hardValues) func anyNumbersCanBeDrawn(values: [Double]) throws {
    for step: Double in [1, 0, -5, 1e14, 1e300, .nan] {
      let log = values.enumerated().map { index, value in
        ["step": RunLog.Value.number(step + Double(index)), "loss": .number(value), "cider": .number(value)]
      }
      let page = try html(log)
      for number in page.matches(of: /(?:cx|cy|points)="([^"]*)"/).flatMap({
        $0.1.split { " ,".contains($0) }
      }) {
        let place = try #require(Double(number))
        #expect((-1...421).contains(place), "\(place) for \(values) at \(step)")
      }
    }
  }

  @Test func manyPointsAreThinned() throws {
    var points = (1...30_000).map { (step: Double($0), value: 1.0) }
    points[12_345].value = 9
    let thinned = Chart.thinned(points)
    #expect(thinned.count == 1000)
    #expect(thinned.contains { $0.step == 12_346 && $0.value == 9 })
    #expect(Chart.runningMean(points).count <= 1000)
    #expect(Chart.runningMean(points).last?.step == 30_000)
    #expect(Chart.runningMean([(1, 4)]).map(\.value) == [4])
    points[0].value = 1e60
    #expect(Chart.runningMean(points).last?.value == 1)
    let page = try html(points.map { ["step": .number($0.step), "loss": .number($0.value)] })
    #expect(page.utf8.count < 60_000)
  }

  @Test func ticksAreRound() {
    #expect(Axis(0.03, 0.97, ticks: 5).ticks == [0, 0.2, 0.4, 0.6000000000000001, 0.8, 1])
    #expect(Axis(0, 2000, ticks: 5, isWhole: true).ticks == [0, 500, 1000, 1500, 2000])
    #expect(Axis(0, 2, ticks: 5, isWhole: true).ticks == [0, 1, 2])
    let rates = Axis(0, 6e-4, ticks: 5)
    #expect(rates.ticks.map(rates.label).prefix(2) == ["0", "2e\u{2212}4"])
    let many = Axis(0, 48_000, ticks: 5)
    #expect(many.ticks.map(many.label) == ["0", "10k", "20k", "30k", "40k", "50k"])
  }

  /// The page is well formed: as XML once its empty elements are closed.
  @Test func tagsAreClosed() throws {
    let log = (1...100).map { ["step": RunLog.Value.number(Double($0)), "loss": .number(1 / Double($0))] }
    var page = try html(
      log + [["step": 4, "event": "left out", "ids": ["a"]]], summary: [("a", "b")],
      examples: [.init(jpeg: Data([1]), prompt: "p", expected: ["t"], generated: "g")])
    page = page.replacingOccurrences(of: "<!DOCTYPE html>", with: "")
      .replacing(/<(meta|img)([^>]*)>/) { "<\($0.1)\($0.2)/>" }
    let parser = XMLParser(data: Data(page.utf8))
    #expect(parser.parse(), "\(parser.parserError as Any) in line \(parser.lineNumber)")
  }

  @Test func thePageIsWritten() throws {
    let folder = try TemporaryFolder()
    let url = folder.url.appendingPathComponent("report.html")
    let report = TrainingReport(title: "t", summary: [], history: RunHistory(), examples: [])
    try report.write(to: url)
    #expect(try Data(contentsOf: url) == Data(report.html().utf8))
  }
}

import Foundation
import Testing

@testable import MultiModalTraining

/// Against sacrebleu, jiwer, rouge_score and pycocoevalcap: `Tests/Reference/metric_fixtures.py`.
struct MetricsTests {
  struct Case: Decodable, CustomTestStringConvertible {
    let name: String
    let generated: [String]
    let references: [[String]]
    let expected: TextMetrics
    var testDescription: String { name }
  }

  /// A text and the words that each metric makes of it.
  struct Words: Decodable {
    let text: String
    let bleu: [String]
    let rouge: [String]
    let cider: [String]
    let errorRate: [String]

    enum CodingKeys: String, CodingKey {
      case text, bleu, rouge, cider
      case errorRate = "error_rate"
    }
  }

  static func fixture<Value: Decodable>(_ name: String) throws -> Value {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    return try JSONDecoder().decode(
      Value.self, from: Data(contentsOf: folder.appendingPathComponent("Fixtures/metrics/\(name).json")))
  }

  static let figures: [(String, KeyPath<TextMetrics, Double> & Sendable)] = [
    ("exact match", \.exactMatch), ("token F1", \.tokenF1), ("character errors", \.characterErrorRate),
    ("word errors", \.wordErrorRate), ("BLEU-4", \.bleu4), ("ROUGE-L", \.rougeL), ("CIDEr", \.cider),
  ]

  @Test(arguments: try fixture("cases") as [Case])
  func metricsAreThoseOfTheReferenceImplementations(_ sample: Case) {
    let metrics = TextMetrics(generated: sample.generated, references: sample.references)
    #expect(metrics.count == sample.expected.count)
    for (name, figure) in Self.figures {
      #expect(
        abs(metrics[keyPath: figure] - sample.expected[keyPath: figure]) < 1e-6,
        "\(name): \(metrics[keyPath: figure]) and not \(sample.expected[keyPath: figure])")
    }
  }

  @Test func wordsAreThoseOfTheReferenceImplementations() throws {
    func scalars(_ words: [String]) -> [Word] { words.map { Array($0.unicodeScalars) } }
    for sample in try Self.fixture("words") as [Words] {
      #expect(TextMetrics.bleuWords(sample.text) == scalars(sample.bleu), "\(sample.text.debugDescription)")
      #expect(TextMetrics.rougeWords(sample.text) == scalars(sample.rouge), "\(sample.text.debugDescription)")
      #expect(TextMetrics.ciderWords(sample.text) == scalars(sample.cider), "\(sample.text.debugDescription)")
      #expect(
        TextMetrics.errorRateWords(sample.text) == scalars(sample.errorRate),
        "\(sample.text.debugDescription)")
    }
  }

  @Test func nothingToCompareGivesZero() {
    let nothing = TextMetrics(generated: [], expected: [])
    #expect(nothing.count == 0)
    #expect(Self.figures.allSatisfy { nothing[keyPath: $0.1] == 0 })
    #expect(TextMetrics(generated: ["a cat"], references: [[]]) == nothing)
    #expect(TextMetrics(generated: ["a cat"], references: []) == nothing)
    let one = TextMetrics(generated: ["cat", "dog", "bird"], references: [["cat"], []])
    #expect(one == TextMetrics(generated: ["cat"], expected: ["cat"]))
  }

  @Test func intervalsHoldTheRateAndAreAsWideAsThoseOfABinomial() {
    // 2 * 1.96 * sqrt(0.9 * 0.1 / 1000) = 0.037
    let generated = (0..<1000).map { $0 % 10 == 0 ? "dog" : "cat" }
    let intervals = MetricIntervals(generated: generated, references: generated.map { _ in ["cat"] })
    for (interval, rate) in [(intervals.exactMatch, 0.9), (intervals.characterErrorRate, 0.1)] {
      #expect(interval.contains(rate))
      #expect(abs(interval.upperBound - interval.lowerBound - 0.037) < 0.004, "\(interval)")
    }
    #expect(intervals == MetricIntervals(generated: generated, references: generated.map { _ in ["cat"] }))
    let right = MetricIntervals(generated: ["cat", "dog"], references: [["cat"], []])
    #expect(right.exactMatch == 1...1 && right.characterErrorRate == 0...0)
    #expect(MetricIntervals(generated: [], references: []).exactMatch == 0...0)
  }

  @Test func metricsAreWrittenInSnakeCase() throws {
    let metrics = TextMetrics(
      generated: ["a cat on a mat", "a dog"], expected: ["a cat on the mat", "a dog"])
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    let plain = try encoder.encode(metrics)
    encoder.keyEncodingStrategy = .convertToSnakeCase
    #expect(try encoder.encode(metrics) == plain)
    #expect(try JSONDecoder().decode(TextMetrics.self, from: plain) == metrics)
    #expect(
      try #require(JSONSerialization.jsonObject(with: plain) as? [String: Any]).keys.sorted() == [
        "bleu_4", "character_error_rate", "cider", "count", "exact_match", "rouge_l", "token_f1",
        "word_error_rate",
      ])
  }

  @Test func wordsInCommonMakeF1() {
    #expect(TextMetrics.tokenF1("a black cat", "a black cat") == 1)
    #expect(TextMetrics.tokenF1("a cat", "a black cat") == 0.8)
    #expect(TextMetrics.tokenF1("cat cat", "cat") == 2.0 / 3)
    #expect(TextMetrics.tokenF1("dog", "cat") == 0)
    #expect(TextMetrics.tokenF1("", "") == 1)
    #expect(TextMetrics.tokenF1("", "cat") == 0)
    let metrics = TextMetrics(generated: ["cat", "a dog"], expected: ["cat", "a big dog"])
    #expect(metrics.exactMatch == 0.5)
    #expect(metrics.tokenF1 == 0.9)
  }
}

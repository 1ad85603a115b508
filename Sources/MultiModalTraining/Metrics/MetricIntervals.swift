import Torch

/// Where metrics lie for other texts of the same kind, with a probability of 95 %: what lies between the 2.5th and the
/// 97.5th percentile when as many texts are drawn from the given ones a thousand times, each as often as it comes (the
/// bootstrap, Efron, 1979). Draws are seeded, so the same texts give the same intervals.
public struct MetricIntervals: Sendable, Equatable, Codable {
  /// Of the share of texts that are equal to one of their references.
  public let exactMatch: ClosedRange<Double>
  /// Of the edits of characters per character.
  public let characterErrorRate: ClosedRange<Double>

  enum CodingKeys: String, CodingKey {
    case exactMatch = "exact_match"
    case characterErrorRate = "character_error_rate"
  }

  private static let draws = 1000

  /// - Parameter references: each generated text's; a text without any is left out
  public init(generated: [String], references: [[String]]) {
    let pairs: [TextMetrics.Pair] = zip(generated, references).filter { !$0.1.isEmpty }
    let errors = pairs.map { TextMetrics.errors($0, units: TextMetrics.trimmed) }
    let exact = pairs.map { $0.references.contains($0.generated) ? 1 : 0 }
    var generator = SplitMix64(seed: 0)
    var rates: (exact: [Double], errors: [Double]) = ([], [])
    for _ in 0..<Self.draws where !pairs.isEmpty {
      var (right, edits, length) = (0, 0, 0)
      for _ in pairs {
        let drawn = Int.random(in: pairs.indices, using: &generator)
        right += exact[drawn]
        edits += errors[drawn].edits
        length += errors[drawn].length
      }
      rates.exact.append(Double(right) / Double(pairs.count))
      rates.errors.append(Double(edits) / Double(max(length, 1)))
    }
    (exactMatch, characterErrorRate) = (Self.middle(rates.exact), Self.middle(rates.errors))
  }

  /// Without the smallest and the largest fortieth; 0 for nothing.
  private static func middle(_ values: [Double]) -> ClosedRange<Double> {
    let kept = values.sorted().dropFirst(values.count / 40).dropLast(values.count / 40)
    return (kept.first ?? 0)...(kept.last ?? 0)
  }
}

/// How well generated texts agree with the true ones.
public struct TextMetrics: Sendable, Equatable, Codable {
  /// The share of texts that are equal to the true ones.
  public var exactMatch = 0.0
  /// The mean over texts of the F1 of their words as bags (Rajpurkar et al., 2016, SQuAD's F1, without its
  /// normalisation).
  public var tokenF1 = 0.0
  public var count = 0

  public init(generated: [String], expected: [String]) {
    count = min(generated.count, expected.count)
    guard count > 0 else { return }
    let pairs = Array(zip(generated, expected))
    exactMatch = Double(pairs.filter { $0 == $1 }.count) / Double(count)
    tokenF1 = pairs.map(Self.tokenF1).reduce(0, +) / Double(count)
  }

  static func tokenF1(_ generated: String, _ expected: String) -> Double {
    let a = generated.split(separator: " ")
    let b = expected.split(separator: " ")
    guard !a.isEmpty, !b.isEmpty else { return a.isEmpty && b.isEmpty ? 1 : 0 }
    var remaining = Dictionary(b.map { ($0, 1) }, uniquingKeysWith: +)
    var common = 0
    for word in a where remaining[word, default: 0] > 0 {
      remaining[word, default: 0] -= 1
      common += 1
    }
    guard common > 0 else { return 0 }
    let precision = Double(common) / Double(a.count)
    let recall = Double(common) / Double(b.count)
    return 2 * precision * recall / (precision + recall)
  }
}

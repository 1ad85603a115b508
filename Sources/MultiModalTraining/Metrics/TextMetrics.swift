/// How well generated texts agree with the true ones, of which each may have several: its references.
///
/// All are shares from 0 to 1, apart from the error rates, which insertions can lift above 1, and `cider`, from 0 to 10.
/// Nothing compared gives 0 throughout. Only `exactMatch` and `tokenF1` take canonically equivalent texts for equal, as
/// Swift does; the others compare Unicode scalars, as the implementations do whose figures they give.
public struct TextMetrics: Sendable, Equatable, Codable {
  /// The share of texts that are equal to one of their references.
  public var exactMatch = 0.0
  /// The mean over texts of the F1 of their words as bags, with the reference where it is greatest.
  public var tokenF1 = 0.0
  /// Edits of characters (Unicode scalars) per character of the references.
  public var characterErrorRate = 0.0
  /// Edits of words per word of the references.
  public var wordErrorRate = 0.0
  /// BLEU with n-grams of up to four words, of all texts together. 0 where no generated text has four words.
  public var bleu4 = 0.0
  /// The mean over texts of the F1 of the longest common subsequence, with the reference where it is greatest.
  public var rougeL = 0.0
  /// CIDEr-D: the mean over texts, times 10, of how far they share the words and phrases that are rare in other texts'
  /// references. 0 for a single text, where nothing tells rare from frequent.
  public var cider = 0.0
  /// The texts compared.
  public var count = 0

  enum CodingKeys: String, CodingKey {
    case exactMatch = "exact_match"
    case tokenF1 = "token_f1"
    case characterErrorRate = "character_error_rate"
    case wordErrorRate = "word_error_rate"
    case bleu4 = "bleu_4"
    case rougeL = "rouge_l"
    case cider, count
  }

  /// By the names that they have in JSON.
  var values: [(name: String, value: Double)] {
    let values: [(CodingKeys, Double)] = [
      (.exactMatch, exactMatch), (.tokenF1, tokenF1), (.characterErrorRate, characterErrorRate),
      (.wordErrorRate, wordErrorRate), (.bleu4, bleu4), (.rougeL, rougeL), (.cider, cider),
    ]
    return values.map { ($0.0.rawValue, $0.1) }
  }

  /// A generated text and its references, at least one.
  typealias Pair = (generated: String, references: [String])

  /// - Parameter references: each generated text's; a text without any is left out
  public init(generated: [String], references: [[String]]) {
    let pairs: [Pair] = zip(generated, references).filter { !$0.1.isEmpty }
    guard !pairs.isEmpty else { return }
    count = pairs.count
    exactMatch = Double(pairs.filter { $0.references.contains($0.generated) }.count) / Double(count)
    tokenF1 = Self.meanOfBest(pairs, Self.tokenF1)
    characterErrorRate = Self.characterErrorRate(pairs)
    wordErrorRate = Self.wordErrorRate(pairs)
    bleu4 = Self.bleu4(pairs)
    rougeL = Self.meanOfBest(pairs, Self.rougeL)
    cider = Self.cider(pairs)
  }

  /// Compares each text with one that was expected.
  public init(generated: [String], expected: [String]) {
    self.init(generated: generated, references: expected.map { [$0] })
  }

  private static func meanOfBest(_ pairs: [Pair], _ score: (String, String) -> Double) -> Double {
    pairs.reduce(0) { sum, pair in sum + (pair.references.map { score(pair.generated, $0) }.max() ?? 0) }
      / Double(pairs.count)
  }

  /// The harmonic mean of a count's shares of two lengths; 0 where the count is 0.
  static func f1(_ common: Int, of a: Int, and b: Int) -> Double {
    common > 0 ? 2 * Double(common) / Double(a + b) : 0
  }
}

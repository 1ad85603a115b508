extension TextMetrics {
  /// The F1 of two texts' words as bags (Rajpurkar et al., 2016, SQuAD's F1, without its normalisation): with c the
  /// words in common, 2 P R / (P + R) where P = c / |generated| and R = c / |expected|. Two texts without words give 1.
  static func tokenF1(_ generated: String, _ expected: String) -> Double {
    let a = generated.split(separator: " ")
    let b = expected.split(separator: " ")
    guard !a.isEmpty || !b.isEmpty else { return 1 }
    var remaining = Dictionary(b.map { ($0, 1) }, uniquingKeysWith: +)
    var common = 0
    for word in a where remaining[word, default: 0] > 0 {
      remaining[word, default: 0] -= 1
      common += 1
    }
    return f1(common, of: a.count, and: b.count)
  }
}

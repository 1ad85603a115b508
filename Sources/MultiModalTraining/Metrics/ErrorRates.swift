import MultiModalPipeline

extension TextMetrics {
  /// Of Unicode scalars, blanks among them, without those around the text: jiwer's `cer`.
  static func characterErrorRate(_ pairs: [Pair]) -> Double { errorRate(pairs, units: trimmed) }

  /// Of words that blanks part: jiwer's `wer`.
  static func wordErrorRate(_ pairs: [Pair]) -> Double { errorRate(pairs, units: errorRateWords) }

  /// Σ (S + D + I) / Σ N over all texts, with S substitutions, D deletions and I insertions that make the generated text
  /// of a reference of N units (Levenshtein, 1966): the reference with the fewest edits, the first of several.
  /// References without any unit give the number of edits, as jiwer does.
  private static func errorRate<Unit: Equatable>(_ pairs: [Pair], units: (String) -> [Unit]) -> Double {
    let errors = pairs.map { Self.errors($0, units: units) }
    return Double(errors.reduce(0) { $0 + $1.edits }) / Double(max(errors.reduce(0) { $0 + $1.length }, 1))
  }

  /// S + D + I, and N.
  static func errors<Unit: Equatable>(_ pair: Pair, units: (String) -> [Unit]) -> (edits: Int, length: Int) {
    let generated = units(pair.generated)
    let choices = pair.references.map(units).map { (edits: editDistance(generated, $0), length: $0.count) }
    return choices.min { $0.edits < $1.edits } ?? (0, 0)
  }

  /// d(i, j) = min(d(i-1, j) + 1, d(i, j-1) + 1, d(i-1, j-1) + [a_i ≠ b_j]), a row at a time.
  package static func editDistance<Unit: Equatable>(_ a: [Unit], _ b: [Unit]) -> Int {
    var row = Array(0...b.count)
    for (i, unit) in a.enumerated() {
      var diagonal = row[0]
      row[0] = i + 1
      for j in b.indices {
        let substituted = diagonal + (unit == b[j] ? 0 : 1)
        diagonal = row[j + 1]
        row[j + 1] = min(substituted, diagonal + 1, row[j] + 1)
      }
    }
    return row[b.count]
  }

  /// jiwer's words: a blank parts them, and so do two or more spaces of any kind. A single tab or line break does not.
  static func errorRateWords(_ text: String) -> [Word] {
    let text = trimmed(text)
    func isSpace(_ index: Int) -> Bool { text.indices.contains(index) && text[index].isPythonSpace }
    return text.indices
      .split { text[$0] == " " || isSpace($0) && (isSpace($0 - 1) || isSpace($0 + 1)) }
      .map { Array(text[$0]) }
  }
}

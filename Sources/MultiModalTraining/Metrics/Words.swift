import MultiModalPipeline

/// A word by its Unicode scalars, so that equal means what it means in Python, where the metrics' reference
/// implementations are at home.
typealias Word = [Unicode.Scalar]

extension TextMetrics {
  /// A text's scalars without the spaces around it.
  static func trimmed(_ text: String) -> Word {
    var scalars = text.unicodeScalars.drop(while: \.isPythonSpace)
    while scalars.last?.isPythonSpace == true { scalars.removeLast() }
    return Array(scalars)
  }
}

/// How often each sequence of one to four words is in a text.
struct NGrams {
  typealias NGram = ArraySlice<Word>

  private(set) var counts: [NGram: Int] = [:]
  /// Each once, in the order of the text, so that sums over them do not depend on a dictionary's order.
  private(set) var distinct: [NGram] = []
  let bigrams: Int

  init(_ words: [Word]) {
    bigrams = max(words.count - 1, 0)
    for length in 1...4 {
      for start in words.indices.dropLast(length - 1) {
        let ngram = words[start..<start + length]
        if counts.updateValue(self[ngram] + 1, forKey: ngram) == nil { distinct.append(ngram) }
      }
    }
  }

  subscript(ngram: NGram) -> Int { counts[ngram, default: 0] }
}

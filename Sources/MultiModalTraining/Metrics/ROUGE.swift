extension TextMetrics {
  /// ROUGE-L (Lin, 2004): 2 P R / (P + R) where P = l / |generated|, R = l / |expected| and l is the length of the
  /// longest common subsequence of words. As Google's rouge_score without its stemmer; 0 where either has no words.
  static func rougeL(_ generated: String, _ expected: String) -> Double {
    let a = rougeWords(generated)
    let b = rougeWords(expected)
    return f1(longestCommonSubsequence(a, b), of: a.count, and: b.count)
  }

  /// l(i, j) = l(i-1, j-1) + 1 where a_i = b_j, and max(l(i-1, j), l(i, j-1)) elsewhere, a row at a time.
  private static func longestCommonSubsequence(_ a: [Word], _ b: [Word]) -> Int {
    var row = Array(repeating: 0, count: b.count + 1)
    for word in a {
      var diagonal = 0
      for j in b.indices {
        let above = row[j + 1]
        row[j + 1] = word == b[j] ? diagonal + 1 : max(above, row[j])
        diagonal = above
      }
    }
    return row[b.count]
  }

  /// Runs of ASCII's letters and digits in lower case. Other scripts have no words here, as in rouge_score.
  static func rougeWords(_ text: String) -> [Word] {
    text.lowercased().unicodeScalars
      .split { !("a"..."z").contains($0) && !("0"..."9").contains($0) }
      .map(Array.init)
  }
}

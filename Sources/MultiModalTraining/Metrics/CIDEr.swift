import Foundation
import MultiModalPipeline

extension TextMetrics {
  /// CIDEr-D (Vedantam et al., 2015), the mean over texts of
  /// 10 / (4 m) · Σₙ Σⱼ exp(-(l(c) - l(sⱼ))² / 2σ²) · min(gₙ(c), gₙ(sⱼ)) · gₙ(sⱼ) / (‖gₙ(c)‖ ‖gₙ(sⱼ)‖)
  /// for n = 1…4 and the text's m references sⱼ. gₙ weighs each n-gram by its count times ln(texts / texts with the
  /// n-gram in a reference), σ is 6, and l is the number of bigrams.
  ///
  /// As pycocoevalcap's `Cider` on the words of `ciderWords`.
  static func cider(_ pairs: [Pair]) -> Double {
    let references = pairs.map { $0.references.map { NGrams(ciderWords($0)) } }
    var frequency: [NGrams.NGram: Int] = [:]
    for texts in references {
      for ngram in Set(texts.flatMap(\.distinct)) { frequency[ngram, default: 0] += 1 }
    }
    func rarity(_ ngram: NGrams.NGram) -> Double {
      log(Double(pairs.count)) - log(Double(max(frequency[ngram, default: 0], 1)))
    }
    func norms(_ ngrams: NGrams) -> [Double] {
      var squares = [0.0, 0, 0, 0]
      for ngram in ngrams.distinct {
        let weight = Double(ngrams[ngram]) * rarity(ngram)
        squares[ngram.count - 1] += weight * weight
      }
      return squares.map { $0.squareRoot() }
    }

    var sum = 0.0
    for (pair, references) in zip(pairs, references) {
      let generated = NGrams(ciderWords(pair.generated))
      let generatedNorms = norms(generated)
      var score = 0.0
      for reference in references {
        var products = [0.0, 0, 0, 0]
        for ngram in generated.distinct {
          let count = reference[ngram]
          let rarity = rarity(ngram)
          products[ngram.count - 1] += Double(min(generated[ngram], count) * count) * rarity * rarity
        }
        let difference = Double(generated.bigrams - reference.bigrams)
        let penalty = exp(-difference * difference / (2 * 6 * 6))
        for (product, norm) in zip(products, zip(generatedNorms, norms(reference)).map(*)) where norm > 0 {
          score += penalty * product / norm
        }
      }
      sum += score / Double(4 * references.count)
    }
    return 10 * sum / Double(pairs.count)
  }

  /// Words in lower case without punctuation, a simple stand-in for the Penn Treebank's tokens: spaces and punctuation
  /// part words and are dropped, but an apostrophe or hyphen within a word and a point or comma between digits stay.
  /// Unlike in the treebank "don't" and "cat's" are one word each.
  static func ciderWords(_ text: String) -> [Word] {
    let text = Array(text.lowercased().unicodeScalars)
    func isWord(_ index: Int) -> Bool { text.indices.contains(index) && !text[index].isSpaceOrPunctuation }
    func isDigit(_ index: Int) -> Bool { text.indices.contains(index) && ("0"..."9").contains(text[index]) }
    return text.indices
      .split { index in
        switch text[index] {
        case "'", "’", "-": !isWord(index - 1) || !isWord(index + 1)
        case ".", ",": !isDigit(index - 1) || !isDigit(index + 1)
        default: !isWord(index)
        }
      }
      .map { Array(text[$0]) }
  }
}

extension Unicode.Scalar {
  /// Unicode counts the grave accent, which stands for a quotation mark, as a symbol.
  fileprivate var isSpaceOrPunctuation: Bool {
    switch properties.generalCategory {
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
      .finalPunctuation, .otherPunctuation:
      true
    default: isPythonSpace || self == "`"
    }
  }
}

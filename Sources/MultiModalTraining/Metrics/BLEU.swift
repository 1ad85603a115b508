import Foundation
import MultiModalPipeline

extension TextMetrics {
  /// BLEU-4 of a corpus (Papineni et al., 2002): BP · exp(Σₙ ln pₙ / 4) for n = 1…4, where pₙ is the share of the
  /// generated n-grams that are in a reference, each at most as often as in the one that has it most often, and
  /// BP = min(1, exp(1 - r / c)) for c generated words and r words of the references nearest in length.
  ///
  /// As sacrebleu's `corpus_bleu` by default: 13a tokens, case kept, and the k-th pₙ that is 0 becomes 1 / (2ᵏ totalₙ).
  static func bleu4(_ pairs: [Pair]) -> Double {
    var matches = [0, 0, 0, 0]
    var totals = matches
    var length = 0
    var referenceLength = 0
    for pair in pairs {
      let words = bleuWords(pair.generated)
      let references = pair.references.map(bleuWords)
      length += words.count
      referenceLength +=
        references.map(\.count)
        .min { (abs($0 - words.count), $0) < (abs($1 - words.count), $1) } ?? 0
      let allowed = references.map(NGrams.init)
      for (ngram, count) in NGrams(words).counts {
        totals[ngram.count - 1] += count
        matches[ngram.count - 1] += min(count, allowed.map { $0[ngram] }.max() ?? 0)
      }
    }
    guard matches[0] > 0, totals[3] > 0 else { return 0 }
    var smoothing = 1.0
    var logarithms = 0.0
    for (matched, total) in zip(matches, totals) {
      if matched == 0 { smoothing *= 2 }
      logarithms += log((matched == 0 ? 1 / smoothing : Double(matched)) / Double(total))
    }
    let brevity = min(0, 1 - Double(referenceLength) / Double(length))
    return exp(brevity + logarithms / 4)
  }

  /// The tokens of WMT's mteval-v13a, as sacrebleu's tokenizer `13a` makes them.
  static func bleuWords(_ text: String) -> [Word] {
    var line = String.UnicodeScalarView(text.unicodeScalars)
    while line.last?.isPythonSpace == true { line.removeLast() }
    for (old, new) in [
      ("<skipped>", ""), ("-\n", ""), ("\n", " "), ("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"),
      ("&gt;", ">"),
    ] {
      line = line.replacing(old.unicodeScalars, with: new.unicodeScalars)
    }
    var scalars: Word = [" "] + line + [" "]
    scalars = scalars.flatMap { isSymbol($0) ? [" ", $0, " "] : [$0] }
    // Full stop and comma part from what is no digit; a dash parts from the digit before it.
    scalars = replacingPairs(scalars, { !isDigit($0) }, isPoint) { [$0, " ", $1, " "] }
    scalars = replacingPairs(scalars, isPoint, { !isDigit($0) }) { [" ", $0, " ", $1] }
    scalars = replacingPairs(scalars, isDigit, { $0 == "-" }) { [$0, " ", $1, " "] }
    return scalars.split(whereSeparator: \.isPythonSpace).map(Array.init)
  }

  /// Replaces neighbours from left to right, as a regular expression of two characters does.
  private static func replacingPairs(
    _ scalars: Word, _ first: (Unicode.Scalar) -> Bool, _ second: (Unicode.Scalar) -> Bool,
    _ replacement: (Unicode.Scalar, Unicode.Scalar) -> Word
  ) -> Word {
    var result: Word = []
    var index = 0
    while index < scalars.count {
      if index + 1 < scalars.count, first(scalars[index]), second(scalars[index + 1]) {
        result += replacement(scalars[index], scalars[index + 1])
        index += 2
      } else {
        result.append(scalars[index])
        index += 1
      }
    }
    return result
  }

  private static func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }
  private static func isPoint(_ scalar: Unicode.Scalar) -> Bool { scalar == "." || scalar == "," }
  /// ASCII's blank and punctuation apart from apostrophe, comma, dash and full stop.
  private static func isSymbol(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "{"..."~", "["..."`", " "..."&", "("..."+", ":"..."@", "/": true
    default: false
    }
  }
}

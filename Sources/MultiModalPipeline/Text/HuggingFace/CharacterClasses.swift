// What Unicode says of characters, as Hugging Face's tokenizers ask it, to whom some versions of Unicode are unknown: a
// character that came later is none of its kind.

extension Unicode.Scalar {
  /// Whether a version of Unicode has the character.
  func isKnown(since version: Int) -> Bool {
    value < 0x80 || properties.age.map { $0.major <= version } ?? false
  }

  /// What regular expressions know.
  private var isKnownToExpressions: Bool { isKnown(since: 16) }
  /// What BERT's rules know.
  private var isKnownToBERT: Bool { isKnown(since: 8) }

  var isWhitespace: Bool {
    value < 0x80 ? value == 0x20 || (0x09...0x0D).contains(value) : properties.isWhitespace
  }

  /// What Python's `str.isspace` and `\s` say.
  package var isPythonSpace: Bool { properties.isWhitespace || ("\u{1C}"..."\u{1F}").contains(self) }

  /// \p{L}
  var isLetter: Bool {
    if value < 0x80 { return (0x61...0x7A).contains(value | 0x20) }
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
      return isKnownToExpressions
    default: return false
    }
  }

  /// \p{N}
  var isNumber: Bool { isDigit && isKnownToExpressions }

  /// A number, however new.
  var isDigit: Bool {
    if value < 0x80 { return (0x30...0x39).contains(value) }
    switch properties.generalCategory {
    case .decimalNumber, .letterNumber, .otherNumber: return true
    default: return false
    }
  }

  /// \p{M}
  var isMark: Bool {
    switch properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark: true
    default: false
    }
  }

  /// What is taken off as an accent: \p{M} of Unicode 9.
  var isAccent: Bool {
    isMark && isKnown(since: 9) && value != 0x111C9 || value == 0x1CF2 || value == 0x1CF3
  }

  /// What BERT takes off as an accent: \p{Mn} of Unicode 8.
  var isNonspacing: Bool {
    switch value {
    case 0x1885, 0x1886, 0xA9BD, 0x111C9: false
    case 0x1734, 0x1171E: true
    default: properties.generalCategory == .nonspacingMark && isKnownToBERT
    }
  }

  /// \w
  var isWord: Bool {
    if properties.isAlphabetic || isMark || properties.isJoinControl { return isKnownToExpressions }
    switch properties.generalCategory {
    case .decimalNumber, .connectorPunctuation: return isKnownToExpressions
    default: return false
    }
  }

  /// ASCII's symbols too.
  var isPunctuation: Bool {
    if value < 0x80 { return value > 0x20 && value < 0x7F && !isLetter && !isNumber }
    switch properties.generalCategory {
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
      .finalPunctuation, .otherPunctuation:
      return isKnownToBERT
    // Punctuation of old.
    default: return value == 0x166D || value == 0x111C9
    }
  }

  /// \p{C} of Unicode 14, as Python 3.11 has it.
  var isOther: Bool {
    switch properties.generalCategory {
    case .control, .format, .privateUse, .surrogate, .unassigned: true
    default: !isKnown(since: Self.pythonVersion)
    }
  }

  /// Of Unicode, in Python 3.11.
  static let pythonVersion = 14

  /// Control and format characters, private ones and those that are none; not those between words.
  var isControl: Bool {
    switch properties.generalCategory {
    case .control: value != 0x09 && value != 0x0A && value != 0x0D
    case .format, .privateUse, .surrogate: isKnownToBERT
    default: false
    }
  }

  /// Chinese characters, which BERT's vocabularies take for words.
  var isChinese: Bool {
    switch value {
    case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
      0x2B920...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
      true
    default: false
    }
  }
}

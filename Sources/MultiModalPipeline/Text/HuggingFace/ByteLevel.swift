/// GPT-2's way to write any bytes as printable characters, and to cut texts into words (Radford et al., 2019).
enum ByteLevel {
  /// The character that stands for each byte.
  static let scalars: [Unicode.Scalar] = {
    var next: UInt32 = 0x100
    return (0...UInt8.max).map { byte in
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return Unicode.Scalar(byte)
      default:
        defer { next += 1 }
        return Unicode.Scalar(next) ?? " "
      }
    }
  }()

  private static let bytes: [UInt8?] = {
    var bytes = [UInt8?](repeating: nil, count: 0x144)
    for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar.value)] = UInt8(byte) }
    return bytes
  }()

  /// The byte a character stands for; nil where it stands for none.
  static func byte(_ scalar: Unicode.Scalar) -> UInt8? {
    scalar.value < bytes.count ? bytes[Int(scalar.value)] : nil
  }

  static func encode(_ text: some Sequence<Unicode.Scalar>) -> [Unicode.Scalar] {
    var encoded: [Unicode.Scalar] = []
    for scalar in text {
      for byte in UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter {
        encoded.append(scalars[Int(byte)])
      }
    }
    return encoded
  }

  private enum Class { case letter, number, space, other }

  private static func characterClass(_ scalar: Unicode.Scalar) -> Class {
    if scalar.isLetter { return .letter }
    if scalar.isNumber { return .number }
    return scalar.isWhitespace ? .space : .other
  }

  /// Words with the space before them, as GPT-2's pattern finds them:
  /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
  static func words(of text: [Unicode.Scalar]) -> [Range<Int>] {
    let classes = text.map(characterClass)
    var words: [Range<Int>] = []
    var start = 0
    while start < text.count {
      var end = start + contraction(text, at: start)
      if end == start {
        let hasSpace = text[start] == " " && start + 1 < text.count && classes[start + 1] != .space
        end = start + (hasSpace ? 1 : 0)
        let kind = classes[end]
        while end < text.count, classes[end] == kind { end += 1 }
        // The last of several spaces belongs to the word behind them.
        if kind == .space, end < text.count, end > start + 1 { end -= 1 }
      }
      words.append(start..<end)
      start = end
    }
    return words
  }

  private static let contractions = ["s", "t", "re", "ve", "m", "ll", "d"].map { Array($0.unicodeScalars) }

  /// The length of an English ending such as `'ll` at a place; 0 where there is none.
  private static func contraction(_ text: [Unicode.Scalar], at start: Int) -> Int {
    guard text[start] == "'" else { return 0 }
    return contractions.first { text[(start + 1)...].starts(with: $0) }.map { $0.count + 1 } ?? 0
  }
}

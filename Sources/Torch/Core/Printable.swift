/// What comes from files and is shown to people: names, texts, reasons.
extension String {
  /// Without what would move a terminal's cursor, change its colours or make lines of its own.
  package var printable: String { printable(keeping: []) }

  /// - Parameter kept: control characters that stay, such as the ends of lines
  package func printable(keeping kept: Set<Unicode.Scalar>) -> String {
    guard unicodeScalars.contains(where: { Self.isControl($0) && !kept.contains($0) }) else { return self }
    var result = ""
    result.unicodeScalars += unicodeScalars.map { Self.isControl($0) && !kept.contains($0) ? "\u{FFFD}" : $0 }
    return result
  }

  /// One line of at most `limit` characters: the end of a longer one, which says what to do, stays, and its middle goes.
  package func sentence(limit: Int = 600) -> String {
    let isLong = utf8.count > limit && count > limit
    let text = isLong ? "\(prefix(limit * 2 / 3)) ... \(suffix(limit / 3))" : self
    return text.split(whereSeparator: \.isNewline).joined(separator: " ").printable
  }

  /// This JSON with those control characters escaped that it may hold as they are, in its texts alone.
  package var jsonWithoutControls: String {
    guard unicodeScalars.contains(where: { (0x7F..<0xA0).contains($0.value) }) else { return self }
    return unicodeScalars.map {
      (0x7F..<0xA0).contains($0.value) ? "\\u00\(String($0.value, radix: 16))" : String($0)
    }.joined()
  }

  private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value) || scalar.value == 0x2028
      || scalar.value == 0x2029
  }
}

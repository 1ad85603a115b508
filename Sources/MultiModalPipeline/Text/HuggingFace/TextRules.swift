/// What some readers do with a text behind their tokenizer, in code of their own; here a folder names it, in `text_rules` of
/// `tokenizer_config.json`, and it is done in that order.
enum TextRule: String, CaseIterable {
  /// Takes all white space out.
  case removeWhitespace = "remove_whitespace"
  /// Writes three dots for `…`, and as many dots for two or more of `・` and `.` in a row.
  case plainDots = "plain_dots"
  /// Writes ASCII and half-width katakana in full width, as Japanese texts are printed; what jaconv calls `h2z`.
  case fullWidth = "full_width"
  /// Writes a formula as KaTeX knows it; TexTeller's function of that name, as are the next three.
  case toKaTeX = "to_katex"
  /// Takes bold and italic type off a formula.
  case removeStyle = "remove_style"
  /// Lays a formula out in lines that are indented.
  case formatLaTeX = "format_latex"
  /// Gives a formula's environments and rows lines of their own.
  case addNewlines = "add_newlines"

  var step: any DecodingStep {
    switch self {
    case .removeWhitespace: WhitespaceRemoval()
    case .plainDots: PlainDots()
    case .fullWidth: FullWidth()
    case .toKaTeX: FormulaRewriting { try $0.convertToKaTeX() }
    case .removeStyle: FormulaRewriting { try $0.removeStyle() }
    case .formatLaTeX: FormulaRewriting { try $0.layOut() }
    case .addNewlines: FormulaRewriting { $0.addNewlines() }
    }
  }
}

private struct WhitespaceRemoval: DecodingStep {
  mutating func append(_ token: [Unicode.Scalar]) -> [[Unicode.Scalar]] {
    [token.filter { !$0.isPythonSpace }]
  }
}

private struct PlainDots: DecodingStep {
  /// Dots that more may follow.
  private var run: [Unicode.Scalar] = []

  mutating func append(_ token: [Unicode.Scalar]) -> [[Unicode.Scalar]] {
    var text: [Unicode.Scalar] = []
    for scalar in token {
      switch scalar {
      case "…": run += ["." as Unicode.Scalar, ".", "."]
      case "・", ".": run.append(scalar)
      default:
        text += finish().joined()
        text.append(scalar)
      }
    }
    return [text]
  }

  mutating func finish() -> [[Unicode.Scalar]] {
    defer { run = [] }
    return [run.count > 1 ? run.map { _ in "." } : run]
  }
}

private struct FullWidth: DecodingStep {
  /// A letter that the next one may put its mark on.
  private var held: Unicode.Scalar?

  /// U+FF61 to U+FF9D.
  private static let katakana = Array(
    "。「」、・ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン".unicodeScalars)
  private static let voiced = pairs("ｳｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾊﾋﾌﾍﾎ", "ヴガギグゲゴザジズゼゾダヂヅデドバビブベボ")
  private static let halfVoiced = pairs("ﾊﾋﾌﾍﾎ", "パピプペポ")

  private static func pairs(_ half: String, _ full: String) -> [Unicode.Scalar: Unicode.Scalar] {
    Dictionary(uniqueKeysWithValues: zip(half.unicodeScalars, full.unicodeScalars))
  }

  mutating func append(_ token: [Unicode.Scalar]) -> [[Unicode.Scalar]] {
    var text: [Unicode.Scalar] = []
    for scalar in token {
      let marked = scalar == "ﾞ" ? Self.voiced : scalar == "ﾟ" ? Self.halfVoiced : [:]
      if let letter = held.flatMap({ marked[$0] }) {
        text.append(letter)
        held = nil
        continue
      }
      text += finish().joined()
      if Self.voiced[scalar] != nil { held = scalar } else { text.append(Self.full(scalar)) }
    }
    return [text]
  }

  mutating func finish() -> [[Unicode.Scalar]] {
    defer { held = nil }
    return held.map { [[Self.full($0)]] } ?? []
  }

  private static func full(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
    switch scalar.value {
    case 0x20: "\u{3000}"
    case 0x21...0x7E: Unicode.Scalar(scalar.value + 0xFEE0) ?? scalar
    case 0xFF61...0xFF9D: katakana[Int(scalar.value - 0xFF61)]
    default: scalar
    }
  }
}

/// Rewrites a formula once it is whole, or leaves it as it is where that would take too long.
private struct FormulaRewriting: DecodingStep {
  let rewrite: @Sendable (inout Formula) throws -> Void
  private var held: [Unicode.Scalar] = []

  init(_ rewrite: @escaping @Sendable (inout Formula) throws -> Void) { self.rewrite = rewrite }

  mutating func append(_ token: [Unicode.Scalar]) -> [[Unicode.Scalar]] {
    held += token
    return []
  }

  mutating func finish() -> [[Unicode.Scalar]] {
    defer { held = [] }
    var formula = Formula(held)
    do { try rewrite(&formula) } catch { return [held] }
    return [formula.text]
  }
}

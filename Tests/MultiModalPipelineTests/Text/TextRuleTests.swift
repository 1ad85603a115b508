import Foundation
import Testing

@testable import MultiModalPipeline

@Suite struct TextRuleTests {
  /// What manga-ocr 0.1.16's `post_process`, with jaconv 0.5, makes of texts.
  private static let cases = [
    ("ab 1 2~", "ａｂ１２～"),
    ("何・・・だ…！？", "何．．．だ．．．！？"),
    ("あ・い.う..え…", "あ・い．う．．え．．．"),
    ("ｶﾞｷﾞﾊﾟﾋﾟｳﾞｱﾞﾞ ﾞﾟ･｢x｣", "ガギパピヴアﾞﾞﾞﾟ・「ｘ」"),
    ("ﾊﾊﾞﾊﾟﾊ", "ハバパハ"),
    ("\u{3000}\u{1C} \u{A0}x\u{200B}\u{2003}", "ｘ\u{200B}"),
    ("¥\\'\"`^|￥©ヮヰ…・", "¥＼＇＂｀＾｜￥©ヮヰ．．．．"),
    ("....", "．．．．"),
  ]

  private static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Fixtures")

  private func decode(_ tokens: [String], by rules: [TextRule]) -> String {
    var steps = rules.map(\.step)
    var text: [Unicode.Scalar] = []
    func pass(_ tokens: [[Unicode.Scalar]], from start: Int) -> [Unicode.Scalar] {
      var tokens = tokens
      for index in steps.indices.dropFirst(start) { tokens = tokens.flatMap { steps[index].append($0) } }
      return Array(tokens.joined())
    }
    for token in tokens { text += pass([Array(token.unicodeScalars)], from: 0) }
    for index in steps.indices { text += pass(steps[index].finish(), from: index + 1) }
    return String(String.UnicodeScalarView(text))
  }

  @Test(arguments: cases) func textsBecomeWhatThePythonMakesOfThemHoweverTheyCome(
    text: String, expected: String
  ) {
    let rules: [TextRule] = [.removeWhitespace, .plainDots, .fullWidth]
    #expect(decode([text], by: rules) == expected)
    #expect(decode(text.unicodeScalars.map { String($0) }, by: rules) == expected)
  }

  @Test func formulasBecomeWhatTheirPythonMakesOfThemHoweverTheyCome() throws {
    let fixture = Self.fixtures.appendingPathComponent("formulas/cases.json")
    let cases = try JSONDecoder().decode([[String: String]].self, from: Data(contentsOf: fixture))
    let latex: [TextRule] = [.removeStyle, .formatLaTeX, .addNewlines]
    let chains = Dictionary(uniqueKeysWithValues: (latex + [.toKaTeX]).map { ($0.rawValue, [$0]) })
      .merging(["latex": latex, "katex": [.toKaTeX] + latex]) { $1 }
    #expect(cases.count > 40)
    for formula in cases {
      let text = try #require(formula["text"])
      for (name, rules) in chains {
        let expected = try Array(#require(formula[name]).unicodeScalars)
        #expect(Array(decode([text], by: rules).unicodeScalars) == expected, "\(name) of \(text)")
        let tokens = text.unicodeScalars.map { String($0) }
        #expect(Array(decode(tokens, by: rules).unicodeScalars) == expected, "\(name) of \(text) in tokens")
      }
    }
  }

  /// The Python takes minutes for most of them, and fails for one.
  @Test(.timeLimit(.minutes(1)), arguments: ["{", "(\n", "\\bm{", "\\bm}{"])
  func whatIsNoFormulaDoesNotTakeLong(part: String) {
    let text = "\\bm{" + String(repeating: part, count: 100_000 / part.count)
    let rewritten = decode([text], by: [.toKaTeX])
    #expect(part == "{" ? rewritten.count > 90_000 : rewritten == text)
  }

  @Test func aFolderNamesItsRules() throws {
    let folder = try TemporaryCheckpoint(Self.fixtures.appendingPathComponent("tokenizers/bert-japanese"))
    func decoded() throws -> String {
      let tokenizer = try TokenizerFiles(contentsOf: folder.url).tokenizer(folder.url.path)
      return try tokenizer.decode((0..<tokenizer.vocabularySize).map { $0 })
    }
    let plain = try decoded()
    #expect(plain.contains(" "))
    try folder.change("tokenizer_config.json") { $0["text_rules"] = .array([.string("remove_whitespace")]) }
    let spaceless = String(
      String.UnicodeScalarView(plain.unicodeScalars.filter { !$0.properties.isWhitespace }))
    #expect(try decoded() == spaceless)
    try folder.change("tokenizer_config.json") { $0["text_rules"] = .array([.string("to_html")]) }
    #expect { try decoded() } throws: { "\($0)".contains("text_rules") && "\($0)".contains("to_katex") }
  }
}

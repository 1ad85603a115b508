import Foundation
import Testing

@testable import MultiModalPipeline

/// What manga-ocr 0.1.16's `post_process`, with jaconv 0.5, makes of texts.
@Suite struct TextRuleTests {
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

  private func decode(_ tokens: [String]) -> String {
    var steps = TextRule.allCases.map(\.step)
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
    #expect(decode([text]) == expected)
    #expect(decode(text.unicodeScalars.map { String($0) }) == expected)
  }

  @Test func aFolderNamesItsRules() throws {
    let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent("Fixtures/tokenizers/bert-japanese")
    let folder = try TemporaryCheckpoint(source)
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
    try folder.change("tokenizer_config.json") { $0["text_rules"] = .array([.string("to_katex")]) }
    #expect { try decoded() } throws: { "\($0)".contains("text_rules") && "\($0)".contains("full_width") }
  }
}

import Foundation
import Torch

/// A run on one page: its curves, and what the model says about pictures that it was not trained on. The page needs
/// nothing but itself.
struct TrainingReport {
  struct Example {
    let jpeg: Data
    let prompt: String?
    /// Any of these is right.
    let expected: [String]
    let generated: String

    var isRight: Bool { expected.contains(generated) }
  }

  private static let groups: [(title: String, curves: [Chart.Style])] = [
    (
      "Learning",
      [
        .init(key: "loss", title: "Training loss", isNoisy: true),
        .init(key: "validation_loss", title: "Validation loss"),
        .init(key: "perplexity", title: "Perplexity"),
      ]
    ),
    (
      "Generated texts",
      [
        .init(key: "exact_match", title: "Exact match", fromZero: true),
        .init(key: "token_f1", title: "Token F1", fromZero: true),
        .init(key: "character_error_rate", title: "Character error rate", fromZero: true),
        .init(key: "word_error_rate", title: "Word error rate", fromZero: true),
        .init(key: "bleu_4", title: "BLEU-4", fromZero: true),
        .init(key: "rouge_l", title: "ROUGE-L", fromZero: true),
        .init(key: "cider", title: "CIDEr", fromZero: true),
      ]
    ),
    (
      "Optimization and speed",
      [
        .init(key: "learning_rate", title: "Learning rate", fromZero: true),
        .init(key: "gradient_norm", title: "Gradient norm", isNoisy: true, fromZero: true),
        .init(key: "samples_per_second", title: "Samples per second", isNoisy: true, fromZero: true),
        .init(key: "memory_bytes", title: "Memory in GiB", unit: 1_073_741_824, fromZero: true),
      ]
    ),
  ]

  /// What a log has for them.
  static let curveKeys = groups.flatMap(\.curves).map(\.key)

  private let title: String
  private let summary: [(String, String)]
  private let history: RunHistory
  private let examples: [Example]

  init(title: String, summary: [(String, String)], history: RunHistory, examples: [Example]) {
    self.title = title
    self.summary = summary
    self.history = history
    self.examples = examples
  }

  func write(to url: URL) throws { try AtomicFile.write(Data(html().utf8), to: url) }

  func html() -> String {
    let curves = Self.groups.map { group in
      let charts = group.curves.compactMap { style in
        Chart(style, history.points[style.key] ?? [], lastStep: history.lastStep)
      }
      return section(group.title, charts.map(figure), list: "curves")
    }
    let rows = summary.map {
      #"<tr><th scope="row">\#($0.escapedForHTML)</th><td dir="auto">\#($1.escapedForHTML)</td></tr>"#
    }
    return """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark">
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
      <title>\(title.escapedForHTML)</title>
      <style>\(Self.style)</style>
      </head>
      <body>
      <main>
      <h1>\(title.escapedForHTML)</h1>
      \(rows.isEmpty ? "" : "<table class=\"summary\"><tbody>\n\(rows.joined(separator: "\n"))\n</tbody></table>")
      \(curves.allSatisfy(\.isEmpty) ? "<p>Nothing has been measured yet.</p>" : curves.joined())
      \(section(heldOutTitle, examples.enumerated().map { picture($1, number: $0 + 1) }, list: "pictures"))
      \(events)
      </main>
      </body>
      </html>

      """
  }

  private func section(_ title: String, _ parts: [String], list: String) -> String {
    parts.isEmpty
      ? ""
      : """
      <section>
      <h2>\(title)</h2>
      <div class="\(list)">
      \(parts.joined(separator: "\n"))
      </div>
      </section>

      """
  }

  private func figure(_ chart: Chart) -> String {
    """
    <figure>
    <figcaption><h3>\(chart.style.title)</h3><span class="last">\(chart.lastValue)</span></figcaption>
    \(chart.svg())
    </figure>
    """
  }

  private var heldOutTitle: String {
    "Held-out pictures: \(examples.filter(\.isRight).count) of \(examples.count) right"
  }

  private func picture(_ example: Example, number: Int) -> String {
    func row(_ name: String, _ texts: [String]) -> String {
      let values = texts.map { #"<dd dir="auto">\#($0.isEmpty ? "<i>nothing</i>" : $0.escapedForHTML)</dd>"# }
      return #"<dt>\#(name)</dt>\#(values.joined())"#
    }
    return """
      <figure class="\(example.isRight ? "right" : "wrong")">
      <img src="data:image/jpeg;base64,\(example.jpeg.base64EncodedString())" alt="Held-out picture \(number)" loading="lazy">
      <figcaption><p class="verdict">\(example.isRight ? "✓ right" : "✗ different")</p>
      <dl>\(example.prompt.map { row("Prompt", [$0]) } ?? "")\
      \(row("Generated", [example.generated]))\(row("True", example.expected))</dl></figcaption>
      </figure>
      """
  }

  /// What happened besides, the last of it first.
  private var events: String {
    guard history.eventCount > 0 else { return "" }
    let (count, shown) = (history.eventCount, history.events)
    return """
      <section>
      <h2>Events</h2>
      <details><summary>\(count) in all\(count > shown.count ? ", the last \(shown.count)" : "")</summary>
      <ul>
      \(shown.reversed().map { "<li>\($0.escapedForHTML)</li>" }.joined(separator: "\n"))
      </ul>
      </details>
      </section>
      """
  }
}

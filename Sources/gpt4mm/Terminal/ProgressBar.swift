import Foundation

/// One line that shows how far long work is: redrawn in place on a terminal, now and then a line of its own elsewhere.
struct ProgressBar {
  private let isTerminal: Bool
  private let interval: Double
  private let began = ContinuousClock.now
  private var drawn: ContinuousClock.Instant?

  init(isTerminal: Bool = Terminal.errorIsTerminal) {
    self.isTerminal = isTerminal
    interval = isTerminal ? 0.2 : 15
  }

  /// - Parameter details: what else to show, such as the loss
  mutating func update(_ done: Int, of count: Int, details: String, first: Int = 0) {
    let now = ContinuousClock.now
    if let drawn, (now - drawn) / .seconds(1) < interval, done < count { return }
    drawn = now
    let line = Self.line(
      done: done, count: count, first: first, seconds: (now - began) / .seconds(1), details: details)
    let columns = Terminal.errorColumns ?? .max
    if isTerminal { Terminal.redraw(String(line.prefix(columns - 1))) } else { Terminal.note(line) }
  }

  /// Leaves the line, so that what is printed next stands on its own.
  mutating func pause() {
    if isTerminal, drawn != nil { Terminal.redraw("") }
    drawn = nil
  }

  /// - Parameter first: what was done already when the clock began
  static func line(done: Int, count: Int, first: Int = 0, seconds: Double, details: String) -> String {
    let share = count > 0 ? Double(done) / Double(count) : 1
    let filled = Int(share * 20)
    let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: 20 - filled)
    let rate = Double(done - first) / max(seconds, 1e-9)
    let left = rate > 0 ? duration(Double(count - done) / rate) : "?"
    return
      "[\(bar)] \(done)/\(count) \(Int(share * 100))%  \(details)  \(duration(seconds)) gone, \(left) left"
  }

  static func duration(_ seconds: Double) -> String {
    let whole = Int(seconds.rounded())
    return whole < 3600
      ? String(format: "%d:%02d", whole / 60, whole % 60)
      : String(format: "%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60)
  }
}

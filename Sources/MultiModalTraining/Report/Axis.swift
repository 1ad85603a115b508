import Foundation

/// Numbers along a side of a chart, with ticks at round ones.
struct Axis {
  let ticks: [Double]
  private let spacing: Double
  private let low: Double
  private let high: Double

  /// - Parameters:
  ///   - ticks: about how many
  ///   - isWhole: ticks are whole numbers, and the axis ends where the numbers do
  init(_ smallest: Double, _ largest: Double, ticks count: Int, isWhole: Bool = false) {
    var (low, high) = (smallest, largest)
    let magnitude = max(abs(low), abs(high))
    // No tick could tell such numbers apart.
    if high - low <= max(1e-6 * magnitude, 1e-100) {
      (low, high) = magnitude > 1e-99 ? (low - magnitude / 2, high + magnitude / 2) : (0, 1)
    }
    let rough = (high - low) / Double(count)
    let power = pow(10, floor(log10(rough)))
    let round = [1, 2, 5].map { $0 * power }.first { $0 >= rough * 0.999 } ?? 10 * power
    let spacing = isWhole ? max(1, round) : round
    let first = isWhole ? (low / spacing).rounded(.up) : (low / spacing).rounded(.down)
    let last = isWhole ? (high / spacing).rounded(.down) : (high / spacing).rounded(.up)
    self.spacing = spacing
    self.low = isWhole ? low : first * spacing
    self.high = isWhole ? high : last * spacing
    ticks = (Int(first)...max(Int(first), Int(last))).map { Double($0) * spacing }
  }

  /// Where a number lies: 0 at the beginning, 1 at the end.
  func part(_ value: Double) -> Double { (value - low) / (high - low) }

  /// A tick's number, with the digits that tell it from its neighbours.
  func label(_ tick: Double) -> String {
    let largest = max(abs(low), abs(high))
    if tick == 0 { return "0" }
    if largest >= 1e15 || largest < 0.01 { return Self.scientific(tick) }
    for (unit, letter) in [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")] where largest >= unit * 10 {
      return Self.fixed(tick / unit, spacing / unit) + letter
    }
    return Self.fixed(tick, spacing)
  }

  /// A number on its own.
  static func text(_ value: Double) -> String {
    let magnitude = abs(value)
    if value == 0 { return "0" }
    if magnitude >= 1e6 || magnitude < 0.01 { return scientific(value) }
    return String(format: magnitude >= 1000 ? "%.0f" : magnitude >= 100 ? "%.1f" : "%.3f", value)
  }

  private static func fixed(_ value: Double, _ spacing: Double) -> String {
    let digits = min(9, max(0, Int((-log10(spacing) - 1e-9).rounded(.up))))
    return String(format: "%.\(digits)f", value)
  }

  /// 2.5e-4 for 0.00025.
  private static func scientific(_ value: Double) -> String {
    let parts = String(format: "%.2e", value).split(separator: "e")
    guard parts.count == 2, let mantissa = Double(parts[0]), let exponent = Int(parts[1]) else {
      return "\(value)"
    }
    return "\(String(format: "%g", mantissa))e\(exponent)".replacingOccurrences(of: "-", with: "\u{2212}")
  }
}

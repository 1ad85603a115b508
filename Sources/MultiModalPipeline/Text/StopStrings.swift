import Foundation

/// Text that arrives in pieces, up to the first of some stop strings, none of which is ever shown even in part.
struct StopStrings {
  private let strings: [String]
  private var held = ""
  private(set) var isStopped = false

  init(_ strings: [String]) { self.strings = strings.filter { !$0.isEmpty } }

  /// Takes the next piece.
  /// - Returns: what is certain to come before any stop string
  mutating func append(_ piece: String) -> String {
    guard !isStopped else { return "" }
    held += piece
    if let stop = strings.compactMap({ held.range(of: $0)?.lowerBound }).min() {
      isStopped = true
      defer { held = "" }
      return String(held[..<stop])
    }
    let beginning = strings.map(heldBeginning(of:)).max() ?? 0
    let certain = held.dropLast(beginning)
    defer { held = String(held.suffix(beginning)) }
    return String(certain)
  }

  /// What was held back, at the end of the text.
  mutating func finish() -> String {
    defer { held = "" }
    return held
  }

  /// How many of the last characters may be the beginning of a stop string.
  private func heldBeginning(of string: String) -> Int {
    stride(from: min(string.count - 1, held.count), to: 0, by: -1).first { held.hasSuffix(string.prefix($0)) }
      ?? 0
  }
}

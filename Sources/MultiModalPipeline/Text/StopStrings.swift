/// Text that arrives in pieces, up to the first of some stop strings, none of which is ever shown even in part.
///
/// Strings are compared byte by byte. By characters a stop string would not be found where the next piece goes on with a
/// mark that belongs to its last character.
struct StopStrings {
  private let strings: [[UInt8]]
  private var held: [UInt8] = []
  private(set) var isStopped = false

  init(_ strings: [String]) { self.strings = strings.filter { !$0.isEmpty }.map { Array($0.utf8) } }

  /// Takes the next piece.
  /// - Returns: what is certain to come before any stop string
  mutating func append(_ piece: String) -> String {
    guard !isStopped else { return "" }
    held += piece.utf8
    if let stop = held.indices.first(where: { place in strings.contains { held[place...].starts(with: $0) } })
    {
      isStopped = true
      defer { held = [] }
      return String(decoding: held[..<stop], as: UTF8.self)
    }
    let certain = held.count - (strings.map(heldBeginning(of:)).max() ?? 0)
    defer { held.removeFirst(certain) }
    return String(decoding: held[..<certain], as: UTF8.self)
  }

  /// What was held back, at the end of the text.
  mutating func finish() -> String {
    defer { held = [] }
    return String(decoding: held, as: UTF8.self)
  }

  /// How many of the last bytes may be the beginning of a stop string. They are whole scalars, because text and stop strings
  /// both are.
  private func heldBeginning(of string: [UInt8]) -> Int {
    stride(from: min(string.count - 1, held.count), to: 0, by: -1)
      .first { held.suffix($0).elementsEqual(string.prefix($0)) } ?? 0
  }
}

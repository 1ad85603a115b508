import MultiModalTraining

/// One option of a command.
struct Option: Sendable {
  let name: String
  /// What stands for the value in the help; nil for a flag.
  let value: String?
  /// Whether the option is also given without its value, and else by `=`.
  var mayLackValue = false
  let help: String
  /// Shown in the help, and parsed when the option is not given.
  let defaultValue: String?

  /// A flag.
  init(_ name: String, _ help: String) {
    self.name = name
    value = nil
    self.help = help
    defaultValue = nil
  }

  /// A flag that may have a value, as in `--resume=auto`; without it, its value is empty.
  init(_ name: String, optional value: String, _ help: String) {
    self.init(name, value, help)
    mayLackValue = true
  }

  init(_ name: String, _ value: String, default defaultValue: String? = nil, _ help: String) {
    self.name = name
    self.value = value
    self.help = help
    self.defaultValue = defaultValue
  }
}

/// What a user can call: `gpt4mm caption ...`.
struct Command: Sendable {
  let name: String
  let summary: String
  /// Behind the name and the options, such as `IMAGE...`; empty for none.
  var arguments = ""
  var options: [Option] = []
  var details = ""
  var examples: [String] = []
  var subcommands: [Command] = []
  /// Whether it is to run for weeks, in memory that stays flat.
  var runsForWeeks = false
  var run: @Sendable (Arguments) async throws -> Void = { _ in }
}

/// A call that cannot be understood; exit code 2.
struct UsageError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}

/// What a user gave to a command.
struct Arguments {
  let positional: [String]
  private let given: [String: [String]]
  private let command: Command

  /// Reads `--name value`, `--name=value`, `--flag`, and arguments; `--` ends the options.
  init(_ words: some Collection<String>, of command: Command) throws {
    var positional: [String] = []
    var given: [String: [String]] = [:]
    var rest = Array(words)[...]
    while let word = rest.popFirst() {
      if word == "--" {
        positional += rest
        break
      }
      guard word.hasPrefix("-"), word != "-", Double(word) == nil else {
        positional.append(word)
        continue
      }
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      let name = String(parts[0].drop { $0 == "-" })
      guard parts[0].hasPrefix("--"), let option = command.options.first(where: { $0.name == name }) else {
        throw UsageError.unknown("option", parts[0], among: command.options.map { "--\($0.name)" })
      }
      if option.value == nil {
        guard parts.count == 1 else { throw UsageError("--\(name) takes no value") }
        given[name, default: []].append("")
      } else if parts.count == 2 {
        given[name, default: []].append(parts[1])
      } else if option.mayLackValue {
        given[name, default: []].append("")
      } else {
        guard let value = rest.popFirst() else {
          throw UsageError("--\(name) needs a value: --\(name) \(option.value ?? "")")
        }
        given[name, default: []].append(value)
      }
    }
    if command.arguments.isEmpty, let first = positional.first {
      throw UsageError("'\(command.name)' takes no argument, got '\(first)'")
    }
    self.positional = positional
    self.given = given
    self.command = command
  }

  func flag(_ name: String) -> Bool { given[name] != nil }

  func strings(_ name: String) -> [String] { given[name] ?? [] }

  /// The value given last, or the default.
  func string(_ name: String) -> String? {
    given[name]?.last ?? command.options.first { $0.name == name }?.defaultValue
  }

  func required(_ name: String) throws -> String {
    guard let value = string(name) else {
      let placeholder = command.options.first { $0.name == name }?.value ?? "VALUE"
      throw UsageError("'\(command.name)' needs --\(name) \(placeholder)")
    }
    guard !value.isEmpty else { throw UsageError("--\(name) must not be empty") }
    return value
  }

  func int(_ name: String) throws -> Int? {
    try string(name).map {
      guard let number = Int($0) else { throw UsageError("--\(name) must be a whole number, got '\($0)'") }
      return number
    }
  }

  /// A count, which must be given where the option has no default.
  func positive(_ name: String, atMost most: Int = 1_000_000_000) throws -> Int {
    guard let number = try int(name), (1...most).contains(number) else {
      throw UsageError("--\(name) must be from 1 to \(most), got '\(string(name) ?? "")'")
    }
    return number
  }

  func unsigned(_ name: String) throws -> UInt64? {
    try string(name).map {
      guard let number = UInt64($0) else {
        throw UsageError("--\(name) must be a whole number from 0 on, got '\($0)'")
      }
      return number
    }
  }

  func double(_ name: String) throws -> Double? {
    try string(name).map {
      guard let number = Double($0) else { throw UsageError("--\(name) must be a number, got '\($0)'") }
      return number
    }
  }

  func choice<Choice: RawRepresentable & CaseIterable>(_ name: String, of type: Choice.Type = Choice.self)
    throws
    -> Choice? where Choice.RawValue == String
  {
    try string(name).map {
      guard let choice = Choice(rawValue: $0) else {
        throw UsageError(
          "--\(name) must be \(Choice.allCases.map(\.rawValue).joined(separator: " or ")), got '\($0)'")
      }
      return choice
    }
  }
}

extension UsageError {
  static func unknown(_ kind: String, _ word: String, among known: [String]) -> UsageError {
    let nearest = known.map { (word: $0, distance: TextMetrics.editDistance(Array($0), Array(word))) }
      .min { $0.distance < $1.distance }
    let hint =
      nearest.flatMap { $0.distance <= max(2, word.count / 3) ? "did you mean '\($0.word)'?" : nil }
      ?? "see --help"
    return UsageError("\(kind) '\(word)' is not known: \(hint)")
  }
}

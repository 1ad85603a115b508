extension Command {
  private static let width = 100

  /// What `--help` prints.
  /// - Parameter path: the words that call the command, such as `gpt4mm tokenizer`
  func help(path: String) -> String {
    var sections = ["\(summary)\n\nusage: \(usage(path: path))"]
    if !details.isEmpty { sections.append(details) }
    if !subcommands.isEmpty {
      sections.append(Self.table("commands", subcommands.map { ($0.name, $0.summary) }))
    }
    var rows = options.map { option in
      (
        "--\(option.name)" + (option.value.map { option.mayLackValue ? "[=\($0)]" : " \($0)" } ?? ""),
        option.help + (option.defaultValue.map { " (default: \($0))" } ?? "")
      )
    }
    rows.append(("--help", "print this help"))
    if path == name { rows.append(("--version", "print the version")) }
    sections.append(Self.table("options", rows))
    if !examples.isEmpty {
      sections.append("examples:\n" + examples.map { "  \($0)" }.joined(separator: "\n"))
    }
    if path == name {
      sections.append(
        Self.table(
          "exit codes",
          [
            ("0", "done"), ("1", "the work failed: the reason is on standard error"),
            ("2", "the call is wrong"),
            ("130", "interrupted (Ctrl-C, SIGTERM or SIGHUP)"),
            ("141", "the reader of standard output has gone"),
          ]))
    }
    return sections.joined(separator: "\n\n")
  }

  private func usage(path: String) -> String {
    if !subcommands.isEmpty { return "\(path) COMMAND ..." }
    return "\(path) [options]" + (arguments.isEmpty ? "" : " \(arguments)")
  }

  private static func table(_ title: String, _ rows: [(String, String)]) -> String {
    let column = min(30, (rows.map(\.0.count).max() ?? 0) + 4)
    let lines = rows.flatMap { left, right -> [String] in
      let wrapped = wrap(right, to: width - column)
      let start = left.count + 4 > column ? ["  \(left)"] : []
      let first = start.isEmpty ? "  \(left)".padded(to: column) : "".padded(to: column)
      return start
        + wrapped.enumerated().map { ($0.offset == 0 ? first : "".padded(to: column)) + $0.element }
    }
    return "\(title):\n" + lines.joined(separator: "\n")
  }

  private static func wrap(_ text: String, to width: Int) -> [String] {
    var lines = [""]
    for word in text.split(separator: " ") {
      let last = lines[lines.count - 1]
      if last.isEmpty {
        lines[lines.count - 1] = String(word)
      } else if last.count + 1 + word.count <= width {
        lines[lines.count - 1] += " \(word)"
      } else {
        lines.append(String(word))
      }
    }
    return lines
  }
}

extension String {
  func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}

/// A formula that is rewritten as TexTeller's package does it behind its tokenizer.
///
/// For what is no formula, such as thousands of open commands, the Python takes time that grows with the square of a text's length,
/// or fails; this throws.
struct Formula {
  struct TooMuchWork: Error {}

  private(set) var text: [Unicode.Scalar]
  /// How many characters may still be gone through by what goes through a text more than once.
  private var budget = 1 << 21

  init(_ text: [Unicode.Scalar]) { self.text = text }

  private mutating func spend(_ characters: Int) throws {
    budget -= characters
    if budget < 0 { throw TooMuchWork() }
  }

  private mutating func trim() {
    text = Array(text.drop(while: \.isPythonSpace).trimmingEnd)
  }
}

// MARK: - Commands

extension Formula {
  /// Takes off boxes, bold type and spaces, writes other commands as KaTeX knows them, and lays the rest out.
  mutating func convertToKaTeX() throws {
    try change("\\mbox ", to: " ", "")
    try change("\\mbox", to: " ", "")
    dropLength(behind: "\\hbox to", " - ", "{", to: "\\hbox{")
    try change("\\hbox", to: " ", " ")
    dropLength(behind: "\\raise", " - ", "", to: " ")
    for command in ["\\makebox[", "\\makebox ["] { dropLength(behind: command, "", "]{", to: "\\makebox{") }
    try change("\\makebox", to: " ", " ")
    for command in ["\\raisebox{", "\\scalebox{"] { dropLength(behind: command, "- ", "}{", to: command) }
    for command in ["\\scalebox", "\\raisebox", "\\vbox"] { try change(command, to: " ", " ") }

    for size in [
      "\\Huge", "\\huge", "\\LARGE", "\\Large", "\\large", "\\normalsize", "\\small", "\\footnotesize",
      "\\tiny",
    ] {
      try change(size, "$", "$", to: size + "{", "}")
    }
    for command in ["\\mathbf", "\\boldmath ", "\\boldmath"] { try change(command, to: "\\bm{", "}") }
    for command in ["\\boldmath ", "\\boldmath"] { try change(command, "$", "$", to: "\\bm{", "}") }
    try change("\\scriptsize", "$", "$", to: "\\scriptsize{", "}")
    for command in ["\\emph", "\\emph "] { try change(command, to: "\\textit{", "}") }
    try change("\\bm", to: " ", "")
    for command in ["\\left", "\\middle", "\\right"] { try change(command, to: command, "") }
    for side in ["", "l", "m", "r"] {
      for size in ["\\big", "\\Big", "\\bigg", "\\Bigg"] { try change(size + side, to: size + side, "") }
    }

    let newline = "\\newline".scalars
    text = text.substituting(at: "\\") { reader in
      reader.take("\\[") ? reader.read(to: "\\]").map { $0 + newline } : nil
    }
    if text.suffix(newline.count) == newline[...] { text.removeLast(newline.count) }
    for space in ["\\,", "\\!", "\\;", "\\:"] {
      text = text.substituting(at: "\\") { reader in
        guard reader.take(space) else { return nil }
        while reader.take(space) {}
        return [" "]
      }
    }
    text = text.substituting(at: "\\") { reader in
      reader.take("\\vspace{") && reader.read(to: "}") != nil ? [] : nil
    }
    mergeTexts()
    text = Pattern.text("\\bf ".scalars).replaced(in: text, with: [])
    try dropDollars()
    text = Pattern.spaces(1).replaced(in: text, with: [" "])
    trim()
    try layOut()
  }

  /// Takes off bold and italic type.
  mutating func removeStyle() throws {
    for command in ["\\bm", "\\boldsymbol", "\\textit", "\\textbf", "\\mathbf"] {
      try change(command, to: " ", " ")
    }
    trim()
  }

  /// Writes something else for a command with the mark that opens what it is about, and for the mark that closes that: from the
  /// last command to the first, each time in all the text from there on, where more may have come about.
  private mutating func change(
    _ command: String, _ open: Unicode.Scalar = "{", _ close: Unicode.Scalar = "}", to opening: String,
    _ closing: String
  ) throws {
    let repeats = opening != command
    let (command, opening, closing) = (command.scalars + [open], opening.scalars, closing.scalars)
    for start in text.places(of: command).reversed() {
      var rest = Array(text[start...])
      repeat {
        try spend(rest.count)
        rest = try rest.substituting(at: "\\") { reader in
          guard reader.take(command) else { return nil }
          if let content = reader.read(from: open, to: close) { return opening + content + closing }
          try spend(reader.text.count)
          return opening
        }
      } while repeats && !rest.places(of: command).isEmpty
      text.replaceSubrange(start..., with: rest)
    }
  }

  /// Puts another text for a command, characters that may be there, a length such as `1.5pt`, and an end.
  private mutating func dropLength(behind command: String, _ optional: String, _ end: String, to new: String)
  {
    func skipDigits(_ reader: inout Reader) -> Bool {
      reader.skip { $0.properties.generalCategory == .decimalNumber }
    }
    text = text.substituting(at: "\\") { reader in
      guard reader.take(command) else { return nil }
      for character in optional { _ = reader.take(String(character)) }
      guard skipDigits(&reader), reader.take("."), skipDigits(&reader) else { return nil }
      _ = reader.take("pt")
      return reader.take(end) ? new.scalars : nil
    }
  }

  /// Makes one `\text{}` of several in a row.
  private mutating func mergeTexts() {
    text = text.substituting(at: "\\") { reader in
      let start = reader.place
      var end = start
      var contents: [[Unicode.Scalar]] = []
      while reader.take("\\text{"), let content = reader.read(to: "}", acrossLines: true) {
        contents.append(content)
        reader.skip(\.isPythonSpace)
        end = reader.place
      }
      reader.place = end
      switch contents.count {
      case 0: return nil
      case 1: return Array(reader.text[start..<end])
      default: return "\\text{".scalars + contents.joined() + ["}"]
      }
    }
  }

  /// Puts spaces for pairs of dollars that are not a command's, and everywhere else where the same stands between two.
  private mutating func dropDollars() throws {
    let pairs = text.matches(at: "$") { reader in
      let name = reader.text[..<reader.place].reversed().prefix { $0.isASCII && $0.isLetter }
      let before = reader.text[..<(reader.place - name.count)].last
      reader.place += 1
      return reader.read(to: "$").map { (content: $0, isOfCommand: !name.isEmpty && before == "\\") }
    }
    for (_, pair) in pairs where !pair.isOfCommand {
      try spend(text.count)
      text = Pattern.text(["$"] + pair.content + ["$"]).replaced(in: text, with: [" "] + pair.content + [" "])
    }
  }
}

// MARK: - Lines

extension Formula {
  /// Begins lines at environments, items and headings, and indents them by four spaces for each environment and bracket that is
  /// open, as tex-fmt does; but for what comments tell tex-fmt, and for environments of whole documents and verbatim texts.
  mutating func layOut() throws {
    var result: [Unicode.Scalar] = []
    var depth = 0
    for line in lines() {
      var starts = Self.starts(in: line)[...]
      let comment = Self.comment(in: line) ?? line.count
      var rest = line.drop(while: \.isPythonSpace)
      repeat {
        let hasStarts = !starts.isEmpty
        if starts.first == rest.startIndex { starts.removeFirst() }
        let end = starts.first.flatMap { $0 <= comment ? $0 : nil } ?? rest.endIndex
        let part = rest[..<end]
        let begins = part.contains("\\begin{".scalars)
        let ends = part.contains("\\end{".scalars)
        let isItem = hasStarts && part.contains("\\item".scalars)
        let indent = 4 * max(0, depth != 0 && (ends || isItem) ? depth - 1 : depth)
        try spend(indent)
        result += Array(repeating: " ", count: indent) + part
        while result.last == " " { result.removeLast() }
        result.append("\n")
        depth += begins ? 1 : ends ? -1 : 0
        depth += part.count { "{([".unicodeScalars.contains($0) }
        depth -= part.count { "})]".unicodeScalars.contains($0) }
        rest = rest[end...]
      } while !rest.isEmpty
    }
    text = result
    trim()
  }

  /// As Python's `splitlines` parts them, never more than two newlines in a row.
  private func lines() -> [[Unicode.Scalar]] {
    var lines: [[Unicode.Scalar]] = [[]]
    var newlines = 0
    var last: Unicode.Scalar?
    for character in text {
      newlines = character == "\n" ? newlines + 1 : 0
      defer { if character != " " && character != "\t" { last = character } }
      switch character {
      case "\n" where newlines > 2 || last == "\r": break
      case "\n"..."\r", "\u{1C}"..."\u{1E}", "\u{85}", "\u{2028}", "\u{2029}": lines.append([])
      case "\t": lines[lines.count - 1] += "    ".scalars
      default: lines[lines.count - 1].append(character)
      }
    }
    return lines
  }

  private static let lineStarts =
    ["\\begin{", "\\end{"]
    + ["\\section", "\\subsection", "\\subsubsection", "\\chapter", "\\part"].flatMap {
      [$0 + "{", $0 + "*{"]
    }

  private static func starts(in line: [Unicode.Scalar]) -> [Int] {
    line.matches(at: "\\") { reader -> Void? in
      if reader.take("\\item") { return reader.next.map { $0.isASCII && $0.isLetter } == true ? nil : () }
      return lineStarts.contains { reader.take($0) } ? () : nil
    }.map(\.range.lowerBound)
  }

  private static func comment(in line: [Unicode.Scalar]) -> Int? {
    var isCommand = false
    return line.firstIndex { character in
      if character == "%" && !isCommand { return true }
      isCommand = character == "\\" || isCommand && character.isLetter
      return false
    }
  }

  /// Puts environments' begins and ends on lines of their own, and a newline behind `\\`.
  mutating func addNewlines() {
    for command in ["\\begin{", "\\end{"] {
      text = text.substituting(at: "\\", trimsBefore: true) { reader in
        let start = reader.place
        guard reader.take(command), reader.read(to: "}", acrossLines: true) != nil else { return nil }
        let environment = reader.text[start..<reader.place]
        reader.skip(\.isPythonSpace)
        return ["\n"] + environment + ["\n"]
      }
    }
    text = text.substituting(at: "\\") { reader in
      guard reader.take("\\\\"), reader.next != "\n" else { return nil }
      _ = reader.take(" ")
      return "\\\\\n".scalars
    }
    text = text.substituting(at: "\n") { reader in
      reader.skip { $0 == "\n" }
      return ["\n"]
    }
    trim()
  }
}

// MARK: - Matching

/// A place in a text, from where it is read on.
private struct Reader {
  let text: [Unicode.Scalar]
  var place = 0
  /// From where to where an end was searched, and whether it is there: a search from a place between stops there too.
  private var searched: (places: ClosedRange<Int>, found: Bool)?

  init(_ text: [Unicode.Scalar]) { self.text = text }

  var next: Unicode.Scalar? { place < text.count ? text[place] : nil }

  mutating func take(_ content: String) -> Bool { take(content.unicodeScalars) }

  mutating func take(_ content: some Collection<Unicode.Scalar>) -> Bool {
    guard text[place...].starts(with: content) else { return false }
    place += content.count
    return true
  }

  /// - Returns: whether there was any
  @discardableResult mutating func skip(_ isSkipped: (Unicode.Scalar) -> Bool) -> Bool {
    let start = place
    while let next, isSkipped(next) { place += 1 }
    return place > start
  }

  /// Goes behind the next such end, one and the same as long as the text is read.
  /// - Returns: what is before it
  mutating func read(to end: String, acrossLines: Bool = false) -> [Unicode.Scalar]? {
    let end = end.scalars
    let known = searched.flatMap { $0.places.contains(place) ? $0 : nil } ?? search(for: end, acrossLines)
    searched = known
    guard known.found else { return nil }
    defer { place = known.places.upperBound + end.count }
    return Array(text[place..<known.places.upperBound])
  }

  private func search(for end: [Unicode.Scalar], _ acrossLines: Bool) -> (
    places: ClosedRange<Int>, found: Bool
  ) {
    for stop in place..<text.count {
      if text[stop] == end[0], text[stop...].starts(with: end) { return (place...stop, true) }
      if text[stop] == "\n" && !acrossLines { return (place...stop, false) }
    }
    return (place...text.count, false)
  }

  /// Goes behind the mark that closes what has just been opened, past escaped ones.
  /// - Returns: what is before it
  mutating func read(from open: Unicode.Scalar, to close: Unicode.Scalar) -> [Unicode.Scalar]? {
    var depth = 1
    var isEscaped = false
    for index in place..<text.count {
      if isEscaped || text[index] == "\\" {
        isEscaped.toggle()
      } else if text[index] == close {
        depth -= 1
        guard depth == 0 else { continue }
        defer { place = index + 1 }
        return Array(text[place..<index])
      } else if text[index] == open {
        depth += 1
      }
    }
    return nil
  }
}

extension [Unicode.Scalar] {
  /// What `match` finds from the left without overlaps; it is asked wherever a character is.
  fileprivate func matches<Value>(at first: Unicode.Scalar, _ match: (inout Reader) throws -> Value?) rethrows
    -> [(range: Range<Int>, value: Value)]
  {
    var matches: [(Range<Int>, Value)] = []
    var reader = Reader(self)
    while let start = self[reader.place...].firstIndex(of: first) {
      reader.place = start
      if let value = try match(&reader) {
        matches.append((start..<reader.place, value))
      } else {
        reader.place = start + 1
      }
    }
    return matches
  }

  /// The text with what `match` gives for what it finds.
  fileprivate func substituting(
    at first: Unicode.Scalar, trimsBefore: Bool = false, _ match: (inout Reader) throws -> [Unicode.Scalar]?
  ) rethrows -> [Unicode.Scalar] {
    var result: [Unicode.Scalar] = []
    var end = 0
    for (range, content) in try matches(at: first, match) {
      let before = self[end..<range.lowerBound]
      result += (trimsBefore ? before.trimmingEnd : before) + content
      end = range.upperBound
    }
    return result + self[end...]
  }

  fileprivate func places(of command: [Unicode.Scalar]) -> [Int] {
    matches(at: "\\") { $0.take(command) ? () : nil }.map(\.range.lowerBound)
  }
}

extension ArraySlice<Unicode.Scalar> {
  fileprivate var trimmingEnd: Self {
    self[..<((lastIndex { !$0.isPythonSpace }).map { $0 + 1 } ?? startIndex)]
  }
}

extension String {
  fileprivate var scalars: [Unicode.Scalar] { Array(unicodeScalars) }
}

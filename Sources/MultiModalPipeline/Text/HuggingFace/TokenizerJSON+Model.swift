import MultiModalModel

extension TokenizerJSON {
  static func model(_ json: JSONFields) throws -> any TokenModel {
    let kind = try json.string("type") ?? guessedKind(json)
    switch kind {
    case "BPE": return try bytePairs(json)
    case "WordPiece":
      return WordPieceModel(
        try vocabulary(json), unknown: try json.string("unk_token") ?? "[UNK]",
        continuingPrefix: try json.string("continuing_subword_prefix") ?? "##",
        longestWord: try json.integer("max_input_chars_per_word") ?? 100)
    case "WordLevel":
      return WordLevelModel(
        vocabulary: try vocabulary(json), unknown: try json.string("unk_token") ?? "<unk>")
    case "Unigram": return try unigram(json)
    default: throw json.unknownKind(kind)
    }
  }

  /// Files of old do not say it.
  private static func guessedKind(_ json: JSONFields) -> String {
    if case .array? = json["vocab"] { return "Unigram" }
    if json["merges"] != nil { return "BPE" }
    return json["max_input_chars_per_word"] != nil ? "WordPiece" : "WordLevel"
  }

  private static func vocabulary(_ json: JSONFields) throws -> Vocabulary {
    try vocabulary(entries: json.required("vocab", json.object))
  }

  /// The entries of an object such as `vocab.json`.
  static func vocabulary(entries: JSONFields) throws -> Vocabulary {
    var vocabulary = Vocabulary(capacity: entries.all.count)
    for (piece, value) in entries.all {
      try vocabulary.add(piece, id: id(value, of: piece, entries))
    }
    return vocabulary
  }

  static func id(_ value: JSONFields.Value, of text: String, _ entries: JSONFields) throws -> Int {
    guard let id = value.integer else { throw entries.error("\"\(text)\"", "an id, which is a whole number") }
    return id
  }

  private static func bytePairs(_ json: JSONFields) throws -> BytePairModel {
    try json.expect("dropout", "0 or left out") { $0.number == 0 }
    try json.expect("ignore_merges", "false or left out") { $0.bool == false }
    let merges = try json.read("merges", "a list of two texts each") { merges in
      merges.list { merge -> (String, String)? in
        if let text = merge.string { return pair(text) }
        guard let pair = merge.list(\.string), pair.count == 2 else { return nil }
        return (pair[0], pair[1])
      }
    }
    var options = BytePairModel.Options()
    options.unknown = try json.string("unk_token")
    options.continuingPrefix = try json.string("continuing_subword_prefix") ?? ""
    options.endSuffix = try json.string("end_of_word_suffix") ?? ""
    options.fusesUnknown = try json.bool("fuse_unk") ?? false
    options.hasByteFallback = try json.bool("byte_fallback") ?? false
    return try BytePairModel(vocabulary(json), merges: merges ?? [], options: options)
  }

  /// Two texts with a space between them.
  static func pair(_ text: String) -> (String, String)? {
    let units = text.utf8
    guard let space = units.firstIndex(of: UInt8(ascii: " ")) else { return nil }
    let rest = units.index(after: space)
    guard !units[rest...].contains(UInt8(ascii: " ")) else { return nil }
    return (String(text[..<space]), String(text[rest...]))
  }

  private static func unigram(_ json: JSONFields) throws -> UnigramModel {
    let entries = try json.required("vocab") {
      try json.read($0, "a list of a text and a score each") { entries in
        entries.list { entry -> (piece: String, score: Double)? in
          guard let pair = entry.array, pair.count == 2, let piece = pair[0].string,
            let score = pair[1].number
          else { return nil }
          return (piece, score)
        }
      }
    }
    return try UnigramModel(
      entries, unknown: json.integer("unk_id"), hasByteFallback: json.bool("byte_fallback") ?? false
    )
  }
}

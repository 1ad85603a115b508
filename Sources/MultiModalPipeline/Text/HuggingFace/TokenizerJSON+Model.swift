extension TokenizerJSON {
  static func model(_ json: JSONDescription) throws -> any TokenModel {
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
  private static func guessedKind(_ json: JSONDescription) -> String {
    if case .array? = json["vocab"] { return "Unigram" }
    if json["merges"] != nil { return "BPE" }
    return json["max_input_chars_per_word"] != nil ? "WordPiece" : "WordLevel"
  }

  private static func vocabulary(_ json: JSONDescription) throws -> Vocabulary {
    guard let entries = try json.object("vocab") else {
      throw json.wrong("vocab", "an object of texts and ids")
    }
    return try vocabulary(entries: entries)
  }

  /// The entries of an object such as `vocab.json`.
  static func vocabulary(entries: JSONDescription) throws -> Vocabulary {
    var vocabulary = Vocabulary(capacity: entries.fields.count)
    for (piece, value) in entries.fields {
      guard case .integer(let id) = value else {
        throw TokenizerError("\(entries.place): the id of \"\(piece)\" must be a whole number")
      }
      try vocabulary.add(piece, id: id)
    }
    return vocabulary
  }

  private static func bytePairs(_ json: JSONDescription) throws -> BytePairModel {
    for key in ["dropout", "ignore_merges"] {
      switch json[key] {
      case nil, .boolean(false), .integer(0): break
      case .number(0)?: break
      default: throw TokenizerError("\(json.place): \"\(key)\" is not supported")
      }
    }
    let merges = try (json.array("merges") ?? []).map { merge -> (String, String) in
      switch merge {
      case .array(let pair):
        if pair.count == 2, case .string(let left) = pair[0], case .string(let right) = pair[1] {
          return (left, right)
        }
      case .string(let text):
        if let pair = pair(text) { return pair }
      default: break
      }
      throw json.wrong("merges", "a list of two texts each")
    }
    var options = BytePairModel.Options()
    options.unknown = try json.string("unk_token")
    options.continuingPrefix = try json.string("continuing_subword_prefix") ?? ""
    options.endSuffix = try json.string("end_of_word_suffix") ?? ""
    options.fusesUnknown = try json.boolean("fuse_unk", default: false)
    options.hasByteFallback = try json.boolean("byte_fallback", default: false)
    return try BytePairModel(vocabulary(json), merges: merges, options: options)
  }

  /// Two texts with a space between them.
  static func pair(_ text: String) -> (String, String)? {
    let units = text.utf8
    guard let space = units.firstIndex(of: UInt8(ascii: " ")) else { return nil }
    let rest = units.index(after: space)
    guard !units[rest...].contains(UInt8(ascii: " ")) else { return nil }
    return (String(text[..<space]), String(text[rest...]))
  }

  private static func unigram(_ json: JSONDescription) throws -> UnigramModel {
    guard let list = try json.array("vocab") else { throw json.wrong("vocab", "a list of texts and scores") }
    let entries = try list.map { item -> (piece: String, score: Double) in
      guard case .array(let pair) = item, pair.count == 2, case .string(let piece) = pair[0] else {
        throw json.wrong("vocab", "a list of a text and a score each")
      }
      switch pair[1] {
      case .number(let score): return (piece, score)
      case .integer(let score): return (piece, Double(score))
      default: throw json.wrong("vocab", "a list of a text and a score each")
      }
    }
    return try UnigramModel(
      entries, unknown: json.integer("unk_id"), hasByteFallback: json.boolean("byte_fallback", default: false)
    )
  }
}

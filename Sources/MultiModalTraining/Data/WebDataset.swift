import Foundation

/// Tar files of pictures and their texts, after the WebDataset convention: files of one sample follow each other and have
/// the same name up to the first dot of its last part. `cat.jpg` (or .jpeg, .png, .webp) is the picture, `cat.txt` its
/// text, or `cat.json` an object with `text` and perhaps `prompt`, as in a line of an image folder's metadata. Other files
/// of a sample are passed over, and so are those that belong to none: hidden ones, those without an extension, and notes
/// on the set (`__index__`), as the webdataset library does.
public struct WebDataset: Dataset {
  /// The folder, or the one archive.
  public let url: URL
  /// The archives.
  public let shards: [URL]

  static let pictureExtensions = ["jpg", "jpeg", "png", "webp"]
  /// A text for one picture is never longer.
  private static let longestText = 16 << 20

  /// Archives whose samples belong together.
  public init(_ url: URL, shards: [URL]) {
    self.url = url
    self.shards = shards
  }

  /// The path.
  public var name: String { url.path }
  /// The archives.
  public var shardCount: Int { shards.count }

  /// An archive's samples in their order.
  public func samples(ofShard shard: Int) throws -> () throws -> Sample? {
    let archive = try TarReader(shards[shard])
    var pending: [Sample] = []
    var group: Group?
    return {
      while pending.isEmpty {
        let entry = try archive.next()
        let name = entry.map { Self.name($0.path) }
        // What belongs to no sample may stand between the files of one.
        if entry != nil, name?.key.isEmpty ?? true { continue }
        if let finished = group, name?.key != finished.key {
          pending = try finished.samples(archive).reversed()
          group = nil
        }
        guard let entry, let name else { break }
        var current = group ?? Group(key: name.key)
        try current.add(entry, name.suffix, archive)
        group = current
      }
      return pending.popLast()
    }
  }

  /// `images/0001.cls.txt` is the file `cls.txt` of the sample `images/0001`; the key of what belongs to no sample is empty.
  private static func name(_ path: String) -> (key: String, suffix: String) {
    let parts = path.split(separator: "/")
    let base = parts.last ?? ""
    if let top = parts.first, top.count > 3, top.hasPrefix("__"), top.hasSuffix("__") { return ("", "") }
    guard let dot = base.firstIndex(of: "."), dot != base.startIndex else { return ("", "") }
    let key = path.dropLast(base.distance(from: dot, to: base.endIndex))
    return (String(key), base[base.index(after: dot)...].lowercased())
  }

  /// The files of one sample.
  private struct Group {
    let key: String
    private var picture: (entry: TarReader.Entry, suffix: String)?
    private var text: TarReader.Entry?
    private var json: TarReader.Entry?
    /// A picture by its last extension alone.
    private var misnamed: String?

    init(key: String) { self.key = key }

    mutating func add(_ entry: TarReader.Entry, _ suffix: String, _ archive: TarReader) throws {
      func twice(_ kind: String) -> TrainingError {
        TrainingError(
          "\(archive.url.path) holds two \(kind) named \(key): give every sample a name of its own")
      }
      switch suffix {
      case "txt":
        guard text == nil else { throw twice("texts") }
        text = entry
      case "json":
        guard json == nil else { throw twice("JSON files") }
        json = entry
      case let suffix where WebDataset.pictureExtensions.contains(suffix):
        guard picture == nil else { throw twice("pictures") }
        picture = (entry, suffix)
      case let suffix where WebDataset.pictureExtensions.contains { suffix.hasSuffix(".\($0)") }:
        misnamed = misnamed ?? entry.path
      default: break
      }
    }

    func samples(_ archive: TarReader) throws -> [Sample] {
      guard let picture else {
        if let misnamed {
          throw TrainingError(
            "\(misnamed) in \(archive.url.path) is the picture of no sample, because a sample's name ends at the first dot: "
              + "use other characters before the extension")
        }
        guard text != nil || json != nil else { return [] }
        throw TrainingError(
          "\(archive.url.path) has a text but no picture named \(key): the two must follow each other")
      }
      func place(_ suffix: String) -> String { "\(key).\(suffix) in \(archive.url.path)" }
      let stored = StoredPicture(name: "\(key).\(picture.suffix)", picture.entry, in: archive.file)
      let plain = try text.map { entry in
        guard let string = String(data: try archive.read(entry, atMost: longestText), encoding: .utf8) else {
          throw TrainingError("\(place("txt")) is not UTF-8")
        }
        return string.trimmingCharacters(in: .whitespacesAndNewlines)
      }
      if let json {
        return try TextRecord(
          archive.read(json, atMost: longestText), place: place("json"), otherText: plain
        ).texts.map { Sample(picture: stored, prompt: $0.prompt, text: $0.text) }
      }
      guard let plain else {
        throw TrainingError(
          "\(archive.url.path) has no text for the picture \(key): add \(key).txt or \(key).json behind it")
      }
      return [Sample(picture: stored, prompt: nil, text: plain)]
    }
  }
}

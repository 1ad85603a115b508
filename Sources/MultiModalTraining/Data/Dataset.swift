import Foundation
import MultiModalPipeline
import Torch

/// A picture with a text that belongs to it.
public struct Sample: Sendable {
  /// Where it is.
  public let picture: StoredPicture
  /// What the text begins with, given and not learned.
  public let prompt: String?
  /// What is learned.
  public let text: String

  /// A picture that is read when its turn comes.
  public init(picture: StoredPicture, prompt: String? = nil, text: String) {
    self.picture = picture
    self.prompt = prompt
    self.text = text
  }
}

/// Pictures and texts that are read from the beginning to the end, as often as they are needed, and never held in memory as a
/// whole: what is trained on, validated with and evaluated.
///
/// Training may read several shards at once, from several threads, and reads all of them once in every epoch. Each time they
/// must give the same samples in the same order, or a run that was interrupted would go on with others than it left.
public protocol Dataset: Sendable {
  /// What errors call it, such as its path.
  var name: String { get }
  /// How many parts there are that can be read apart from each other; training takes them in any order.
  var shardCount: Int { get }
  /// Begins to read a part.
  /// - Parameter shard: 0 ..< `shardCount`
  /// - Returns: a function that gives the part's samples one after the other, nil at the end; it throws `TrainingError` with
  ///   the place of what is wrong
  func samples(ofShard shard: Int) throws -> () throws -> Sample?
}

extension Dataset {
  /// One, where nothing else is said.
  public var shardCount: Int { 1 }

  /// Calls `body` with every sample, in the order of storage.
  public func forEach(_ body: (Sample) throws -> Void) throws {
    for shard in 0..<shardCount {
      let next = try samples(ofShard: shard)
      while let sample = try next() {
        try Task.checkCancellation()
        try body(sample)
      }
    }
  }
}

/// The datasets that are read: a folder with a `metadata.jsonl` or `metadata.csv`, WebDataset shards, and a list file.
public enum Datasets {
  /// - Parameter url: a folder with `metadata.jsonl` or `metadata.csv`, a folder with `.tar` or `.tar.gz` files, one such file, or
  ///   a list file (`.tsv`)
  /// - Throws: `TrainingError` that says what can be given.
  public static func open(_ url: URL) throws -> any Dataset {
    guard FileManager.default.fileExists(atPath: url.path) else {
      throw TrainingError("\(url.path) does not exist: give \(choices)")
    }
    if isFolder(url) {
      if let parts = try parts(of: url) {
        throw TrainingError(
          "\(url.path) holds a dataset to train on and perhaps others: give one of them, such as \(parts.training.path)"
        )
      }
      let tars = try tars(in: url)
      guard tars.isEmpty || !hasMetadata(url) else {
        throw TrainingError(
          "\(url.path) holds a \(ImageFolder.metadata(in: url)[0].lastPathComponent) and .tar files: keep the two in folders of "
            + "their own"
        )
      }
      return tars.isEmpty ? try ImageFolder(url) : WebDataset(url, shards: tars)
    }
    if ArchiveFile.hasName(url.path) { return WebDataset(url, shards: [url]) }
    guard url.pathExtension.lowercased() == "tsv" else {
      throw TrainingError("\(url.path) is no dataset: give \(choices)")
    }
    return ListFile(url)
  }

  /// The datasets of a folder that holds one named `train` and perhaps another named `validation`; nil for a folder that is
  /// a dataset itself.
  static func parts(of folder: URL) throws -> (training: URL, validation: URL?)? {
    func part(_ name: String) -> URL? {
      (["", ".tsv"] + ArchiveFile.endings).map { folder.appendingPathComponent(name + $0) }
        .first { FileManager.default.fileExists(atPath: $0.path) }
    }
    guard isFolder(folder), let training = part("train") else { return nil }
    let others = try tars(in: folder).filter { tar in
      !ArchiveFile.endings.contains { ["train\($0)", "validation\($0)"].contains(tar.lastPathComponent) }
    }
    guard hasMetadata(folder) || !others.isEmpty else { return (training, part("validation")) }
    // A folder `train` without texts of its own holds pictures of the dataset around it.
    guard try isFolder(training) && !hasMetadata(training) && tars(in: training).isEmpty else {
      throw TrainingError(
        "\(folder.path) is a dataset and holds another one, \(training.lastPathComponent): give the one that is meant, or "
          + "keep them apart")
    }
    return nil
  }

  private static func isFolder(_ url: URL) -> Bool {
    var isFolder: ObjCBool = false
    return FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder) && isFolder.boolValue
  }

  private static func hasMetadata(_ folder: URL) -> Bool { !ImageFolder.metadata(in: folder).isEmpty }

  private static let compressed = [".tar.zst", ".tar.bz2", ".tar.xz", ".tar.lz4"]

  /// The shards in a folder.
  /// - Throws: `TrainingError` for one that is compressed, unless the folder is a dataset without it.
  private static func tars(in folder: URL) throws -> [URL] {
    let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? [])
      .filter { !$0.hasPrefix(".") }.sorted()
    if !hasMetadata(folder),
      let packed = names.first(where: { name in compressed.contains { name.lowercased().hasSuffix($0) } })
    {
      throw TrainingError(
        "\(folder.appendingPathComponent(packed).path) is compressed in a way that is not read: make it a .tar or .tar.gz"
      )
    }
    return names.filter(ArchiveFile.hasName).map(folder.appendingPathComponent)
  }

  private static let choices =
    "a folder with pictures and a metadata.jsonl or metadata.csv, a folder with .tar or .tar.gz shards, one such file, or a "
    + "list of pictures and texts with tabs between them (.tsv)"
}

/// What is known of a dataset after reading through it.
struct DatasetSummary: Sendable {
  private(set) var count = 0
  /// What texts begin with, `""` for nothing; nil where that is something else for nearly every picture, such as a question.
  private(set) var prompts: Set<String>? = []
  /// Differs where names, prompts, texts or their order do.
  var fingerprint: String { String(texts.hash, radix: 16) }

  private var texts = FNV1a()

  private static let mostPrompts = 16

  mutating func add(_ sample: Sample) {
    count += 1
    prompts?.insert(sample.prompt ?? "")
    if prompts?.count ?? 0 > Self.mostPrompts { prompts = nil }
    for text in [sample.picture.name, sample.prompt ?? "", sample.text] {
      texts.add(text.utf8)
      texts.add([0])
    }
  }
}

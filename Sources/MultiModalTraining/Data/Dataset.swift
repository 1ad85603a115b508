import Foundation
import MultiModalPipeline
import Torch

/// A picture with a text that belongs to it.
public struct Sample: Sendable, Equatable {
  /// Where it is.
  public let picture: StoredPicture
  /// What the text begins with, given and not learned.
  public let prompt: String?
  /// What is learned.
  public let text: String

  /// A picture that is read when its turn comes.
  public init(picture: StoredPicture, prompt: String?, text: String) {
    self.picture = picture
    self.prompt = prompt
    self.text = text
  }
}

/// Where a picture's bytes lie: in a file of their own, or in a part of one.
public struct StoredPicture: Sendable, Hashable {
  /// What logs and results call it.
  public let name: String
  /// The file that holds it.
  public let file: URL
  /// Nil for the whole file.
  public let range: Range<Int>?
  /// Nil where all bytes are stored.
  private let sparse: SparseMap?
  /// What the range lies in, where the file is compressed.
  private let unpacked: ArchiveFile?

  /// A file, or a part of one.
  public init(name: String, file: URL, range: Range<Int>? = nil) {
    (self.name, self.file, self.range) = (name, file, range)
    (sparse, unpacked) = (nil, nil)
  }

  /// A file in an archive.
  init(name: String, _ entry: TarReader.Entry, in archive: ArchiveFile) {
    (self.name, file, range) = (name, archive.url, entry.range)
    sparse = entry.sparse
    unpacked = archive.isCompressed ? archive : nil
  }

  /// File and name, for people.
  public var place: String {
    range == nil ? file.path : name.hasPrefix(file.path) ? name : "\(name) in \(file.path)"
  }

  /// - Throws: `PictureError` for what is missing, damaged or no picture.
  func decoded(longestSide: Int?, limits: PictureLimits) throws -> Picture {
    guard let range else { return try Picture(contentsOf: file, longestSide: longestSide, limits: limits) }
    return try Picture(
      bytes: bytes(range, limits: limits), name: place, longestSide: longestSide, limits: limits)
  }

  /// The picture for a captioner.
  /// - Parameter request: the captioner's own when nil
  public func input(_ request: Captioner.Request? = nil, limits: PictureLimits) -> Captioner.Input {
    guard let range else { return Captioner.Input(contentsOf: file, request) }
    return Captioner.Input(name: place, request) { try bytes(range, limits: limits) }
  }

  private func bytes(_ range: Range<Int>, limits: PictureLimits) throws -> Data {
    var bytes: Data
    do {
      let count = min(range.count, max(0, limits.maxBytes) + 1)
      bytes = try (unpacked ?? ArchiveFile(file)).read(range.prefix(count))
    } catch {
      throw PictureError(.unreadable, "cannot read picture \(place): \(error.localizedDescription)")
    }
    if let sparse {
      // A few bytes could claim terabytes of holes.
      guard sparse.size <= limits.maxBytes else {
        throw PictureError(
          .tooLarge,
          "cannot read picture \(place): it has more than \(limits.maxBytes) bytes, the limit (max_bytes)")
      }
      bytes = sparse.expanded(bytes)
    }
    return bytes
  }
}

/// Pictures and texts that are read from the beginning to the end, and never held in memory as a whole.
public protocol Dataset: Sendable {
  /// What errors call it.
  var url: URL { get }
  /// The files that name the samples. Each is read in order; training takes the files in any order.
  var shards: [URL] { get }
  /// - Returns: a function that gives the shard's samples one after the other, nil at the end; it throws `TrainingError` with
  ///   file and line of what is wrong
  func samples(of shard: URL) throws -> () throws -> Sample?
}

extension Dataset {
  /// Calls `body` with every sample, in the order of storage.
  public func forEach(_ body: (Sample) throws -> Void) throws {
    for shard in shards {
      let next = try samples(of: shard)
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
struct DatasetSummary: Sendable, Equatable {
  private(set) var count = 0
  /// What texts begin with, `""` for nothing; nil where that is something else for nearly every picture, such as a question.
  private(set) var prompts: Set<String>? = []
  /// Differs where names, prompts, texts or their order do (FNV-1a, 64 bits).
  var fingerprint: String { String(hash, radix: 16) }

  private var hash: UInt64 = 0xCBF2_9CE4_8422_2325

  private static let mostPrompts = 16

  mutating func add(_ sample: Sample) {
    count += 1
    prompts?.insert(sample.prompt ?? "")
    if prompts?.count ?? 0 > Self.mostPrompts { prompts = nil }
    for text in [sample.picture.name, sample.prompt ?? "", sample.text] {
      for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
      hash = hash &* 0x100_0000_01B3
    }
  }
}

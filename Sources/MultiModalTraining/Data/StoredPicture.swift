import Foundation
import MultiModalPipeline
import Torch

/// A picture of a dataset, which is read when its turn comes: a file, a part of one, bytes from anywhere, or pixels.
public struct StoredPicture: Sendable {
  /// What logs and results call it. Within a dataset samples of one picture have one name.
  public let name: String
  /// The file that holds it; nil for what comes from elsewhere.
  public let file: URL?
  /// Of the file; nil for the whole of it.
  public let range: Range<Int>?
  private let content: Content

  private enum Content: Sendable {
    case file(URL)
    /// Those of a file of any format that is read; more than the limits allow need not be given.
    case bytes(@Sendable (PictureLimits) throws -> Data)
    case decoded(@Sendable () throws -> Picture)
  }

  private init(name: String, file: URL? = nil, range: Range<Int>? = nil, _ content: Content) {
    (self.name, self.file, self.range, self.content) = (name, file, range, content)
  }

  /// A file, or a part of one.
  public init(name: String, file: URL, range: Range<Int>? = nil) {
    guard let range else {
      self.init(name: name, file: file, .file(file))
      return
    }
    self.init(
      name: name, file: file, range: range, .bytes { try ArchiveFile(file).read(range, limits: $0) })
  }

  /// A file's bytes, such as those in a table of a database.
  /// - Parameter bytes: reads them; called from any thread, each time the picture is needed
  public init(name: String, bytes: @escaping @Sendable () throws -> Data) {
    self.init(name: name, .bytes { _ in try bytes() })
  }

  /// A picture that is in memory or is drawn.
  /// - Parameter decoded: makes it; called from any thread, each time the picture is needed
  public init(name: String, decoded: @escaping @Sendable () throws -> Picture) {
    self.init(name: name, .decoded(decoded))
  }

  /// A file in an archive.
  init(name: String, _ entry: TarReader.Entry, in archive: ArchiveFile) {
    // One that was unpacked is kept open.
    let (url, stamp, unpacked) = (archive.url, archive.stamp, archive.isCompressed ? archive : nil)
    self.init(
      name: name, file: url, range: entry.range,
      .bytes { limits in
        let archive = try unpacked ?? ArchiveFile(url)
        guard archive.stamp == stamp else {
          throw FileError("the archive was changed after its pictures were looked up")
        }
        let bytes = try archive.read(entry.range, limits: limits)
        guard let sparse = entry.sparse else { return bytes }
        // A few bytes could claim terabytes of holes.
        guard sparse.size <= limits.maxBytes else {
          throw FileError("it has more than \(limits.maxBytes) bytes, the limit (max_bytes)")
        }
        return sparse.expanded(bytes)
      })
  }

  /// File and name, for people.
  public var place: String {
    guard let file else { return name }
    return range == nil ? file.path : name.hasPrefix(file.path) ? name : "\(name) in \(file.path)"
  }

  /// One for all spellings of a name, such as `./a.png` and `a.png`.
  var plainName: String { name.split(separator: "/").filter { $0 != "." }.joined(separator: "/") }

  /// - Parameter longestSide: larger pictures that are decoded are reduced to it
  /// - Throws: `PictureError` for what is missing, damaged or no picture, `PictureLibraryError` where none can be read.
  func decoded(longestSide: Int?, limits: PictureLimits) throws -> Picture {
    switch content {
    case .file(let url): try Picture(contentsOf: url, longestSide: longestSide, limits: limits)
    case .bytes(let read):
      try Picture(
        bytes: reading { try read(limits) }, name: place, longestSide: longestSide, limits: limits)
    case .decoded(let make): try reading(make)
    }
  }

  /// The picture for a captioner.
  /// - Parameter request: the captioner's own when nil
  public func input(_ request: Captioner.Request? = nil, limits: PictureLimits) -> Captioner.Input {
    switch content {
    case .file(let url): Captioner.Input(contentsOf: url, request)
    case .bytes(let read): Captioner.Input(name: place, request) { try reading { try read(limits) } }
    case .decoded(let make): Captioner.Input(decoded: { try reading(make) }, request)
    }
  }

  /// - Throws: `PictureError` that names the picture; `PictureLibraryError` names none.
  private func reading<Result>(_ body: () throws -> Result) throws -> Result {
    do { return try body() } catch let error where error is PictureError || error is PictureLibraryError {
      throw error
    } catch {
      throw PictureError(.unreadable, "cannot read picture \(place): \(error.localizedDescription)")
    }
  }
}

extension ArchiveFile {
  /// A picture's bytes; one more than are allowed where there are more.
  fileprivate func read(_ range: Range<Int>, limits: PictureLimits) throws -> Data {
    try read(range.prefix(min(max(limits.maxBytes, 0), .max - 1) + 1))
  }
}

import Foundation
import Torch

/// Pictures without texts, and how several processes share them.
public enum PictureCollection {
  /// What a file's name must end with where a folder or an archive is searched.
  static let extensions: Set<String> = [
    "jpg", "jpeg", "png", "webp", "gif", "tif", "tiff", "heic", "heif", "avif",
  ]

  /// All pictures and archives (.tar, .tar.gz) of a folder and the folders below it, in the order of their names; any other file
  /// itself. Nothing is opened.
  /// - Throws: `TrainingError` for what does not exist, and for a folder without any.
  public static func files(of url: URL) throws -> [URL] {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder) else {
      throw TrainingError("\(url.path) does not exist: give a picture, a folder with pictures or a .tar file")
    }
    guard isFolder.boolValue else { return [url] }
    let files = try files(below: url)
    guard !files.isEmpty else { throw nothing(in: url) }
    return files
  }

  /// All pictures of an archive in the order in which they lie there, or the one that any other file is taken for.
  /// - Throws: `TrainingError` for a damaged archive, and for one without any.
  public static func pictures(of file: URL) throws -> [StoredPicture] {
    guard isArchive(file.path) else { return [StoredPicture(name: file.path, file: file)] }
    let archive = try TarReader(file)
    var pictures: [StoredPicture] = []
    while let entry = try archive.next() {
      let name = entry.path.split(separator: "/").last ?? ""
      guard hasPictureName(entry.path), !name.hasPrefix(".") else { continue }
      pictures.append(
        StoredPicture(name: "\(file.path)/\(entry.path)", entry, in: archive.file))
    }
    guard !pictures.isEmpty else { throw nothing(in: file) }
    return pictures
  }

  /// Whether a file's name says that pictures lie in it.
  public static func isArchive(_ name: String) -> Bool { ArchiveFile.hasName(name) }

  /// A process's share: every so many files.
  /// - Parameter rank: 0 ..< processes
  public static func share<File>(_ files: [File], rank: Int, of processes: Int) -> [File] {
    stride(from: rank, to: files.count, by: processes).map { files[$0] }
  }

  private static func nothing(in url: URL) -> TrainingError {
    TrainingError(
      "\(url.path) holds no picture: their names end with \(extensions.sorted().joined(separator: ", "))")
  }

  private static func files(below folder: URL) throws -> [URL] {
    guard let paths = FileManager.default.enumerator(atPath: folder.path) else {
      throw TrainingError("\(folder.path) cannot be read")
    }
    return paths.compactMap { $0 as? String }
      .filter { path in
        !path.split(separator: "/").contains { $0.hasPrefix(".") }
          && (hasPictureName(path) || ArchiveFile.hasName(path))
      }
      .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
      .map(folder.appendingPathComponent)
  }

  private static func hasPictureName(_ path: String) -> Bool {
    extensions.contains(path.split(separator: ".").last.map { $0.lowercased() } ?? "")
  }
}

import Foundation
import Torch

/// Pictures without texts, and how several processes share them.
public enum PictureCollection {
  /// What a file's name must end with where a folder or an archive is searched.
  static let extensions: Set<String> = [
    "jpg", "jpeg", "png", "webp", "gif", "tif", "tiff", "heic", "heif", "avif",
  ]

  /// All pictures of a folder and the folders below it, of the archives (.tar, .tar.gz) in them or of one, in the order of their names;
  /// any other file is taken for a picture.
  /// - Returns: pieces that one process reads: a whole archive, or one file
  /// - Throws: `TrainingError` for what does not exist, holds no picture, or is a damaged archive.
  public static func pieces(of url: URL) throws -> [[StoredPicture]] {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder) else {
      throw TrainingError("\(url.path) does not exist: give a picture, a folder with pictures or a .tar file")
    }
    let pieces =
      try isFolder.boolValue
      ? files(below: url).map(piece) : [piece(url)]
    guard pieces.contains(where: { !$0.isEmpty }) else {
      throw TrainingError(
        "\(url.path) holds no picture: their names end with \(extensions.sorted().joined(separator: ", "))")
    }
    return pieces
  }

  /// Whether a file's name says that pictures lie in it.
  public static func isArchive(_ name: String) -> Bool { ArchiveFile.hasName(name) }

  /// A process's share: every so many pieces.
  /// - Parameter rank: 0 ..< processes
  public static func share(_ pieces: [[StoredPicture]], rank: Int, of processes: Int) -> [StoredPicture] {
    stride(from: rank, to: pieces.count, by: processes).flatMap { pieces[$0] }
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

  private static func piece(_ file: URL) throws -> [StoredPicture] {
    guard ArchiveFile.hasName(file.path) else {
      return [StoredPicture(name: file.path, file: file)]
    }
    let archive = try TarReader(file)
    var pictures: [StoredPicture] = []
    while let entry = try archive.next() {
      let name = entry.path.split(separator: "/").last ?? ""
      guard hasPictureName(entry.path), !name.hasPrefix(".") else { continue }
      pictures.append(
        StoredPicture(name: "\(file.path)/\(entry.path)", entry, in: archive.file))
    }
    return pictures
  }

  private static func hasPictureName(_ path: String) -> Bool {
    extensions.contains(path.split(separator: ".").last.map { $0.lowercased() } ?? "")
  }
}

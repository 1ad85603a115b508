import Foundation

/// Writes a file that appears under its name when it is complete, or not at all.
package enum AtomicFile {
  package static func write(_ data: Data, to url: URL) throws {
    try write(to: url) { append in try data.withUnsafeBytes { try append($0) } }
  }

  /// Makes a folder that can be written to, and those above it, where they are missing.
  package static func makeFolder(_ url: URL) throws {
    try? FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder), isFolder.boolValue,
      access(url.path, W_OK) == 0
    else {
      throw FileError(
        "\(url.path) is no folder that can be written to: choose a place where you may write and no file is")
    }
  }

  /// - Parameter body: gets a function that appends bytes
  static func write(to url: URL, _ body: ((UnsafeRawBufferPointer) throws -> Void) throws -> Void) throws {
    let temporary = url.deletingLastPathComponent().appendingPathComponent(
      ".\(url.lastPathComponent).\(getpid()).\(UInt32.random(in: 0 ... .max)).partial")
    func fail(_ path: String) -> FileError {
      FileError("\(path) cannot be written: \(String(cString: strerror(errno)))")
    }
    let descriptor = open(temporary.path, O_WRONLY | O_CREAT | O_EXCL, 0o644)
    guard descriptor >= 0 else { throw fail(url.path) }
    do {
      defer { close(descriptor) }
      try body { bytes in
        var done = 0
        while done < bytes.count, let base = bytes.baseAddress {
          let written = Foundation.write(descriptor, base + done, min(bytes.count - done, 1 << 30))
          if written < 0 && errno == EINTR { continue }
          guard written > 0 else { throw fail(url.path) }
          done += written
        }
      }
      guard fsync(descriptor) == 0 else { throw fail(url.path) }
      guard Foundation.rename(temporary.path, url.path) == 0 else { throw fail(url.path) }
    } catch {
      unlink(temporary.path)
      throw error
    }
    sync(url.deletingLastPathComponent())
  }

  /// Gives a file or folder another name in the same folder, for good when it returns.
  package static func rename(_ url: URL, to other: URL) throws {
    guard Foundation.rename(url.path, other.path) == 0 else {
      throw FileError("\(other.path) cannot be written: \(String(cString: strerror(errno)))")
    }
    sync(other.deletingLastPathComponent())
  }

  /// Sees to it that a folder's names outlast a power failure.
  private static func sync(_ folder: URL) {
    let descriptor = open(folder.path, O_RDONLY)
    if descriptor >= 0 {
      fsync(descriptor)
      close(descriptor)
    }
  }
}

import Foundation

/// By what it shows that a file was written to while it was used.
package struct FileStamp: Sendable {
  private let url: URL
  private let before: stat?

  package init(_ url: URL) {
    self.url = url
    before = AtomicFile.status(url)
  }

  /// A file that another one was put in the place of stays as it was for those who use it.
  /// - Throws: `FileError` when the file was cut, or others wrote to it.
  package func checkUnchanged() throws {
    guard let before, let now = AtomicFile.status(url), before.st_dev == now.st_dev,
      before.st_ino == now.st_ino
    else {
      return
    }
    guard before.st_size == now.st_size, Self.modified(before) == Self.modified(now) else {
      throw FileError(
        "\(url.path) was changed while it was read: try again, and put new weights in place by renaming, not by writing over "
          + "old ones")
    }
  }

  /// Seconds and nanoseconds.
  private static func modified(_ status: stat) -> [Int] {
    #if os(macOS)
      [status.st_mtimespec.tv_sec, status.st_mtimespec.tv_nsec]
    #else
      [status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
    #endif
  }
}

import Foundation

/// By what it shows that a file was written to while it was used, or that another one lies in its place.
package struct FileStamp: Sendable, Equatable {
  private let url: URL
  private let status: stat?

  package init(_ url: URL) {
    self.url = url
    status = AtomicFile.status(url)
  }

  /// Whether both are of one size, written at one time. A copy that kept the time is as good as the file.
  package static func == (one: FileStamp, other: FileStamp) -> Bool {
    one.status?.st_size == other.status?.st_size && one.modified == other.modified
  }

  /// A file that another one was put in the place of stays as it was for those who use it.
  /// - Throws: `FileError` when the file was cut, or others wrote to it.
  package func checkUnchanged() throws {
    let now = FileStamp(url)
    guard let before = status, let after = now.status, before.st_dev == after.st_dev,
      before.st_ino == after.st_ino
    else {
      return
    }
    guard self == now else {
      throw FileError(
        "\(url.path) was changed while it was read: try again, and put new weights in place by renaming, not by writing over "
          + "old ones")
    }
  }

  /// Seconds and nanoseconds.
  private var modified: [Int]? {
    #if os(macOS)
      status.map { [$0.st_mtimespec.tv_sec, $0.st_mtimespec.tv_nsec] }
    #else
      status.map { [$0.st_mtim.tv_sec, $0.st_mtim.tv_nsec] }
    #endif
  }
}

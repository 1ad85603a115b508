import Foundation
import Torch

/// Keeps a run's folder for one run at a time. The system lets go of it with the process, however that ends.
final class RunLock {
  private let descriptor: Int32
  private let path: String
  /// Where the folder was made for it; one that is still empty in the end goes again.
  private let made: URL?

  private static let name = ".lock"

  /// Makes the folder where it is missing.
  /// - Throws: `TrainingError` where another run goes on in it.
  init(_ run: URL) throws {
    made = access(run.path, F_OK) == 0 ? nil : run
    try AtomicFile.makeFolder(run)
    path = run.appendingPathComponent(Self.name).path
    var descriptor: Int32 = -1
    // Who ends removes the file, which another may have opened before.
    repeat {
      if descriptor >= 0 { close(descriptor) }
      descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
      guard descriptor >= 0 else {
        throw TrainingError("\(path) cannot be written: \(String(cString: strerror(errno)))")
      }
      // A file system that has no locks keeps nobody away.
      guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK else {
        close(descriptor)
        throw TrainingError(
          "\(run.path) is in use by another run: wait until it ends, or choose another folder")
      }
    } while !Self.lies(descriptor, at: path)
    self.descriptor = descriptor
  }

  deinit {
    if Self.lies(descriptor, at: path) { unlink(path) }
    if let made { rmdir(made.path) }
    close(descriptor)
  }

  private static func lies(_ descriptor: Int32, at path: String) -> Bool {
    var (file, named) = (stat(), stat())
    return fstat(descriptor, &file) == 0 && stat(path, &named) == 0 && file.st_dev == named.st_dev
      && file.st_ino == named.st_ino
  }
}

import Foundation

/// A file that records are appended to, each with a write of its own, so that a run that is killed loses the last one at
/// most.
struct AppendedFile {
  private let handle: FileHandle
  private let path: String
  private var isLost = false

  /// - Parameter isNew: there must be no such file yet
  init(_ url: URL, isNew: Bool = false) throws {
    path = url.path
    let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (isNew ? O_EXCL : 0), 0o644)
    guard descriptor >= 0 else {
      throw TrainingError("\(path) cannot be written: \(String(cString: strerror(errno)))")
    }
    handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
  }

  /// - Throws: at the first record that cannot be written. Nothing is written after it, because it may be torn, and
  ///   nothing is thrown again: what is told about a run is no reason to end it.
  mutating func append(_ record: Data) throws {
    guard !isLost else { return }
    do { try handle.write(contentsOf: record) } catch {
      isLost = true
      throw TrainingError("\(path) cannot be written any more: the run goes on without it")
    }
  }
}

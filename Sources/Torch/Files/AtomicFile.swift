import Foundation

/// Writes a file that appears under its name when it is complete, or not at all. A link stays one and what it leads to is
/// written; a file that is there keeps its mode and, where that is allowed, its owner; what is no regular file, such as a
/// pipe, is written through.
package enum AtomicFile {
  package typealias Append = (UnsafeRawBufferPointer) throws -> Void

  package static func write(_ data: Data, to url: URL) throws {
    try write(to: url) { append in try data.withUnsafeBytes { try append($0) } }
  }

  /// Makes a folder that can be written to, and those above it, where they are missing.
  package static func makeFolder(_ url: URL) throws {
    try? FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    guard isFolder(url), access(url.path, W_OK) == 0 else {
      throw FileError(
        "\(url.path) is no folder that can be written to: choose a place where you may write and no file is")
    }
  }

  /// Says before long work what would keep its file from being written.
  package static func check(_ url: URL) throws {
    if let status = status(url) {
      guard status.st_mode & S_IFMT != S_IFDIR else {
        throw FileError("\(url.path) is a folder: give a file")
      }
      guard access(url.path, W_OK) == 0 else { throw unwritable(url) }
      guard status.st_mode & S_IFMT == S_IFREG, stream(status) == nil else { return }
    }
    let folder = try target(of: url).deletingLastPathComponent()
    guard isFolder(folder) else {
      throw FileError("\(url.path) cannot be written: there is no folder \(folder.path), make it first")
    }
    guard access(folder.path, W_OK) == 0 else { throw unwritable(url) }
  }

  /// - Parameter body: gets a function that appends bytes
  static func write(to url: URL, _ body: (Append) throws -> Void) throws {
    let before = status(url)
    if let before, before.st_mode & S_IFMT != S_IFREG || stream(before) != nil {
      return try writeThrough(url, before, body)
    }
    guard before == nil || access(url.path, W_OK) == 0 else { throw unwritable(url) }
    let target = try target(of: url)
    guard before.map({ $0.st_ino == status(target)?.st_ino }) ?? true else {
      throw FileError("\(url.path) cannot be written: its name is not UTF-8")
    }
    let temporary = Partial.url(for: target)
    let unnamed = Partial.unnamed(beside: target)
    let descriptor = unnamed ?? open(temporary.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw unwritable(url) }
    do {
      defer { close(descriptor) }
      Partial.claim(descriptor)
      try body { try append($0, to: descriptor, url) }
      if let before {
        _ = fchown(descriptor, before.st_uid, before.st_gid)
        fchmod(descriptor, before.st_mode & 0o7777)
      }
      guard fsync(descriptor) == 0, unnamed == nil || Partial.name(descriptor, temporary) else {
        throw unwritable(url)
      }
      guard Foundation.rename(temporary.path, target.path) == 0 else { throw unwritable(url) }
    } catch {
      unlink(temporary.path)
      throw error
    }
    Partial.removeAbandoned(beside: target)
    sync(target.deletingLastPathComponent())
  }

  /// Gives a file or folder another name in the same folder, for good when it returns.
  package static func rename(_ url: URL, to other: URL) throws {
    guard Foundation.rename(url.path, other.path) == 0 else { throw unwritable(other) }
    sync(other.deletingLastPathComponent())
  }

  private static func writeThrough(_ url: URL, _ status: stat, _ body: (Append) throws -> Void) throws {
    // `/dev/stdout` is the stream itself, so that what is printed next follows what is written here.
    let descriptor = stream(status).map { dup($0) } ?? open(url.path, O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw unwritable(url) }
    defer { close(descriptor) }
    try body { try append($0, to: descriptor, url) }
  }

  private static func append(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, _ url: URL) throws {
    let failure = Descriptor.write(bytes, to: descriptor)
    if failure != 0 { throw unwritable(url, failure) }
  }

  private static func unwritable(_ url: URL, _ reason: Int32 = errno) -> FileError {
    FileError("\(url.path) cannot be written: \(String(cString: strerror(reason)))")
  }

  // MARK: What is there

  static func status(_ url: URL) -> stat? {
    var status = stat()
    return stat(url.path, &status) == 0 ? status : nil
  }

  private static func isFolder(_ url: URL) -> Bool {
    status(url).map { $0.st_mode & S_IFMT == S_IFDIR } ?? false
  }

  /// The standard stream that a file is.
  private static func stream(_ file: stat) -> Int32? {
    [STDOUT_FILENO, STDERR_FILENO].first {
      var status = stat()
      return fstat($0, &status) == 0 && status.st_dev == file.st_dev && status.st_ino == file.st_ino
    }
  }

  /// Where links lead, whether or not a file is there yet.
  private static func target(of url: URL) throws -> URL {
    var target = url
    for _ in 0..<40 {
      guard let next = try? FileManager.default.destinationOfSymbolicLink(atPath: target.path) else {
        return target
      }
      target = URL(fileURLWithPath: next, relativeTo: target.deletingLastPathComponent()).absoluteURL
    }
    throw FileError("\(url.path) cannot be written: its links lead in a circle")
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

/// Files that are not complete yet. Where the system has files without a name, they go with a program that is killed. Who
/// writes one holds a lock on it, on such systems for the moment in which it has a name, so those that were left can be told.
private enum Partial {
  private static let suffix = ".partial"

  /// A file without a name, to be written; nil where the system or the file system has none.
  static func unnamed(beside target: URL) -> Int32? {
    #if os(Linux)
      // O_TMPFILE, which is no plain number in C. /proc gives such a file its name.
      let flags = 0o20_000_000 | O_DIRECTORY | O_WRONLY | O_CLOEXEC
      guard access("/proc/self/fd", X_OK) == 0 else { return nil }
      let descriptor = open(target.deletingLastPathComponent().path, flags, 0o666)
      return descriptor >= 0 ? descriptor : nil
    #else
      return nil
    #endif
  }

  static func name(_ descriptor: Int32, _ url: URL) -> Bool {
    linkat(AT_FDCWD, "/proc/self/fd/\(descriptor)", AT_FDCWD, url.path, AT_SYMLINK_FOLLOW) == 0
  }

  static func url(for target: URL) -> URL {
    target.deletingLastPathComponent().appendingPathComponent(
      "\(prefix(target))\(getpid()).\(UInt32.random(in: 0 ... .max))\(suffix)")
  }

  /// A file's name may have 255 bytes.
  private static func prefix(_ target: URL) -> String {
    ".\(String(decoding: target.lastPathComponent.utf8.prefix(180), as: UTF8.self))."
  }

  static func claim(_ descriptor: Int32) { flock(descriptor, LOCK_EX | LOCK_NB) }

  static func removeAbandoned(beside target: URL) {
    let folder = target.deletingLastPathComponent()
    let prefix = prefix(target)
    for name in (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    where name.hasPrefix(prefix) && name.hasSuffix(suffix) {
      let path = folder.appendingPathComponent(name).path
      let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW)
      guard descriptor >= 0 else { continue }
      defer { close(descriptor) }
      var status = stat()
      // One that was made just now may not be locked yet.
      guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
        Date(timeIntervalSince1970: Double(modified(status))).timeIntervalSinceNow < -60,
        flock(descriptor, LOCK_EX | LOCK_NB) == 0
      else { continue }
      unlink(path)
    }
  }

  private static func modified(_ status: stat) -> Int {
    #if os(macOS)
      status.st_mtimespec.tv_sec
    #else
      status.st_mtim.tv_sec
    #endif
  }
}

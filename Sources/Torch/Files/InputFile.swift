import Foundation

/// Reads small files as a whole: regular ones, and what a shell gives in their place, such as `<(...)` and `/dev/stdin`.
package enum InputFile {
  /// Settings are never longer.
  package static let longestSettings = 16 << 20

  /// - Throws: `FileError` for what cannot be read, is empty for want of a writer, or has more than `limit` bytes.
  package static func read(_ url: URL, atMost limit: Int) throws -> Data {
    // A pipe would be waited for in vain where nobody writes to it.
    let descriptor = open(url.path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { throw unreadable(url) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw unreadable(url) }
    guard status.st_mode & S_IFMT != S_IFDIR else { throw FileError("\(url.path) is a folder: give a file") }
    let data = try read(descriptor, name: url.path, atMost: limit)
    guard !data.isEmpty || status.st_mode & S_IFMT != S_IFIFO else {
      throw FileError("\(url.path) is a pipe that nobody writes to")
    }
    guard data.count <= limit else {
      throw FileError("\(url.path) has more than \(limit) bytes, too many for what is expected there")
    }
    return data
  }

  /// Reads what is open to its end, waiting for whoever writes it.
  /// - Returns: somewhat more than `limit` bytes where there are more
  package static func read(_ descriptor: Int32, name: String, atMost limit: Int) throws -> Data {
    var data = Data()
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while data.count <= limit {
      let count = Foundation.read(descriptor, &chunk, chunk.count)
      if count < 0, errno == EAGAIN || errno == EINTR {
        var wanted = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        poll(&wanted, 1, -1)
        continue
      }
      guard count >= 0 else { throw FileError("\(name) cannot be read: \(String(cString: strerror(errno)))") }
      guard count > 0 else { break }
      data += chunk[..<count]
    }
    return data
  }

  /// A file to read from anywhere in it.
  /// - Throws: `FileError` for what is not there or no regular file.
  package static func handle(_ url: URL) throws -> FileHandle {
    FileHandle(fileDescriptor: try descriptor(url), closeOnDealloc: true)
  }

  /// The same, to be closed by who asks for it.
  package static func descriptor(_ url: URL) throws -> Int32 {
    let descriptor = open(url.path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { throw unreadable(url) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      throw FileError("\(url.path) is no regular file, which can be read more than once: give one")
    }
    return descriptor
  }

  /// A file with settings, known to be JSON.
  /// - Throws: `FileError` with the line where it is not.
  package static func json(_ url: URL) throws -> Data {
    let data = try read(url, atMost: longestSettings)
    do {
      _ = try data.withUnsafeBytes { try JSONScanner.parse($0) }
    } catch let failure as JSONScanner.Failure {
      throw FileError("\(url.path) is not valid JSON: \(failure.reason)")
    }
    return data
  }

  private static func unreadable(_ url: URL) -> FileError {
    FileError("\(url.path) cannot be read: \(String(cString: strerror(errno)))")
  }
}

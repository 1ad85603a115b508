import Foundation
import Torch

/// A file of JSON lines that grows while its pictures are captioned, so that what is done is there after a stop. What is no
/// regular file, such as a pipe, is written through.
final class CaptionOutput {
  /// How many lines each picture has already.
  let done: [String: Int]
  private let handle: FileHandle
  private let url: URL

  /// - Parameter resumes: whether the file may be there, and is gone on with
  /// - Throws: `FileError` for a file that is there and not asked to be gone on with, or cannot be written.
  init(_ url: URL, resumes: Bool) throws {
    self.url = url
    try AtomicFile.check(url)
    var status = stat()
    let isRegular = stat(url.path, &status) != 0 || status.st_mode & S_IFMT == S_IFREG
    // A call that ended before its first text leaves an empty file, which keeps nobody from trying again.
    guard resumes || !isRegular || status.st_size == 0 else {
      throw FileError("\(url.path) is there already: go on with it by --resume, or give another name")
    }
    let descriptor = open(
      url.path, (isRegular ? O_RDWR | O_CREAT | O_APPEND : O_WRONLY) | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw FileError("\(url.path) cannot be written: \(Self.reason)") }
    handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    done = try isRegular ? Self.readDone(handle, url) : [:]
  }

  /// - Throws: `FileError` when the disk is full.
  func append(_ line: String) throws {
    do { try handle.write(contentsOf: Data((line + "\n").utf8)) } catch {
      throw FileError("\(url.path) cannot be written: \(Self.reason)")
    }
  }

  private static var reason: String { String(cString: strerror(errno)) }

  private struct Line: Decodable { let picture: String }

  /// The pictures of all whole lines. What was cut off in the middle of a line is taken away.
  private static func readDone(_ handle: FileHandle, _ url: URL) throws -> [String: Int] {
    var done: [String: Int] = [:]
    var (rest, whole) = (Data(), 0)
    while let chunk = try handle.read(upToCount: 1 << 20), !chunk.isEmpty {
      rest.append(chunk)
      while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
        guard let line = try? JSONDecoder().decode(Line.self, from: rest[..<end]) else {
          throw FileError("\(url.path) holds what is no line of captions: give another name")
        }
        done[line.picture, default: 0] += 1
        whole += rest.distance(from: rest.startIndex, to: end) + 1
        rest = rest[(end + 1)...]
      }
      rest = Data(rest)
    }
    try handle.truncate(atOffset: UInt64(whole))
    return done
  }
}

import Foundation
import Synchronization

/// The words of the call, byte for byte. A file's name need not be UTF-8, but a `String` is: where a word is not, the folder
/// or file of that name is opened, and the system's name for what is open takes its place.
enum Words {
  private struct Alias {
    let path: String
    let shown: String
  }

  private static let aliases = Mutex<[Alias]>([])

  /// - Throws: `UsageError` for a word that is neither UTF-8 nor the name of what is there.
  static func given() throws -> [String] {
    try (1..<max(1, Int(CommandLine.argc))).compactMap { CommandLine.unsafeArgv[$0] }.map { try word($0) }
  }

  private static func word(_ pointer: UnsafePointer<CChar>) throws -> String {
    if let word = String(validatingCString: pointer) { return word }
    let bytes = UnsafeBufferPointer(start: pointer, count: strlen(pointer)).map { UInt8(bitPattern: $0) }
    guard bytes.starts(with: "--".utf8), let equals = bytes.firstIndex(of: UInt8(ascii: "=")),
      let option = String(validating: bytes[...equals], as: UTF8.self)
    else { return try path(bytes) }
    return try option + path(Array(bytes[(equals + 1)...]))
  }

  private static func path(_ bytes: [UInt8]) throws -> String {
    let slash = bytes.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0
    if slash > 0, let name = String(validating: bytes[slash...], as: UTF8.self),
      let folder = alias(of: Array(bytes[..<(slash - 1)]))
    {
      return "\(folder)/\(name)"
    }
    if let path = alias(of: bytes) { return path }
    throw UsageError(
      "'\(String(decoding: bytes, as: UTF8.self))' is not UTF-8, nor a file or folder that is there")
  }

  /// Linux alone has names that are no UTF-8.
  private static func alias(of path: [UInt8]) -> String? {
    #if os(Linux)
      let descriptor = open(path.map { CChar(bitPattern: $0) } + [0], O_RDONLY | O_NONBLOCK | O_CLOEXEC)
      guard descriptor >= 0 else { return nil }
      let alias = Alias(path: "/proc/self/fd/\(descriptor)", shown: String(decoding: path, as: UTF8.self))
      // Longer numbers first, because shorter ones are their beginnings.
      aliases.withLock { $0.insert(alias, at: 0) }
      return alias.path
    #else
      return nil
    #endif
  }

  /// A message with the names that were given.
  static func shown(_ text: String) -> String {
    aliases.withLock { $0.reduce(text) { $0.replacingOccurrences(of: $1.path, with: $1.shown) } }
  }

  /// Where the program stands, as the beginning of a path; nil where that is as well known by its name.
  static let currentFolder: String? = {
    guard let name = getcwd(nil, 0) else { return nil }
    defer { free(name) }
    return String(validatingCString: name) == nil ? "/proc/self/cwd/" : nil
  }()
}

import Foundation
import Testing

@testable import Torch

/// What becomes of what lies under the name of a file that is written.
@Suite struct OutputFileTests {
  private final class Folder {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("gpt4mm-\(UUID().uuidString)")
    init() throws { try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(at: url) }
    func file(_ name: String) -> URL { url.appendingPathComponent(name) }
    func text(_ name: String) -> String? { try? String(contentsOf: file(name), encoding: .utf8) }
    var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []).sorted() }
  }

  private func write(_ text: String, _ url: URL) throws { try AtomicFile.write(Data(text.utf8), to: url) }

  private func mode(_ url: URL) -> mode_t {
    var status = stat()
    return stat(url.path, &status) == 0 ? status.st_mode & 0o7777 : 0
  }

  @Test func linksStayLinks() throws {
    let folder = try Folder()
    try FileManager.default.createDirectory(at: folder.file("sub"), withIntermediateDirectories: true)
    try write("old", folder.file("sub/there"))
    for (link, target) in [
      ("a", "sub/there"), ("b", "sub/new"), ("c", "b"), ("d", folder.file("sub/more").path),
    ] {
      try FileManager.default.createSymbolicLink(atPath: folder.file(link).path, withDestinationPath: target)
      try AtomicFile.check(folder.file(link))
      try write("text of \(link)", folder.file(link))
      #expect(try FileManager.default.destinationOfSymbolicLink(atPath: folder.file(link).path) == target)
    }
    #expect(folder.text("sub/there") == "text of a")
    #expect(folder.text("sub/new") == "text of c")
    #expect(folder.text("sub/more") == "text of d")
    try FileManager.default.createSymbolicLink(atPath: folder.file("x").path, withDestinationPath: "y")
    try FileManager.default.createSymbolicLink(atPath: folder.file("y").path, withDestinationPath: "x")
    let error = #expect(throws: FileError.self) { try write("x", folder.file("x")) }
    #expect(error?.description.hasSuffix("its links lead in a circle") == true)
  }

  @Test func aFileKeepsItsModeAndANewOneGetsTheUsualOne() throws {
    let folder = try Folder()
    try write("a", folder.file("a"))
    try Data().write(to: folder.file("usual"))
    #expect(mode(folder.file("a")) == mode(folder.file("usual")) & 0o666)
    for bits in [0o600, 0o664, 0o640, 0o755] as [mode_t] {
      chmod(folder.file("a").path, bits)
      try write("b", folder.file("a"))
      #expect(mode(folder.file("a")) == bits)
    }
  }

  #if os(Linux)
    /// So a program that is killed leaves nothing.
    @Test func aFileHasNoNameBeforeItIsComplete() throws {
      let folder = try Folder()
      for text in ["one", "two"] {
        let before = folder.names
        try AtomicFile.write(to: folder.file("a")) { append in
          try Array(text.utf8).withUnsafeBytes { try append($0) }
          #expect(folder.names == before)
        }
        #expect(folder.names == ["a"] && folder.text("a") == text)
      }
    }
  #endif

  @Test func whatIsNoRegularFileIsWrittenThrough() throws {
    let folder = try Folder()
    let pipe = folder.file("pipe")
    #expect(mkfifo(pipe.path, 0o600) == 0)
    let reader = open(pipe.path, O_RDONLY | O_NONBLOCK)
    defer { close(reader) }
    try AtomicFile.check(pipe)
    try write("through", pipe)
    var bytes = [UInt8](repeating: 0, count: 100)
    let count = read(reader, &bytes, bytes.count)
    #expect(String(decoding: bytes.prefix(max(0, count)), as: UTF8.self) == "through")
    #expect(folder.names == ["pipe"])
    try write("nothing", URL(fileURLWithPath: "/dev/null"))
    var status = stat()
    #expect(stat("/dev/null", &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
    #expect(throws: FileError.self) { try write("x", folder.url) }
    #if os(Linux)
      #expect(throws: FileError.self) { try write("x", URL(fileURLWithPath: "/dev/full")) }
    #endif
  }

  @Test func whatCannotBeWrittenIsSaidBeforeTheWork() throws {
    let folder = try Folder()
    func sentence(_ url: URL) -> String {
      do {
        try AtomicFile.check(url)
        return "none"
      } catch { return "\(error)" }
    }
    #expect(sentence(folder.file("a")) == "none")
    #expect(
      sentence(folder.file("none/a")).hasSuffix(
        "there is no folder \(folder.file("none").path), make it first"))
    #expect(sentence(folder.url).hasSuffix("is a folder: give a file"))
    #expect(folder.names.isEmpty)
  }

  @Test func whatAKilledProgramLeftGoesAndWhatAnotherWritesStays() throws {
    let folder = try Folder()
    for (name, age) in [
      (".a.1.2.partial", 100.0), (".a.1.3.partial", 100), (".a.1.4.partial", 0), (".b.1.2.partial", 100),
    ] {
      try Data().write(to: folder.file(name))
      try FileManager.default.setAttributes(
        [.modificationDate: Date(timeIntervalSinceNow: -age)], ofItemAtPath: folder.file(name).path)
    }
    let other = open(folder.file(".a.1.3.partial").path, O_RDWR)
    defer { close(other) }
    #expect(flock(other, LOCK_EX) == 0)
    try write("a", folder.file("a"))
    #expect(folder.names == [".a.1.3.partial", ".a.1.4.partial", ".b.1.2.partial", "a"])
  }

  @Test func aNameMayBeAsLongAsTheSystemTakes() throws {
    let folder = try Folder()
    let name = String(repeating: "\u{E9}", count: 126) + "abc"
    try write("long", folder.file(name))
    #expect(folder.names == [name])
  }
}

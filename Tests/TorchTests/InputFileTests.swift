import Foundation
import Testing

@testable import Torch

@Suite struct InputFileTests {
  private func sentence(_ body: () throws -> Void) -> String {
    do {
      try body()
      return "none"
    } catch { return "\(error)" }
  }

  @Test func pipesAreRead() throws {
    try withTemporaryFile(suffix: "") { url in
      #expect(mkfifo(url.path, 0o600) == 0)
      #expect(
        sentence { _ = try InputFile.read(url, atMost: 10) }.hasSuffix("is a pipe that nobody writes to"))
      #expect(sentence { _ = try InputFile.handle(url) }.contains("is no regular file"))
      #expect(sentence { _ = try WeightFile.read(url) }.contains("is no regular file"))
      let text = Data(repeating: 65, count: 300_000)
      let thread = Thread {
        let descriptor = open(url.path, O_WRONLY)
        usleep(50_000)
        _ = text.withUnsafeBytes { Descriptor.write($0, to: descriptor) }
        close(descriptor)
      }
      // Keeps the pipe open for the writer until the reader is there.
      let keeper = open(url.path, O_RDONLY | O_NONBLOCK)
      thread.start()
      usleep(20_000)
      let read = try InputFile.read(url, atMost: 1 << 20)
      #expect(read == text)
      close(keeper)
    }
  }

  @Test func moreThanIsExpectedIsRefused() throws {
    let zero = URL(fileURLWithPath: "/dev/zero")
    #expect(
      sentence { _ = try InputFile.read(zero, atMost: 1 << 20) }.contains("has more than 1048576 bytes"))
    #expect(
      sentence { _ = try InputFile.read(URL(fileURLWithPath: "/"), atMost: 1) }.hasSuffix(
        "is a folder: give a file"))
    try withTemporaryFile(Data("12345".utf8), suffix: "") { url in
      let count = try InputFile.read(url, atMost: 5).count
      #expect(count == 5)
      #expect(sentence { _ = try InputFile.read(url, atMost: 4) }.contains("has more than 4 bytes"))
    }
  }

  private func complaint(about json: Data) -> String? {
    do {
      _ = try json.withUnsafeBytes { try JSONScanner.parse($0) }
      return nil
    } catch { return (error as? JSONScanner.Failure)?.reason }
  }

  @Test(arguments: [
    ("{\n  \"a\": 1,\n  \"b\" 2\n}", #"":" is missing (line 3, byte 7 of it)"#),
    ("{\"a\": NaN}", "NaN is no number in JSON (line 1, byte 7"),
    (#"{"a": "\ud83d"}"#, "half of a character (a lone surrogate) (line 1"),
    (#"["\udc00"]"#, "lone surrogate"),
    ("[1, 2,]", "a value is missing (line 1, byte 7 of it)"),
    ("{\n oops}", "a name in double quotes is missing (line 2, byte 2 of it)"),
    ("\u{FF}\u{FE}", "is no value"),
    ("", "it ends too early (line 1, byte 1"), ("[1] 2", "text after its end"),
    ("[01]", "is no value"), ("[-Infinity]", "no number in JSON"), ("[0x1F]", "is no value"),
    ("[1.]", "is no value"), ("[1.e5]", "is no value"), ("[1e999]", "is no value"), ("[1e]", "is no value"),
  ])
  func whatIsNoJSONIsSaidWithItsLine(text: String, complaint: String) {
    let found = self.complaint(about: Data(text.utf8))
    #expect(found?.contains(complaint) == true, "\(found ?? "none")")
  }

  @Test func soundJSONHasNoComplaint() {
    for text in [#"{"a": [1, -2.5e3, true, null, "\ud83d\ude00"]}"#, "\u{FEFF}{}", " [0, 0.5, 1E5, -0]\n"] {
      #expect(complaint(about: Data(text.utf8)) == nil, "\(text)")
    }
    #expect(complaint(about: Data([0xFF, 0xFE, 0x7B, 0])) == "it is UTF-16: save it as UTF-8")
  }

  @Test func textsFromFilesAreShownInOneLineWithoutControls() {
    #expect("a\u{1B}[2J\u{9B}b\n\t\u{7F}".printable == "a\u{FFFD}[2J\u{FFFD}b\u{FFFD}\u{FFFD}\u{FFFD}")
    #expect("a\tb\n\r".printable(keeping: ["\t", "\n"]) == "a\tb\n\u{FFFD}")
    #expect("é 👩‍🍳 ok".printable == "é 👩‍🍳 ok")
    #expect(FileError("one\ntwo \u{1B}").localizedDescription == "one two \u{FFFD}")
    let long = FileError(String(repeating: "x", count: 5_000_000) + ": do this").localizedDescription
    #expect(long.count < 620 && long.hasSuffix(": do this"))
    #expect(FileError(String(repeating: "y", count: 1000)).localizedDescription.count < 620)
    #expect(#"{"a":"\#u{9B}\#u{7F}"}"#.jsonWithoutControls == #"{"a":"\u009b\u007f"}"#)
  }
}

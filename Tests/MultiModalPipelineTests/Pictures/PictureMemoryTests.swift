#if os(Linux)
  import Foundation
  import Testing

  @testable import MultiModalPipeline

  @Suite("Memory", .serialized)
  struct PictureMemoryTests {
    private func residentMegabytes() throws -> Double {
      let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
      let pages = try #require(text.split(separator: " ").dropFirst().first.flatMap { Double($0) })
      return pages * Double(sysconf(Int32(_SC_PAGESIZE))) / 1_048_576
    }

    private func openFiles() throws -> Int {
      try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
    }

    @Test func readingPicturesKeepsNothing() throws {
      let processor = try ImageProcessor(configuration: .raw(height: 16, width: 16))
      let names = [
        "orientation-6.jpg", "rgba16.png", "cmyk.jpg", "two-frames.gif", "rgb.webp", "rgb.tif", "gray.png",
      ]
      let broken = try Fixture.bytes("orientation-1.jpg").prefix(900)
      func read(_ count: Int) throws {
        for index in 0..<count {
          _ = try processor(Fixture.url(names[index % names.count]))
          _ = try? processor(bytes: broken)
          _ = try Fixture.picture(names[index % names.count]).jpeg(quality: 80)
        }
      }
      try read(100)
      let (memory, files) = (try residentMegabytes(), try openFiles())
      try read(500)
      // Three decodes each, of 4 KB or more: keeping them would take 6 MB at the least.
      #expect(try residentMegabytes() - memory < 5)
      // Other tests run beside this one and open files, too.
      #expect(try openFiles() - files < 20)
    }
  }
#endif

#if os(Linux)
  import Foundation
  import Testing
  import Torch

  @testable import MultiModalPipeline

  @Suite("Memory", .serialized)
  struct PictureMemoryTests {
    private var residentMegabytes: Double { Double(ProcessMemory.residentBytes) / 1_048_576 }

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
      let files = try openFiles()
      // Other tests run beside this one and take memory, too; what leaks grows in every round, what they take does not.
      let growth = try (0..<7).map { _ in
        let before = residentMegabytes
        try read(100)
        return residentMegabytes - before
      }
      // 300 pictures of at least 4 KB each were decoded: keeping them would take 1.2 MB.
      #expect(growth.sorted()[3] < 0.6, "\(growth)")
      #expect(try openFiles() - files < 20)
    }
  }
#endif

import Dispatch
import Foundation
import MultiModalPipeline
import Synchronization
import Testing

@Suite struct ConcurrentPicturesTests {
  /// Training decodes and resizes in several threads. A library below that is not made for it once corrupted the heap here.
  @Test func picturesMadeInSeveralThreadsAreThoseOfOne() throws {
    let pixels = (0..<64 * 48 * 3).map { UInt8(truncatingIfNeeded: $0 * 37 % 251) }
    let bytes = try Picture(height: 48, width: 64, channels: 3, pixels: pixels).png()
    var configuration = ImageProcessor.Configuration()
    configuration.size = .init(height: 20, width: 28)
    let processor = try ImageProcessor(configuration: configuration)
    @Sendable func make() throws -> [Float] {
      try processor(Picture(bytes: bytes, longestSide: 40)).values
    }
    let expected = try make()
    let different = Mutex(0)
    DispatchQueue.concurrentPerform(iterations: 4) { _ in
      for _ in 0..<1000 where (try? make()) != expected { different.withLock { $0 += 1 } }
    }
    #expect(different.withLock { $0 } == 0)
  }
}

import Foundation
import Synchronization
import Testing

@testable import MultiModalTraining

@Suite struct PrefetcherTests {
  private struct Failure: Error {}

  /// The indices of elements begun and made.
  private final class Record: Sendable {
    let begun = Mutex<[Int]>([])
    let ended = Mutex<[Int]>([])
  }

  @Test func everyElementIsMadeOnceInOrderAndNoneBeyondTheLast() async throws {
    let record = Record()
    var prefetcher = Prefetcher(3..<6) { index in
      record.begun.withLock { $0.append(index) }
      return index * 10
    }
    var elements: [Int] = []
    while let element = try await prefetcher.next() { elements.append(element) }
    #expect(elements == [30, 40, 50])
    #expect(record.begun.withLock { $0 } == [3, 4, 5])
    #expect(try await prefetcher.next() == nil)
  }

  @Test func nothingIsBeingMadeAfterFinish() async throws {
    let record = Record()
    var prefetcher = Prefetcher(0..<100) { index in
      record.begun.withLock { $0.append(index) }
      Thread.sleep(forTimeInterval: 0.02)
      record.ended.withLock { $0.append(index) }
    }
    _ = try await prefetcher.next()
    await prefetcher.finish()
    let begun = record.begun.withLock { $0 }
    #expect(begun == record.ended.withLock { $0 })
    #expect(begun.count <= 2)
    #expect(try await prefetcher.next() == nil)
  }

  @Test func anErrorReachesTheReader() async throws {
    var prefetcher = Prefetcher(0..<2) { index in
      if index == 1 { throw Failure() }
      return index
    }
    #expect(try await prefetcher.next() == 0)
    await #expect(throws: Failure.self) { try await prefetcher.next() }
  }
}

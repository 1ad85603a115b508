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
    var prefetcher = Prefetcher(3..<6, plan: { 10 * $0 }) { index, plan in
      record.begun.withLock { $0.append(index) }
      return plan
    }
    var elements: [Int] = []
    while let element = try await prefetcher.next() { elements.append(element) }
    #expect(elements == [30, 40, 50])
    #expect(record.begun.withLock { $0 }.sorted() == [3, 4, 5])
    #expect(try await prefetcher.next() == nil)
  }

  @Test func nothingIsBeingMadeAfterFinish() async throws {
    let record = Record()
    var prefetcher = Prefetcher(0..<100, ahead: 3, plan: { $0 }) { index, _ in
      record.begun.withLock { $0.append(index) }
      Thread.sleep(forTimeInterval: 0.02)
      record.ended.withLock { $0.append(index) }
    }
    _ = try await prefetcher.next()
    await prefetcher.finish()
    let begun = record.begun.withLock { $0 }
    #expect(begun.sorted() == record.ended.withLock { $0 }.sorted())
    #expect(begun.count <= 4)
    #expect(try await prefetcher.next() == nil)
  }

  @Test func elementsAreMadeAheadOfTheirUse() async throws {
    let record = Record()
    var prefetcher = Prefetcher(0..<10, ahead: 3, plan: { $0 }) { index, _ in
      record.ended.withLock { $0.append(index) }
      return index
    }
    #expect(try await prefetcher.next() == 0)
    while record.ended.withLock({ $0.count }) < 4 { await Task.yield() }
    #expect(record.ended.withLock { $0 }.sorted() == [0, 1, 2, 3])
    await prefetcher.finish()
  }

  @Test func anErrorReachesTheReader() async throws {
    var prefetcher = Prefetcher(0..<2, plan: { $0 }) { index, _ in
      if index == 1 { throw Failure() }
      return index
    }
    #expect(try await prefetcher.next() == 0)
    await #expect(throws: Failure.self) { try await prefetcher.next() }
  }

  @Test func plansAreMadeOneAfterTheOtherInOrder() async throws {
    let record = Record()
    var prefetcher = Prefetcher(0..<20, ahead: 8) { index in
      record.begun.withLock { $0.append(index) }
      try await Task.sleep(for: .milliseconds(1))
      record.ended.withLock { $0.append(index) }
      return -index
    } make: { index, plan in
      [index, plan]
    }
    var elements: [[Int]] = []
    while let element = try await prefetcher.next() { elements.append(element) }
    #expect(elements == (0..<20).map { [$0, -$0] })
    #expect(record.begun.withLock { $0 } == Array(0..<20))
    #expect(record.ended.withLock { $0 } == Array(0..<20))
  }

  @Test func anErrorOfAPlanReachesTheReader() async throws {
    var prefetcher = Prefetcher(0..<3, ahead: 3) { index in
      if index == 1 { throw Failure() }
      return index
    } make: { index, _ in
      index
    }
    #expect(try await prefetcher.next() == 0)
    await #expect(throws: Failure.self) { try await prefetcher.next() }
    await prefetcher.finish()
  }

  @Test func nothingIsPlannedAfterAPlanThatFails() async throws {
    let record = Record()
    var prefetcher = Prefetcher(0..<100, ahead: 4) { index in
      record.begun.withLock { $0.append(index) }
      if index == 1 { throw Failure() }
      return index
    } make: { index, _ in
      index
    }
    await #expect(throws: Failure.self) { try await prefetcher.forEach { _ in } }
    #expect(record.begun.withLock { $0 } == [0, 1])
  }

  @Test func nothingIsBeingMadeOnceItsReaderFails() async throws {
    let record = Record()
    var prefetcher = Prefetcher(0..<100, ahead: 3, plan: { $0 }) { index, _ in
      record.begun.withLock { $0.append(index) }
      Thread.sleep(forTimeInterval: 0.02)
      record.ended.withLock { $0.append(index) }
      return index
    }
    await #expect(throws: Failure.self) {
      try await prefetcher.forEach { if $0 == 1 { throw Failure() } }
    }
    let begun = record.begun.withLock { $0 }
    #expect(begun.sorted() == record.ended.withLock { $0 }.sorted() && begun.count <= 5)
  }
}

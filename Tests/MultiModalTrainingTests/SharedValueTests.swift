import Foundation
import Synchronization
import Testing
import Torch

@testable import MultiModalTraining

/// What one process makes for all, here as threads of one.
@Suite struct SharedValueTests {
  private func outcomes(_ make: @escaping @Sendable () throws -> String) -> [String] {
    let port = Int.random(in: 20_000..<60_000)
    let found = Mutex(["", ""])
    DispatchQueue.concurrentPerform(iterations: 2) { rank in
      let outcome: String
      do {
        let group = try ProcessGroup(
          ProcessGroupConfiguration(rank: rank, size: 2, localRank: rank, address: "127.0.0.1", port: port),
          timeout: .seconds(2))
        outcome = try group.shared(slow: make)
      } catch { outcome = "\(error)" }
      found.withLock { $0[rank] = outcome }
    }
    return found.withLock { $0 }
  }

  @Test func whatTakesLongerThanTheTimeOutIsWaitedFor() {
    #expect(
      outcomes {
        Thread.sleep(forTimeInterval: 5)
        return "made"
      } == ["made", "made"])
  }

  @Test func whatCannotBeMadeIsAnErrorEverywhere() {
    let found = outcomes { throw TrainingError("no memory") }
    #expect(found[0] == "no memory")
    #expect(found[1].contains("waited"))
  }
  /// Processes that were told to stop give up others that are silent for 5 seconds.
  @Test func aStopWhileItIsMadeEndsNobody() async {
    let port = Int.random(in: 20_000..<60_000)
    let both = (0..<2).map { rank in
      Task(executorPreference: ComputeThread()) {
        let group = try ProcessGroup(
          ProcessGroupConfiguration(rank: rank, size: 2, localRank: rank, address: "127.0.0.1", port: port),
          timeout: .seconds(60))
        return try group.shared(slow: {
          Thread.sleep(forTimeInterval: 7)
          return "made"
        })
      }
    }
    try? await Task.sleep(for: .seconds(1))
    for one in both { one.cancel() }
    for one in both { #expect(await "\(one.result)" == #"success("made")"#) }
  }
}

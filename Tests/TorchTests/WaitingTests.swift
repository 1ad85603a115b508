import Foundation
import Synchronization
import Testing

@testable import Torch

#if os(Linux)
  @Suite struct WaitingTests {
    private static let isBusy = Atomic(false)

    private func compute(until condition: () -> Bool) throws -> Bool {
      let x = try Tensor.ones([16, 16])
      let end = ContinuousClock.now + .seconds(20)
      while !condition() && ContinuousClock.now < end { for _ in 0..<100 { _ = try x + 1 } }
      return condition()
    }

    /// Spinning would take the CPUs from the threads that are waited for.
    @Test func threadsThatWaitStopSpinningWhileTheCPUsAreWantedOtherwise() throws {
      Self.isBusy.store(true, ordering: .relaxed)
      for _ in 0..<2 * ProcessInfo.processInfo.activeProcessorCount {
        Thread.detachNewThread { while Self.isBusy.load(ordering: .relaxed) {} }
      }
      #expect(try compute { !LibTorch.waitingThreadsSpin })
      Self.isBusy.store(false, ordering: .relaxed)
      #expect(try compute { LibTorch.waitingThreadsSpin })
    }
  }
#endif

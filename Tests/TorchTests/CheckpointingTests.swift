import Foundation
import Testing

@testable import Torch

/// Dropout draws from the process-wide random state, so these tests take turns.
@Suite(.serialized) struct CheckpointingTests {
  private struct Failure: Error, Equatable { let number: Int }

  private func randn(_ shape: [Int], _ seed: UInt64) throws -> Tensor {
    try .randn(shape, generator: Generator(seed: seed))
  }

  /// The loss, and the gradients of two inputs and of a parameter that the body uses.
  private func gradients(
    checkpointed: Bool, autocast: DType? = nil, _ body: @escaping (Tensor, Tensor, Tensor) throws -> Tensor
  ) throws -> [[Float]] {
    try manualSeed(3)
    let a = try randn([4, 8], 1).requiresGrad_()
    let b = try randn([4, 8], 2).requiresGrad_()
    let weight = try randn([8, 8], 4).requiresGrad_()
    let loss = try withAutocast(autocast, on: .cpu) {
      let input = try a * 2
      let y =
        try checkpointed
        ? checkpoint([input, b]) { try body($0[0], $0[1], weight) } : body(input, b, weight)
      return try (y * y).to(dtype: .float32).sum()
    }
    // The gradients are computed outside of autocasting, as in training.
    try loss.backward()
    let all = [loss, try a.grad, try b.grad, try weight.grad]
    return try all.map { try #require($0).array(of: Float.self) } + [[try Tensor.rand([1]).item()]]
  }

  @Test func outputAndGradientsAreThoseOfThePlainCall() throws {
    func body(_ a: Tensor, _ b: Tensor, _ w: Tensor) throws -> Tensor {
      try (a.linear(w) * b).gelu().linear(w)
    }
    let plain = try gradients(checkpointed: false, body)
    #expect(try gradients(checkpointed: true, body) == plain)
  }

  @Test func dropoutDrawsTheSameBothTimesAndLeavesTheDrawsThatFollow() throws {
    func body(_ a: Tensor, _ b: Tensor, _ w: Tensor) throws -> Tensor {
      try (a.linear(w).dropout(0.5) + b).dropout(0.3)
    }
    let plain = try gradients(checkpointed: false, body)
    #expect(try gradients(checkpointed: true, body) == plain)
    #expect(plain[2].contains(0))
  }

  @Test func autocastingHoldsInTheBackwardPassToo() throws {
    func body(_ a: Tensor, _ b: Tensor, _ w: Tensor) throws -> Tensor {
      let y = try a.linear(w)
      guard try y.dtype == .bfloat16 else { throw Failure(number: 1) }
      return try y * b
    }
    let plain = try gradients(checkpointed: false, autocast: .bfloat16, body)
    #expect(try gradients(checkpointed: true, autocast: .bfloat16, body) == plain)
    let wide = try gradients(checkpointed: true) { a, b, w in try a.linear(w) * b }
    #expect(wide[0] != plain[0] && abs(wide[0][0] / plain[0][0] - 1) < 0.02)
  }

  @Test func checkpointsMayBeNested() throws {
    func inner(_ a: Tensor, _ b: Tensor, _ w: Tensor) throws -> Tensor { try a.linear(w).dropout(0.5) * b }
    let plain = try gradients(checkpointed: false) { a, b, w in try inner(inner(a, b, w), b, w) }
    let nested = try gradients(checkpointed: true) { a, b, w in
      try inner(checkpoint([a, b]) { try inner($0[0], $0[1], w) }, b, w)
    }
    #expect(nested == plain)
  }

  @Test func whatTheBodyThrowsIsThrown() throws {
    let x = try Tensor.ones([2, 2]).requiresGrad_()
    let error = #expect(throws: Failure.self) { try checkpoint([x]) { _ in throw Failure(number: 7) } }
    #expect(error == Failure(number: 7))
    let inner = #expect(throws: Failure.self) {
      try checkpoint([x]) {
        try checkpoint($0.map { try $0.requiresGrad_() }) { _ in throw Failure(number: 8) }
      }
    }
    #expect(inner == Failure(number: 8))
    let torch = #expect(throws: TorchError.self) { try checkpoint([x]) { try $0[0].matmul(.ones([3, 3])) } }
    #expect(torch?.operatorName == "aten::matmul")
    #expect(throws: TorchError.self) { try checkpoint([]) { _ in x } }
  }

  @Test func whatFailsInTheBackwardPassIsAnErrorAndLeavesAutocastingAsItWas() throws {
    let x = try Tensor.ones([2, 2]).requiresGrad_()
    var calls = 0
    let y = try withAutocast(.bfloat16, on: .cpu) {
      try checkpoint([x]) { inputs in
        calls += 1
        if calls == 2 { throw Failure(number: 9) }
        return try inputs[0] * 2
      }
    }
    #expect(throws: TorchError.self) { try y.sum().backward() }
    let product = try x.detach().matmul(x.detach()).dtype
    #expect(product == .float32)
    // What follows in this thread shall not suffer.
    try withAutocast(nil, on: .cpu) {}
  }

  @Test func withoutGradientsTheBodyRunsOnce() throws {
    let x = try Tensor.ones([2, 2])
    let w = try Tensor.ones([2, 2]).requiresGrad_()
    var calls = 0
    let y = try checkpoint([x]) {
      calls += 1
      return try $0[0].linear(w)
    }
    try y.sum().backward()
    #expect(calls == 1)
    #expect(try w.grad?.array(of: Float.self) == [2, 2, 2, 2])
    calls = 0
    try w.setGrad(nil)
    let z = try checkpoint([try Tensor.ones([2, 2]).requiresGrad_(), x]) {
      calls += 1
      return try ($0[0] + $0[1]).linear(w)
    }
    try z.sum().backward()
    #expect(calls == 2)
    #expect(try w.grad?.array(of: Float.self) == [4, 4, 4, 4])
    #expect(try x.grad == nil)
  }

  @Test func noTensorIsLeft() async {
    await #expect(processExitsWith: .success) {
      let w = try Tensor.randn([8, 8]).requiresGrad_()
      func step(backward: Bool, fails: Bool = false) throws {
        let x = try Tensor.randn([4, 8]).requiresGrad_()
        let y = try checkpoint([x * 2]) {
          if fails { _ = try $0[0].matmul(.ones([3, 3])) }
          return try $0[0].linear(w).dropout(0.1).gelu()
        }
        if backward { try y.sum().backward() }
      }
      try step(backward: true)
      let before = Tensor.liveCount
      for _ in 0..<20 {
        try step(backward: true)
        try step(backward: false)
        try? step(backward: false, fails: true)
      }
      precondition(Tensor.liveCount == before, "\(Tensor.liveCount - before) tensors are left")
    }
  }
}

@Suite struct AutocastTests {
  private struct Failure: Error {}

  private func productDType() throws -> DType {
    let x = try Tensor.ones([2, 2])
    return try x.matmul(x).dtype
  }

  @Test func productsComputeInTheDtypeGivenAndTheStateIsPutBack() throws {
    #expect(try productDType() == .float32)
    try withAutocast(.bfloat16, on: .cpu) {
      #expect(try productDType() == .bfloat16)
      let x = try Tensor.ones([2, 2])
      #expect(try x.linear(x).dtype == .bfloat16)
      #expect(try x.softmax().dtype == .float32)
      #expect(try withAutocast(nil, on: .cpu) { try productDType() } == .float32)
      #expect(try withAutocast(.float16, on: .cpu) { try productDType() } == .float16)
      #expect(try productDType() == .bfloat16)
      #expect(throws: Failure.self) { try withAutocast(nil, on: .cpu) { throw Failure() } }
      #expect(try productDType() == .bfloat16)
    }
    #expect(try productDType() == .float32)
    #expect(throws: Failure.self) { try withAutocast(.bfloat16, on: .cpu) { throw Failure() } }
    #expect(try productDType() == .float32)
  }

  @Test func weightsAndTheirGradientsStayFloat32() throws {
    let w = try Tensor.ones([3, 2]).requiresGrad_()
    try withAutocast(.bfloat16, on: .cpu) { try Tensor.ones([4, 2]).linear(w).sum() }.to(dtype: .float32)
      .backward()
    #expect(try w.dtype == .float32)
    #expect(try w.grad?.dtype == .float32)
    #expect(try w.grad?.array(of: Float.self) == Array(repeating: 4, count: 6))
  }
}

@Suite struct ComputeThreadTests {
  /// Which thread this is, as text.
  private static var thread: String { "\(pthread_self())" }

  private final class Counter: @unchecked Sendable {
    // Not protected: nothing but taking turns keeps it right.
    var value = 0
    var isBusy = false
    var overlaps = 0
  }

  private actor Worker {
    nonisolated var unownedExecutor: UnownedSerialExecutor { ComputeThread.shared.asUnownedSerialExecutor() }
    private var total = 0

    func add(_ number: Int) throws -> Int {
      total += try Int(Tensor.ones([number]).sum().item(Float.self))
      return total
    }

    func threads() async -> [String] {
      let before = ComputeThreadTests.thread
      await Task.yield()
      return [before, ComputeThreadTests.thread]
    }
  }

  @Test func tasksRunOneAtATimeOnOneThread() async throws {
    let counter = Counter()
    let threads = await withTaskGroup(of: [String].self) { group in
      for _ in 0..<50 {
        group.addTask(executorPreference: ComputeThread.shared) {
          var seen: [String] = []
          for _ in 0..<20 {
            if counter.isBusy { counter.overlaps += 1 }
            counter.isBusy = true
            counter.value += 1
            seen.append(Self.thread)
            counter.isBusy = false
            await Task.yield()
          }
          return seen
        }
      }
      return await group.reduce(into: Set<String>()) { $0.formUnion($1) }
    }
    #expect(threads.count == 1)
    #expect(counter.value == 1000 && counter.overlaps == 0)
    #expect(await Worker().threads().allSatisfy(threads.contains))
    #expect(!threads.contains(Self.thread))
  }

  @Test func anActorOfItsOwnComputesThere() async throws {
    let worker = Worker()
    #expect(try await worker.add(3) == 3)
    let totals = try await withThrowingTaskGroup(of: Int.self) { group in
      for _ in 0..<20 { group.addTask { try await worker.add(2) } }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(totals.sorted() == stride(from: 5, through: 43, by: 2).map { $0 })
  }

  @Test func errorsAndCancellationPassThrough() async throws {
    struct Failure: Error {}
    let failing = Task(executorPreference: ComputeThread.shared) { throw Failure() }
    await #expect(throws: Failure.self) { try await failing.value }
    let waiting = Task(executorPreference: ComputeThread.shared) { try await Task.sleep(for: .seconds(100)) }
    waiting.cancel()
    await #expect(throws: CancellationError.self) { try await waiting.value }
  }

  @Test func twoThreadsAreTwo() async throws {
    let other = ComputeThread()
    let first = await Task(executorPreference: ComputeThread.shared) { Self.thread }.value
    let second = await Task(executorPreference: other) { Self.thread }.value
    #expect(first != second)
  }
}

import Testing
import Torch

/// What belongs to a whole process is measured in a process of its own.
@Suite struct MemoryTests {
  @Test func everyTensorIsReleased() async {
    await #expect(processExitsWith: .success) {
      let before = Tensor.liveCount
      for _ in 0..<50 {
        let w = try Tensor.randn([8, 8]).requiresGrad_()
        let loss = try Tensor.ones([4, 8]).linear(w).gelu().split([4, 4], dim: 1)[1].sum()
        try loss.backward()
        _ = try w.grad
        _ = try? w.matmul(Tensor.ones([3]))
      }
      precondition(Tensor.liveCount == before, "\(Tensor.liveCount - before) tensors are left")
    }
  }

  @Test func memoryOfLargeTensorsIsUsedAgainWhereItIsKept() async {
    await #expect(processExitsWith: .success) {
      func place(_ bytes: Int) throws -> UnsafeRawPointer? {
        try Tensor.ones([bytes], dtype: .uint8).withUnsafeBytes { $0.baseAddress }
      }
      let fromBefore = try Tensor.ones([1 << 20])
      let before = ProcessMemory.residentBytes
      var memory: KeptTensorMemory? = KeptTensorMemory()
      let (first, second) = (try place(1 << 20), try place((1 << 20) - 5000))
      precondition(first == second)
      // Of many sizes no more stays than twice what the largest takes.
      for megabytes in 1...64 { _ = try place(megabytes << 20) }
      let kept = ProcessMemory.residentBytes - before
      precondition(kept > 60 << 20 && kept < 140 << 20, "\(kept) bytes are kept")
      memory = nil
      let left = ProcessMemory.residentBytes - before
      precondition(left < 8 << 20, "\(left) bytes are left")
      let sum = try fromBefore.sum().item(Float.self)
      precondition(memory == nil && sum == 1_048_576)
    }
  }

  @Test func memoryStaysFlatOverAMillionTensors() async {
    await #expect(processExitsWith: .success) {
      let ones = try Tensor.ones([16])
      func run(_ count: Int) throws { for _ in 0..<count { _ = try ones + ones } }
      try run(50_000)
      let before = ProcessMemory.residentBytes
      try run(950_000)
      let growth = ProcessMemory.residentBytes - before
      precondition(growth < 8 << 20, "memory grew by \(growth) bytes")
    }
  }
}

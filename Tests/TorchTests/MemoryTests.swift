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

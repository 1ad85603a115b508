import Foundation
import Testing
import Torch

@Suite struct TensorTests {
  /// LibTorch's own answer is a list of its backends, 60 lines long.
  @Test func aDeviceThatIsNotThereIsOneSentence() throws {
    guard Device.count(of: .cuda) == 0 else { return }
    let error = #expect(throws: TorchError.self) { try Tensor.zeros([2], device: .cuda) }
    let sentence = error?.description ?? ""
    #expect(!sentence.contains("\n") && sentence.count < 300, "\(sentence)")
  }

  private func roundTrip<Element: TensorElement & Equatable>(_ values: [Element]) throws {
    let tensor = try Tensor(values)
    #expect(try tensor.dtype == Element.dtype)
    #expect(tensor.shape == [values.count])
    #expect(try tensor.array(of: Element.self) == values)
  }

  @Test func everyElementTypeRoundTrips() throws {
    try roundTrip([1.5, -2, .infinity] as [Float])
    try roundTrip([1e300, -2] as [Double])
    try roundTrip([Int64.min, .max])
    try roundTrip([-1, 7] as [Int])
    try roundTrip([Int32.min, .max])
    try roundTrip([Int16.min, .max])
    try roundTrip([Int8.min, .max])
    try roundTrip([0, 255] as [UInt8])
    try roundTrip([true, false])
    try roundTrip([] as [Float])
    for dtype in [DType.bfloat16, .float16] {
      #expect(
        try Tensor([1, -0.5, 256] as [Float]).to(dtype: dtype).array(of: Float.self) == [1, -0.5, 256])
    }
  }

  @Test func aShapeMustHoldTheElements() throws {
    let error = #expect(throws: TorchError.self) { try Tensor([1, 2, 3] as [Float], shape: [2, 2]) }
    #expect(error?.description == "shape [2, 2] does not hold 3 elements: their product must be that number")
    #expect(throws: TorchError.self) { try Tensor([1, 2] as [Float], shape: [-1, -2]) }
  }

  @Test func anImpossibleShapeIsRefused() {
    #expect(throws: TorchError.self) { try Tensor([Float](), shape: [1 << 40, 1 << 40]) }
    #expect(throws: TorchError.self) { try Tensor([Float](), shape: [1 << 32, 1 << 32]) }
    #expect(throws: TorchError.self) { try Tensor([1, 2], shape: [-1, -2]) }
    #expect(throws: Never.self) { try Tensor([Float](), shape: [0, 4]) }
    #expect(throws: TorchError.self) { try Tensor.zeros([1], device: Device(.cuda, index: 1 << 40)) }
  }

  @Test func itemNeedsExactlyOneElement() throws {
    #expect(try Tensor(Float(3)).item(Float.self) == 3)
    let error = #expect(throws: TorchError.self) { try Tensor([1, 2] as [Float]).item(Float.self) }
    #expect(error?.description == "a tensor of shape [2] has 2 elements, but item() needs exactly one")
  }

  @Test func memoryIsSharedWithoutACopyAndReleasedWithTheLastTensor() throws {
    final class Owner: @unchecked Sendable {
      let memory = UnsafeMutablePointer<Float>.allocate(capacity: 6)
      let released: () -> Void
      init(_ released: @escaping () -> Void) { self.released = released }
      deinit {
        memory.deallocate()
        released()
      }
    }
    nonisolated(unsafe) var isReleased = false
    do {
      let owner = Owner { isReleased = true }
      for index in 0..<6 { owner.memory[index] = Float(index) }
      let tensor = try Tensor(memory: owner.memory, shape: [2, 3], dtype: .float32, owner: owner)
      let view = try tensor.select(0, 1)
      owner.memory[4] = 40
      #expect(try view.array(of: Float.self) == [3, 40, 5])
      let transposed = try Tensor(
        memory: owner.memory, shape: [3, 2], strides: [1, 3], dtype: .float32, owner: owner)
      #expect(try transposed.array(of: Float.self) == [0, 3, 1, 40, 2, 5])
      #expect(!isReleased)
    }
    #expect(isReleased)
  }

  @Test func operatorsComputeWhatPyTorchSays() throws {
    let a = try Tensor([1, 2, 3, 4] as [Float], shape: [2, 2])
    let b = try Tensor([4, 3, 2, 1] as [Float], shape: [2, 2])
    func check(_ tensor: Tensor, _ expected: [Float]) throws {
      let values = try tensor.array(of: Float.self)
      #expect(
        values.count == expected.count && zip(values, expected).allSatisfy { abs($0 - $1) < 1e-5 },
        "\(values)")
    }
    try check(a + b, [5, 5, 5, 5])
    try check(a - b, [-3, -1, 1, 3])
    try check(a * b, [4, 6, 6, 4])
    try check(a / b, [0.25, 2.0 / 3, 1.5, 4])
    try check(2.0 - a, [1, 0, -1, -2])
    try check(a.matmul(b), [8, 5, 20, 13])
    try check(a.transpose(0, 1), [1, 3, 2, 4])
    try check(a.sum([0]), [4, 6])
    try check(a.mean(), [2.5])
    try check(a.amax([1]), [2, 4])
    try check(a.cumsum(1), [1, 3, 3, 7])
    try check(a.norm(), [5.4772256])
    try check(a.tril(), [1, 0, 3, 4])
    try check(a.softmax(), [0.2689414, 0.7310586, 0.2689414, 0.7310586])
    try check(a.gelu(), [0.8413447, 1.9544997, 2.9959502, 3.9998734])
    try check(Tensor.cat([a, b], dim: 1), [1, 2, 4, 3, 3, 4, 2, 1])
    try check(a.split([1, 1], dim: 1)[1], [2, 4])
    try check(a.slice(1, from: -1), [2, 4])
    try check(a.repeatInterleave(2, dim: 0), [1, 2, 1, 2, 3, 4, 3, 4])
    try check(a.maskedFill(b > 2, 0), [0, 0, 3, 4])
    try check(Tensor.where(a >= b, a, b), [4, 3, 3, 4])
    try check(a.clamp(min: 2, max: 3), [2, 2, 3, 3])
    try check(a.pow(2), [1, 4, 9, 16])
    #expect(try a.argmax(1).array(of: Int.self) == [1, 1])
    #expect(try a.topK(1).indices.array(of: Int.self) == [1, 1])
    #expect(try a.sort(1, descending: true).values.array(of: Float.self) == [2, 1, 4, 3])
    #expect(try Tensor.arange(2, 8, step: 2).array(of: Int.self) == [2, 4, 6])
    #expect(try Tensor.arange(3).array(of: Int.self) == [0, 1, 2])
    #expect(try Tensor.arange(2, dtype: .float32).dtype == .float32)
    #expect(try Tensor([1, 0]).embedding(a).array(of: Float.self) == [3, 4, 1, 2])
    #expect(try a[Tensor([true, false])].array(of: Float.self) == [1, 2])
    #expect(try a.gather(1, Tensor([1, 0], shape: [2, 1])).array(of: Float.self) == [2, 3])
    #expect(try Tensor([7, 8, 9]).floorDivide(2).array(of: Int.self) == [3, 4, 4])
  }

  @Test func fusedAttentionIsItsDefinition() throws {
    let generator = try Generator(seed: 1)
    let q = try Tensor.randn([2, 3, 4, 8], generator: generator)
    let k = try Tensor.randn([2, 3, 5, 8], generator: generator)
    let v = try Tensor.randn([2, 3, 5, 8], generator: generator)
    let fused = try Tensor.scaledDotProductAttention(query: q, key: k, value: v, scale: 0.3)
    let plain = try (q.matmul(k.transpose(2, 3)) * 0.3).softmax().matmul(v)
    #expect(try (fused - plain).abs().amax().item(Float.self) < 1e-5)
  }

  @Test func anythingLibTorchRefusesIsThrown() throws {
    let a = try Tensor.zeros([2, 3])
    #expect(throws: TorchError.self) { try a.reshape([4]) }
    #expect(throws: TorchError.self) { try a.select(0, 9) }
    #expect(throws: TorchError.self) { try Tensor([5]).embedding(a) }
    #expect(throws: TorchError.self) { try Tensor.cat([]) }
    #expect(throws: TorchError.self) { try Tensor(uninitialized: [1 << 40, 1 << 20]) }
    #expect(throws: TorchError.self) { try Tensor(uninitialized: [-3]) }
    #expect(throws: TorchError.self) { try Operator("aten::add", overload: "Tensor")(.tensor(a)) }
    let n = try Tensor([1, 2, 3])
    let picture = try Tensor.zeros([1, 2, 4, 4])
    let refused: [() throws -> Any] = [
      { try a + Tensor.zeros([4]) }, { try n % 0 }, { try n.floorDivide(0) }, { try a & a },
      { try n.quantile(0.5) },
      { try a.chunk(-1) }, { try a.chunk(0) }, { try a.split(0) }, { try a.split(-1) }, { try a.repeat([2]) },
      { try Tensor.eye(1 << 40) }, { try Tensor.eye(-1) }, { try Tensor.arange(0, .max) },
      { try Tensor.randint(3, 3, [2]) },
      { try Tensor.linspace(0, 1, -1) }, { try Tensor.randperm(-1) }, { try a.oneHot() }, { try n.oneHot(2) },
      { try picture.conv2d(.zeros([3, 5, 1, 1])) }, { try picture.conv2d(.zeros([3, 2, 1, 1]), stride: 0) },
      { try picture.maxPool2d(0) }, { try picture.avgPool2d(9) }, { try picture.groupNorm(0) },
      { try a.pad([1]) },
      { try a.outer(a) }, { try Tensor.einsum("ij,jk->", a) }, { try a.gather(0, a) }, { try a.max(Int.max) },
      { try a[Int.min] }, { try a[.all, .all, .all] }, { try a[.ellipsis, .slice(step: -1)] },
      { try a[Tensor([0.5])] },
    ]
    for (index, call) in refused.enumerated() {
      #expect(throws: TorchError.self, "number \(index)") { _ = try call() }
    }
    #expect(try a.chunk(1 << 40).count == 2)
    #expect(throws: TorchError.self) { try Operator("aten::neg")(.tensor(a), .int(1)) }
    #expect(throws: TorchError.self) { try Operator("aten::size", overload: "int")(.tensor(a), .int(0)) }
  }

  /// Operators on one dimension.
  private static let onDimensions: [(name: String, apply: @Sendable (Tensor, Int) throws -> [Tensor])] = [
    ("unbind", { try $0.unbind($1) }), ("select", { [try $0.select($1, 0)] }),
    ("narrow", { [try $0.narrow($1, start: 1, length: 1)] }), ("slice", { [try $0.slice($1, from: 1)] }),
    ("indexSelect", { [try $0.indexSelect($1, Tensor([1, 0]))] }),
    ("gather", { [try $0.gather($1, Tensor.zeros([1, 1, 1], dtype: .int64))] }),
    ("scatter", { [try $0.scatter($1, Tensor.zeros([1, 1, 1], dtype: .int64), Tensor.zeros([1, 1, 1]))] }),
    ("squeeze", { [try $0.squeeze($1)] }), ("flip", { [try $0.flip([$1])] }),
    ("transpose", { [try $0.transpose($1, 0)] }), ("cat", { [try Tensor.cat([$0, $0], dim: $1)] }),
    ("repeatInterleave", { [try $0.repeatInterleave(2, dim: $1)] }), ("sum", { [try $0.sum([$1])] }),
    ("mean", { [try $0.mean([$1])] }), ("amax", { [try $0.amax([$1])] }), ("amin", { [try $0.amin([$1])] }),
    ("max", { [try $0.max($1).values] }), ("argmax", { [try $0.argmax($1)] }), ("any", { [try $0.any($1)] }),
    ("cumsum", { [try $0.cumsum($1)] }), ("logSumExp", { [try $0.logSumExp([$1])] }),
    ("topK", { [try $0.topK(1, dim: $1).values] }), ("sort", { [try $0.sort($1).values] }),
    ("norm", { [try $0.norm([$1])] }), ("softmax", { [try $0.softmax($1)] }),
    ("logSoftmax", { [try $0.logSoftmax($1)] }),
    ("mean of one", { [try $0.mean($1)] }), ("std", { [try $0.std([$1])] }), ("var", { [try $0.var([$1])] }),
    ("prod", { [try $0.prod($1)] }), ("min", { [try $0.min($1).values] }),
    ("argmin", { [try $0.argmin($1)] }),
    ("all", { [try $0.all($1)] }), ("cumprod", { [try $0.cumprod($1)] }),
    ("argsort", { [try $0.argsort($1)] }),
    ("quantile", { [try $0.quantile(0.5, $1)] }), ("roll", { [try $0.roll(1, $1)] }),
    ("chunk", { try $0.chunk(2, dim: $1) }), ("split evenly", { try $0.split(2, dim: $1) }),
    ("normalize", { [try $0.normalize($1)] }),
    ("cosineSimilarity", { [try $0.cosineSimilarity($0 + 1, dim: $1)] }),
    ("split", { try $0.split([1, $0.shape[($1 % 3 + 3) % 3] - 1], dim: $1) }),
  ]

  @Test func dimensionsCountFromTheEndWhereNegativeAndOthersAreThrown() throws {
    let x = try Tensor.randn([2, 3, 4], generator: Generator(seed: 2))
    for (name, apply) in Self.onDimensions {
      for dim in 0..<3 {
        let (front, back) = (try apply(x, dim), try apply(x, dim - 3))
        #expect(try front.map { try $0.array(of: Float.self) } == back.map { try $0.array() }, "\(name)")
      }
      for dim in [3, -4, 5, 1 << 40] {
        #expect(throws: TorchError.self, "\(name)(\(dim))") { try apply(x, dim) }
      }
    }
    #expect(try x.unbind(-1).map(\.shape) == Array(repeating: [2, 3], count: 4))
    #expect(try x.unbind(1)[2].array(of: Float.self) == x.select(1, 2).array())
    #expect(try Tensor.zeros([0, 2]).unbind(0).isEmpty)
    for dim in [Int.min, .max] { #expect(throws: TorchError.self) { try x.unbind(dim) } }
    for dim in [0, -1, 1] { #expect(throws: TorchError.self) { try Tensor(Float(1)).unbind(dim) } }
    #expect(try x.unsqueeze(-1).shape == [2, 3, 4, 1])
    #expect(throws: TorchError.self) { try x.unsqueeze(4) }
    #expect(throws: TorchError.self) { try Tensor.stack([x, x], dim: 4) }
    #expect(throws: TorchError.self) { try x.permute([0, 1, 3]) }
  }

  @Test func aDeviceThatIsNotKnownHasItsOwnNameAndIsNotTheCPU() throws {
    let meta = Device(Device.Kind(rawValue: 14))
    let tensor = try Tensor(uninitialized: [2, 3], device: meta)
    #expect(tensor.device.kind == meta.kind && tensor.device != .cpu)
    #expect("\(tensor.device)" == "meta:0")
    #expect("\(tensor)" == "Tensor(float32 [2, 3] on meta:0)")
    // What is not in the CPU's memory is not read there.
    #expect(throws: TorchError.self) { try tensor.array(of: Float.self) }
    #expect(throws: TorchError.self) { try tensor.to(device: .cpu) }
    #expect("\([Device.cpu, .mps, .cuda, Device(.cuda, index: 3)])" == "[cpu, mps, cuda:0, cuda:3]")
    #expect("\(Device.Kind(rawValue: 99))" == "device kind 99")
    #expect(throws: TorchError.self) { try Tensor.zeros([1], device: Device(Device.Kind(rawValue: 99))) }
    #expect(throws: TorchError.self) { try Device("meta") }
  }

  @Test func textsDevicesAndGeneratorsReachOperators() throws {
    let boundaries = try Operator("aten::searchsorted", overload: "Tensor")(
      .tensor(Tensor([1, 3, 5] as [Float])), .tensor(Tensor([3] as [Float])), .bool(false), .bool(false),
      .string("right"))
    #expect(try boundaries.array(of: Int.self) == [2])
    #expect(throws: TorchError.self) { try Device("gpu") }
    #expect(throws: TorchError.self) { try Device("cpu:1") }
    #expect(throws: TorchError.self) { try Device("cuda:99") }
    #expect(try Device("cpu") == .cpu)
  }

  @Test func aSeedGivesTheSameNumbersAndAStateGoesOnFromWhereItWas() throws {
    let a = try Generator(seed: 5)
    let b = try Generator(seed: 5)
    #expect(
      try Tensor.randn([40], generator: a).array(of: Float.self) == Tensor.randn([40], generator: b).array())
    let state = try a.state()
    let next = try Tensor.rand([9], generator: a).array(of: Float.self)
    try b.setState(state)
    #expect(try Tensor.rand([9], generator: b).array(of: Float.self) == next)
    #expect(try Tensor.rand([9], generator: Generator(seed: 6)).array(of: Float.self) != next)
    #expect(throws: TorchError.self) { try a.setState(Tensor([1, 2] as [UInt8])) }
  }

  @Test func aComputeThreadTakesOnTheThreadsThatAreSetElsewhere() async throws {
    let thread = ComputeThread()
    func there() async -> Int {
      await Task(executorPreference: thread) {
        // It has begun to compute.
        _ = try? Tensor.ones([8]).sum()
        return LibTorch.threads
      }.value
    }
    let before = LibTorch.threads
    #expect(await there() == before)
    for count in [before + 2, 1, before] {
      try LibTorch.setThreads(count)
      #expect(await there() == count)
    }
  }

  @Test func whatDrawsFromASeedLeavesTheDefaultGeneratorAsItWas() throws {
    func draw() throws -> [Float] { try Tensor.ones([32]).dropout(0.5).array() }
    try manualSeed(11)
    let (first, second) = (try draw(), try draw())
    try manualSeed(12)
    let seeded = try draw()
    try manualSeed(11)
    #expect(try draw() == first)
    #expect(
      try withSeed(12) {
        try withSeed(13) { _ = try draw() }; return try draw()
      } == seeded)
    #expect(throws: CancellationError.self) {
      try withSeed(14) {
        _ = try draw()
        throw CancellationError()
      }
    }
    #expect(try draw() == second)
  }

  @Test func errorsAreTheirSentenceWhereverTheyAreShown() {
    let errors: [any Error] = [
      TorchError("a sentence"), TorchError("a sentence", operatorName: "aten::mm", arguments: ["[2]"]),
      FileError("another sentence"),
    ]
    for error in errors { #expect(error.localizedDescription == "\(error)") }
  }

  @Test func threadsAreBounded() throws {
    #expect(throws: TorchError.self) { try LibTorch.setThreads(0) }
    #expect(LibTorch.threads >= 1)
    #expect(LibTorch.version.hasPrefix("2.15."))
  }

  @Test func manyTasksUseTensorsAtOnce() async throws {
    let shared = try Tensor.ones([64, 64])
    let sums = try await withThrowingTaskGroup(of: Float.self) { group in
      for factor in 1...16 {
        group.addTask { try (shared * factor).matmul(shared).sum().item(Float.self) }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    let expected: [Float] = (1...16).map { Float($0) * 262_144 }
    #expect(sums.sorted() == expected)
  }
}

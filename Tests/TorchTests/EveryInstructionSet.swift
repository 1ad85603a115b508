import Testing

@testable import Torch

/// Runs a test once with each instruction set that this CPU has and our kernels are compiled for.
struct EveryInstructionSet: TestTrait, SuiteTrait, TestScoping {
  var isRecursive: Bool { true }

  static let names = [
    "SSE2", "AVX2", "AVX2 with int8 dot products", "AVX-512", "AVX-512 with bfloat16 and int8 dot products",
  ]

  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    let best = LibTorch.instructionSet
    defer { _ = LibTorch.use(instructionSet: best) }
    for name in Self.names where name != best && LibTorch.use(instructionSet: name) {
      try await function()
    }
    _ = LibTorch.use(instructionSet: best)
    try await function()
  }
}

extension Trait where Self == EveryInstructionSet {
  static var everyInstructionSet: Self { Self() }
}

@Suite struct InstructionSetTests {
  @Test func theBestIsAmongThem() {
    #if arch(x86_64)
      #expect(EveryInstructionSet.names.contains(LibTorch.instructionSet))
    #endif
  }

  @Test func oneThatTheMachineLacksIsNotUsed() {
    let best = LibTorch.instructionSet
    #expect(!LibTorch.use(instructionSet: "Altivec"))
    #expect(LibTorch.instructionSet == best)
  }

  /// A kernel that ran with another set than it was told to would pass every other test.
  @Test(.everyInstructionSet) func eachComputesByItself() throws {
    let work = try MachineWork.multiplyAdds(.int8, saturates: false, repetitions: 10)
    let perThread = work / LibTorch.threads / 10
    let expected = [
      "SSE2": 2 * 16 * 2, "AVX2": 6 * 16 * 2, "AVX2 with int8 dot products": 6 * 16 * 4,
      "AVX-512": 8 * 32 * 2,
      "AVX-512 with bfloat16 and int8 dot products": 8 * 32 * 4,
    ]
    #if arch(x86_64)
      #expect(perThread == expected[LibTorch.instructionSet])
    #endif
  }
}

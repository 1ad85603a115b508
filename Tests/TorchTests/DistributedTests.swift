import Foundation
import Testing
import Torch

/// Real processes on this machine, which take turns with nothing but each other.
@Suite(.serialized) struct DistributedTests {
  private struct Collectives: Decodable {
    let rank, size, localRank: Int
    let sum, maximum, minimum, started, half: [Float]
    let broadcast: [Int]
    let flags: [Bool]
    let gathered: [[Int]]
    let text, empty: String
    let texts, errors: [String]
  }

  @Test(arguments: [2, 4]) func everyOperationGivesEveryProcessTheSame(size: Int) throws {
    let processes = try DistributedRun(size: size, "collectives").finish()
    let total = Float(size * (size + 1) / 2)
    for (rank, process) in processes.enumerated() {
      let found = try process.decoded(Collectives.self)
      #expect(found.rank == rank && found.size == size && found.localRank == rank)
      let sums = [total, Float(size) - total]
      #expect(found.sum == sums && found.half == sums)
      #expect(found.started == (0..<5).flatMap { _ in sums })
      #expect(found.maximum == [Float(size), 0] && found.minimum == [1, Float(1 - size)])
      #expect(found.broadcast == [size - 1, 7] && found.flags == [true, true])
      #expect(found.gathered == (0..<size).map { [$0, 5] })
      #expect(found.text == "from rank 1" && found.empty.isEmpty)
      #expect(found.texts == (0..<size).map { String(repeating: "x", count: $0) })
      #expect(found.errors.count == (rank == 0 ? 2 : 1))
      #expect(found.errors[0].hasPrefix("there is no rank \(size) to broadcast from"))
    }
  }

  private struct Gradients: Decodable {
    let buckets, gradientCount: Int
    let differences: [Float]
    let early, again, bytes: [Int]
    let hooksAreGone: Bool
  }

  /// A frozen weight, a layer that is not used, one in a checkpoint, and micro-batches in the last step.
  @Test(arguments: [2, 4]) func summedGradientsAreThoseOfOneProcess(size: Int) throws {
    for process in try DistributedRun(size: size, "gradients").finish() {
      let found = try process.decoded(Gradients.self)
      #expect(found.buckets == 3)
      #expect(found.differences.count == 4 && found.differences.allSatisfy { $0 < 1e-6 })
      // The first step learns that a layer gets no gradient; then all but the last bucket overlap.
      #expect(found.early == [0, 2, 2, 2] && found.again == [0, 0, 0, 0])
      // 5 weights and 6 biases, and a flag for each bucket and parameter.
      #expect(found.bytes == Array(repeating: 4 * (5 * 24 * 24 + 6 * 24 + 3 + 11), count: 4))
      // None for the layer that is not used.
      #expect(found.gradientCount == 9)
      #expect(found.hooksAreGone)
    }
  }

  private struct Repeated: Decodable {
    let differences: [Float]
    let early, again: [Int]
  }

  @Test func gradientsThatComeInPartsAreSummedWhole() throws {
    for process in try DistributedRun(size: 2, "repeated").finish() {
      let found = try process.decoded(Repeated.self)
      #expect(found.differences.count == 4 && found.differences.allSatisfy { $0 < 1e-6 })
      #expect(found.again == [1, 0, 1, 0])
      #expect(found.early.allSatisfy { $0 > 0 })
    }
  }

  @Test(arguments: ["killed", "hanging"]) func aLostProcessIsAnErrorInTheOthers(how: String) throws {
    let run = try DistributedRun(size: 3, how, timeout: 2)
    let start = ContinuousClock.now
    let others = try run.finish(ranks: 0..<2)
    #expect(ContinuousClock.now - start < .seconds(8))
    for (rank, process) in others.enumerated() {
      #expect(process.code == 1)
      let pattern =
        "rank \(rank) waited \\d.* for the other processes in the gradients' all_reduce: one of them ended"
      #expect(process.errors.range(of: pattern, options: .regularExpression) != nil, "\(process.errors)")
      #expect(process.errors.split(separator: "\n").count == 1, "\(process.errors)")
    }
  }

  @Test func whoDoesNotComeIsNamed() throws {
    let run = try DistributedRun(size: 3, "collectives", timeout: 2, starting: [0])
    let start = ContinuousClock.now
    let process = try #require(try run.finish().first)
    #expect(ContinuousClock.now - start < .seconds(8))
    #expect(process.code == 1)
    #expect(process.errors.contains("rank 0 waited up to 2.0 s for 3 processes to meet at 127.0.0.1:"))
    #expect(process.errors.contains("did not come, by their ranks: 1, 2"))
    #expect(process.errors.split(separator: "\n").count == 1, "\(process.errors)")
  }

  /// Nobody listens at the port, or someone who says nothing.
  @Test(arguments: [false, true]) func aWrongPortIsAnError(isTaken: Bool) throws {
    let listener = try FreePort()
    if isTaken { listener.listen() }
    let run = try DistributedRun(
      size: 2, "collectives", timeout: 2, starting: [1], port: isTaken ? listener.number : nil)
    let start = ContinuousClock.now
    let process = try #require(try run.finish().first)
    #expect(ContinuousClock.now - start < .seconds(8))
    #expect(process.code == 1)
    #expect(process.errors.contains("rank 1 waited up to 2.0 s for 2 processes to meet"))
    #expect(process.errors.split(separator: "\n").count == 1, "\(process.errors)")
  }

  @Test func aPortThatIsTakenIsNamed() throws {
    let listener = try FreePort()
    listener.listen()
    let run = try DistributedRun(size: 2, "collectives", timeout: 2, starting: [0], port: listener.number)
    let process = try #require(try run.finish().first)
    #expect(process.code == 1)
    #expect(process.errors.hasPrefix("port \(listener.number) of this machine is taken by another program"))
  }

  #if os(Linux)
    @Test func whereAllMeetOnThisMachineNoOtherCanConnect() throws {
      let port = try FreePort().number
      let run = try DistributedRun(size: 2, "collectives", timeout: 2, starting: [0], port: port)
      let place = String(format: ":%04X", port)
      var listening: [Substring] = []
      let end = Date(timeIntervalSinceNow: 20)
      while listening.isEmpty, Date() < end {
        listening = try ["tcp", "tcp6"].flatMap { name in
          try String(contentsOfFile: "/proc/net/\(name)", encoding: .utf8).split(separator: "\n").compactMap {
            let fields = $0.split(separator: " ")
            // 0A is listening.
            return fields[1].hasSuffix(place) && fields[3] == "0A" ? fields[1] : nil
          }
        }
        usleep(10_000)
      }
      #expect(listening == ["0100007F\(place)"])
      _ = try run.finish()
    }
  #endif

  private func groupOfOne() throws -> ProcessGroup {
    let configuration = try ProcessGroupConfiguration(
      rank: 0, size: 1, localRank: 0, address: "127.0.0.1", port: FreePort().number)
    return try ProcessGroup(configuration, timeout: .seconds(5))
  }

  @Test func aReducerNeedsParametersThatAreTrained() throws {
    let group = try groupOfOne()
    let store = ParameterStore(contents: .random(try Generator(seed: 1)))
    _ = try Linear(store.root, inputs: 2, outputs: 2)
    #expect(throws: TorchError.self) { try GradientReducer(parameters: store.parameters, group: group) }
    for parameter in store.parameters { try parameter.value.requiresGrad_() }
    for size in [0, -1, .nan, .infinity] {
      #expect(throws: TorchError.self) {
        try GradientReducer(parameters: store.parameters, group: group, bucketMegabytes: size)
      }
    }
    let reducer = try GradientReducer(parameters: store.parameters, group: group)
    #expect(reducer.bucketCount == 1 && reducer.bytesPerStep == 0)
    // Without any backward pass there is no gradient.
    try reducer.finish()
    #expect(try store.parameters.allSatisfy { try $0.value.grad == nil })
  }

  @Test func narrowGradientsAndThoseOfSeveralTypesAreSummed() throws {
    let group = try groupOfOne()
    let (wide, narrow) = (
      ParameterStore(contents: .random(try Generator(seed: 1))),
      ParameterStore(contents: .random(try Generator(seed: 1)), dtype: .bfloat16)
    )
    let layers = try [wide, narrow].map { try Linear($0.root, inputs: 4, outputs: 4) }
    let parameters = wide.parameters + narrow.parameters
    for parameter in parameters { try parameter.value.requiresGrad_() }
    let reducer = try GradientReducer(parameters: parameters, group: group)
    #expect(reducer.bucketCount == 2)
    for _ in 0..<2 {
      for layer in layers { try layer(.ones([3, 4])).to(dtype: .float32).sum().backward() }
      try reducer.finish()
    }
    for parameter in parameters {
      #expect(try parameter.value.grad?.dtype == parameter.value.dtype)
      // Three rows of ones, twice.
      #expect(try parameter.value.grad?.array(of: Float.self).allSatisfy { $0 == 6 } == true)
    }
  }

  @Test func noTensorIsLeft() async {
    await #expect(processExitsWith: .success) {
      let configuration = try ProcessGroupConfiguration(
        rank: 0, size: 1, localRank: 0, address: "127.0.0.1", port: FreePort().number)
      let group = try ProcessGroup(configuration, timeout: .seconds(5))
      let store = ParameterStore(contents: .random(try Generator(seed: 1)))
      let layer = try Linear(store.root, inputs: 4, outputs: 4)
      for parameter in store.parameters { try parameter.value.requiresGrad_() }
      let before = Tensor.liveCount
      for _ in 0..<20 {
        let reducer = try GradientReducer(parameters: store.parameters, group: group)
        try layer(.ones([3, 4])).sum().backward()
        try reducer.finish()
        _ = try group.allGather(.ones([3]))
        _ = try group.broadcast(bytes: Data([1]), from: 0)
        _ = try group.allReduceStarted_(.ones([3]))
      }
      precondition(Tensor.liveCount == before, "\(Tensor.liveCount - before) tensors are left")
    }
  }

  @Test func whatNoGroupCanBeIsRefused() throws {
    let configuration = try ProcessGroupConfiguration(
      rank: 0, size: 2, localRank: 0, address: "127.0.0.1", port: 29500)
    for timeout in [Duration.zero, .seconds(-1), .seconds(Int64.max)] {
      #expect(throws: TorchError.self) { try ProcessGroup(configuration, timeout: timeout) }
    }
    let error = #expect(throws: TorchError.self) { try ProcessGroup(configuration, device: .mps) }
    #expect(error?.message == "several processes train together on cpu or cuda only, not on mps")
  }
}

import Foundation
import Torch

/// One process of several: does what its first argument says and prints one line of JSON.
///
/// The launcher's variables say which process it is. `CHECK_TIMEOUT` is the time-out in seconds.
@main struct DistributedCheck {
  static func main() {
    do {
      let environment = ProcessInfo.processInfo.environment
      guard let configuration = try ProcessGroupConfiguration(environment: environment) else {
        throw TorchError("this is a single process: start it with torchrun, mpirun or srun")
      }
      let group = try ProcessGroup(
        configuration, timeout: .seconds(Double(environment["CHECK_TIMEOUT"] ?? "") ?? 20))
      let arguments = CommandLine.arguments.dropFirst()
      switch arguments.first ?? "collectives" {
      case "collectives": try report(Collectives(group))
      case "gradients": try report(Gradients(group))
      case "repeated": try report(Repeated(group))
      case "killed": try losing(group) { kill(getpid(), SIGKILL) }
      case "hanging": try losing(group) { Thread.sleep(forTimeInterval: 60) }
      case "speed": try report(Speed(group))
      case let other: throw TorchError("there is no check \(other)")
      }
    } catch {
      FileHandle.standardError.write(Data("\(error)\n".utf8))
      exit(1)
    }
  }

  static func report(_ value: some Encodable) throws {
    print(String(decoding: try JSONEncoder().encode(value), as: UTF8.self))
  }

  /// The last rank is lost in its second step; what the others' next operations throw comes out of `main`.
  static func losing(_ group: ProcessGroup, _ lose: () -> Void) throws {
    let network = try Network()
    let reducer = try GradientReducer(
      parameters: network.store.parameters, group: group, bucketMegabytes: 0.0001)
    for step in 0..<3 {
      if step == 1, group.rank == group.size - 1 { lose() }
      try network.loss(rows: 0..<2).backward()
      try reducer.finish()
    }
  }
}

/// What each operation gives.
struct Collectives: Encodable {
  let rank, size, localRank: Int
  let sum, maximum, minimum, started: [Float]
  let broadcast: [Int]
  let flags: [Bool]
  let gathered: [[Int]]
  let half: [Float]
  let text, empty: String
  let texts: [String]
  let errors: [String]

  init(_ group: ProcessGroup) throws {
    rank = group.rank
    size = group.size
    localRank = group.localRank
    func own() throws -> Tensor { try Tensor([Float(group.rank + 1), Float(-group.rank)]) }
    func reduced(_ reduction: ProcessGroup.Reduction) throws -> [Float] {
      let tensor = try own()
      try group.allReduce_(tensor, reduction)
      return try tensor.array()
    }
    sum = try reduced(.sum)
    maximum = try reduced(.max)
    minimum = try reduced(.min)
    let tensors = try (0..<5).map { _ in try own() }
    let works = try tensors.map { try group.allReduceStarted_($0) }
    for work in works.reversed() { try work.wait() }
    started = try tensors.flatMap { try $0.array(of: Float.self) }
    let numbers = try Tensor([group.rank, 7])
    try group.broadcast_(numbers, from: group.size - 1)
    broadcast = try numbers.array()
    let booleans = try Tensor([group.rank == 0, true])
    try group.broadcast_(booleans, from: 0)
    flags = try booleans.array()
    gathered = try group.allGather(Tensor([group.rank, 5])).map { try $0.array() }
    let narrow = try own().to(dtype: .bfloat16)
    try group.allReduce_(narrow)
    half = try narrow.array()
    let bytes = group.rank == 1 ? Data("from rank 1".utf8) : nil
    text = String(decoding: try group.broadcast(bytes: bytes, from: 1), as: UTF8.self)
    empty = String(decoding: try group.broadcast(bytes: Data(), from: 0), as: UTF8.self)
    texts = try group.allGather(bytes: Data(String(repeating: "x", count: group.rank).utf8)).map {
      String(decoding: $0, as: UTF8.self)
    }
    var messages: [String] = []
    func failing(_ body: () throws -> Void) {
      do { try body() } catch { messages.append("\(error)") }
    }
    failing { try group.broadcast_(numbers, from: group.size) }
    if group.rank == 0 { failing { _ = try group.broadcast(bytes: nil, from: 0) } }
    errors = messages
    try group.barrier()
  }
}

/// Six layers of 24 inputs and outputs; one is computed in checkpoints, one is frozen.
final class Network {
  let store: ParameterStore
  private let layers: [Linear]

  init() throws {
    let store = ParameterStore(contents: .random(try Generator(seed: 5)))
    self.store = store
    layers = try (0..<6).map { try Linear(store.root / "layers" / $0, inputs: 24, outputs: 24) }
    for parameter in store.parameters { try parameter.value.requiresGrad_() }
    try layers[3].weight.value.requiresGrad_(false)
  }

  /// The sum over rows of the same data in every process.
  /// - Parameters:
  ///   - repeats: how many checkpoints use the layer that is computed in them
  ///   - depth: how many layers are used
  func loss(rows: Range<Int>, repeats: Int = 1, depth: Int = 6) throws -> Tensor {
    let data = try Tensor.randn([8, 24], generator: Generator(seed: 9))
    var x = try data.narrow(0, start: rows.lowerBound, length: rows.count)
    x = try layers[0](x).gelu()
    for _ in 0..<repeats { x = try checkpoint([x]) { [layers] in try layers[1]($0[0]).gelu() } }
    for layer in layers[2..<depth] { x = try layer(x).gelu() }
    return try (x * x).sum()
  }

  func gradients() throws -> [String: [Float]] {
    var result: [String: [Float]] = [:]
    for parameter in store.parameters { result[parameter.name] = try parameter.value.grad?.array() }
    return result
  }

  func clear() throws {
    for parameter in store.parameters { try parameter.value.setGrad(nil) }
  }

  /// The largest difference of two sets of gradients over the largest gradient; nil gradients count as zeros.
  static func difference(_ a: [String: [Float]], _ b: [String: [Float]]) -> Float {
    var worst: Float = 0
    var largest: Float = 1e-12
    for name in Set(a.keys).union(b.keys) {
      let (x, y) = (a[name] ?? b[name]!.map { _ in 0 }, b[name] ?? a[name]!.map { _ in 0 })
      for (p, q) in zip(x, y) {
        worst = max(worst, abs(p - q))
        largest = max(largest, abs(q))
      }
    }
    return worst / largest
  }
}

/// Gradients summed over processes against those of one process on all rows.
struct Gradients: Encodable {
  var buckets = 0
  var differences: [Float] = []
  var early: [Int] = []
  var again: [Int] = []
  var bytes: [Int] = []
  var gradientCount = 0
  var hooksAreGone = false

  init(_ group: ProcessGroup) throws {
    let network = try Network()
    // The last layer is not used.
    try network.loss(rows: 0..<8, depth: 5).backward()
    let reference = try network.gradients()
    try network.clear()
    let share = 8 / group.size
    let rows = group.rank * share..<(group.rank + 1) * share
    do {
      let reducer = try GradientReducer(
        parameters: network.store.parameters, group: group, bucketMegabytes: 0.003)
      buckets = reducer.bucketCount
      for step in 0..<4 {
        // The last step adds up micro-batches of one row.
        let parts = step < 3 ? [rows] : rows.map { $0..<$0 + 1 }
        for (index, part) in parts.enumerated() {
          reducer.isEnabled = index == parts.count - 1
          try network.loss(rows: part, depth: 5).backward()
        }
        try reducer.finish()
        differences.append(Network.difference(try network.gradients(), reference))
        early.append(reducer.bucketsSentEarly)
        again.append(reducer.bucketsSentAgain)
        bytes.append(reducer.bytesPerStep)
        gradientCount = try network.gradients().count
        try network.clear()
      }
    }
    let own = try Network()
    try own.loss(rows: rows).backward()
    try network.loss(rows: rows).backward()
    hooksAreGone = try Network.difference(network.gradients(), own.gradients()) == 0
    try group.barrier()
  }
}

/// A layer that several checkpoints use, so that its gradient comes in several parts; how many differs between the
/// processes and grows with the steps.
struct Repeated: Encodable {
  var differences: [Float] = []
  var again: [Int] = []
  var early: [Int] = []

  init(_ group: ProcessGroup) throws {
    let network = try Network()
    let reducer = try GradientReducer(
      parameters: network.store.parameters, group: group, bucketMegabytes: 0.0001)
    let share = 8 / group.size
    func backward(_ rank: Int, _ step: Int) throws {
      let repeats = step < 2 ? 1 + rank : 3
      try network.loss(rows: rank * share..<(rank + 1) * share, repeats: repeats).backward()
    }
    for step in 0..<4 {
      reducer.isEnabled = false
      for rank in 0..<group.size { try backward(rank, step) }
      let reference = try network.gradients()
      try network.clear()
      reducer.isEnabled = true
      try backward(group.rank, step)
      try reducer.finish()
      differences.append(Network.difference(try network.gradients(), reference))
      again.append(reducer.bucketsSentAgain)
      early.append(reducer.bucketsSentEarly)
      try network.clear()
    }
    try group.barrier()
  }
}

/// 100 MB summed, by this process's clock.
struct Speed: Encodable {
  let seconds, gigabytesPerSecond: Double

  init(_ group: ProcessGroup) throws {
    let tensor = try Tensor.ones([25_000_000])
    var best = Double.infinity
    for _ in 0..<8 {
      try group.barrier()
      let time = try ContinuousClock().measure { try group.allReduce_(tensor) }
      best = min(best, time / .seconds(1))
    }
    seconds = best
    gigabytesPerSecond = 0.1 / best
  }
}

import Foundation
import Synchronization
import Torch

/// This process's part in training one model with others, each on samples of its own: gradients are summed over all
/// processes, so that all take the same step.
final class DataParallel {
  let group: ProcessGroup
  private let reducer: GradientReducer
  private let learned: [Parameter]
  /// The rank that keeps a parameter's optimizer state, where each keeps a share of them (ZeRO, stage 1; Rajbhandari et al.,
  /// 2020); nil where every process keeps all.
  private let owners: [String: Int]?

  /// - Parameter learned: the parameters that have gradients, the same in every process
  init(_ group: ProcessGroup, learned: [Parameter], settings: TrainingConfiguration.Distribution) throws {
    self.group = group
    self.learned = learned
    reducer = try GradientReducer(
      parameters: learned, group: group, bucketMegabytes: settings.bucketMegabytes)
    owners = settings.shardOptimizer ? Self.shares(of: learned, among: group.size) : nil
  }

  /// The largest parameters first, each to the rank that has the least.
  static func shares(of parameters: [Parameter], among ranks: Int) -> [String: Int] {
    var loads = Array(repeating: 0, count: ranks)
    var owners: [String: Int] = [:]
    for parameter in parameters.sorted(by: { ($1.count, $0.name) < ($0.count, $1.name) }) {
      let rank = loads.indices.min { loads[$0] < loads[$1] } ?? 0
      owners[parameter.name] = rank
      loads[rank] += parameter.count
    }
    return owners
  }

  /// Whether each process keeps a part of the optimizer's state alone.
  var sharesState: Bool { owners != nil }

  /// Bytes of gradients that this process gives to be summed per step.
  var bytesPerStep: Int { reducer.bytesPerStep }

  /// The rank whose optimizer moves the parameter; nil where every process's does.
  func owner(of parameter: Parameter) -> Int? { owners?[parameter.name] }

  func ownsState(of parameter: Parameter) -> Bool { owner(of: parameter).map { $0 == group.rank } ?? true }

  /// Whether the next backward pass sends gradients while it goes on; it is the last of a step.
  var sendsGradients: Bool {
    get { reducer.isEnabled }
    set { reducer.isEnabled = newValue }
  }

  /// Waits until the gradients are the sums over all processes.
  func finishGradients() throws { try reducer.finish() }

  /// The sums over all processes.
  func sum(_ values: [Double]) throws -> [Double] {
    let tensor = try Tensor(values).to(device: group.device)
    try group.allReduce_(tensor)
    return try tensor.array(of: Double.self)
  }

  /// Puts the values that each parameter's owner computed in every process's place, a message per rank.
  func shareParameters() throws {
    guard owners != nil else { return }
    try withoutGradients {
      for rank in 0..<group.size {
        let owned = learned.filter { owner(of: $0) == rank }
        guard !owned.isEmpty else { continue }
        let flat = try Tensor.cat(owned.map { try $0.value.detach().reshape([-1]) })
        try group.broadcast_(flat, from: rank)
        guard rank != group.rank else { continue }
        var start = 0
        for parameter in owned {
          try parameter.value.copy_(
            flat.narrow(0, start: start, length: parameter.count).reshape(parameter.shape))
          start += parameter.count
        }
      }
    }
  }
}

extension ProcessGroup {
  /// Rank 0's value, in every process.
  func shared<Value: Codable>(_ value: @autoclosure () throws -> Value) throws -> Value {
    let own = rank == 0 ? try JSONEncoder().encode([value()]) : nil
    let values = try JSONDecoder().decode([Value].self, from: broadcast(bytes: own, from: 0))
    guard let first = values.first else { throw TrainingError("rank 0 sent nothing") }
    return first
  }

  /// Rank 0's value, in every process, however long it takes to make: the others hear that it is being made, so no time-out
  /// ends their waiting.
  func shared<Value: Codable & Sendable>(slow make: @escaping @Sendable () throws -> Value) throws -> Value {
    guard rank == 0 else {
      while try !shared(false) {}
      return try shared(make())
    }
    let outcome = Outcome<Value>()
    let isMade = DispatchSemaphore(value: 0)
    // On a thread of its own, because this one tells the others.
    DispatchQueue.global().async {
      outcome.set(Result(catching: make))
      isMade.signal()
    }
    // A process that was told to stop gives up one that is silent for longer.
    let pause = max(0.01, min(1, timeout / .seconds(4)))
    while isMade.wait(timeout: .now() + pause) == .timedOut { _ = try shared(false) }
    _ = try shared(true)
    guard let value = try outcome.get() else { throw TrainingError("rank 0 made nothing") }
    return try shared(value)
  }
}

/// What work on another thread came to.
final class Outcome<Value: Sendable>: Sendable {
  private let result = Mutex<Result<Value, any Error>?>(nil)

  func set(_ outcome: Result<Value, any Error>) { result.withLock { $0 = outcome } }

  /// - Returns: nil while there is nothing yet
  func get() throws -> Value? { try result.withLock { $0 }?.get() }
}

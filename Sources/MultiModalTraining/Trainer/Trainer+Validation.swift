import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

/// What a trainer validates with.
struct HeldOut {
  let loader: BatchLoader
  /// Samples.
  let count: Int
  /// Pictures for which texts are generated, with all texts that are right.
  let jobs: [Evaluation.Job]
}

extension Trainer {
  /// Compares the model, or its moving average, with the held-out samples.
  /// - Returns: whether it is better than ever before
  /// - Throws: `AgreedEnding` when the task of a process was cancelled, or too many pictures cannot be used.
  func validate(_ report: (Event) -> Void) async throws -> Bool {
    guard let heldOut else { return false }
    try average?.exchange()
    let outcome: Result<(loss: Double, results: [Evaluation.Result]), any Error>
    do {
      outcome = .success((try await loss(of: heldOut, report), try await results(of: heldOut.jobs)))
    } catch { outcome = .failure(error) }
    try average?.exchange()
    let (loss, results) = try outcome.get()

    let isBest = state.note(validationLoss: loss)
    guard isFirst else { return isBest }
    let evaluation = results.isEmpty ? nil : Evaluation(results: results)
    report(.validated(step: state.step, loss: loss, evaluation: evaluation, isBest: isBest))
    if let warning = evaluation?.warning { report(.warning("step \(state.step): \(warning)")) }
    return isBest
  }

  /// The mean cross-entropy per token, over all processes.
  private func loss(of heldOut: HeldOut, _ report: (Event) -> Void) async throws -> Double {
    var total = MeanLoss()
    var damaged: [String] = []
    var batches = heldOut.loader.prefetch(
      0..<heldOut.loader.batchesPerEpoch, workers: configuration.data.workers)
    try await batches.forEach { loaded in
      var own = MeanLoss()
      for part in loaded.parts { own += try MeanLoss(of: part, step.loss) }
      var sums = [own.sum, own.tokens, Double(loaded.damaged.count), Task.isCancelled ? 1 : 0]
      if let processes { sums = try processes.sum(sums) }
      total += MeanLoss(sum: sums[0], tokens: sums[1])
      if sums[2] > 0 { try leaveOut(gathered(loaded.damaged), &damaged, of: heldOut.count, report) }
      if sums[3] > 0 { throw AgreedEnding(reason: CancellationError()) }
    }
    return total.value
  }

  /// - Throws: `AgreedEnding` when too many pictures to validate with cannot be used.
  private func leaveOut(
    _ names: [String], _ damaged: inout [String], of count: Int, _ report: (Event) -> Void
  ) throws {
    damaged += names
    report(.damaged(step: state.step, pictures: names))
    if let excess = excess(damaged.count, of: count) {
      throw AgreedEnding(
        reason: TrainingError(
          "\(damaged.count) of \(count) samples to validate with have missing or damaged pictures, \(excess), such as "
            + "\(damaged[0]): mend them and go on from the last step"))
    }
  }

  /// What the model writes for each picture, greedily; each process does a part.
  /// - Throws: `AgreedEnding` when the task of a process was cancelled.
  private func results(of jobs: [Evaluation.Job]) async throws -> [Evaluation.Result] {
    let (rank, size) = (processes?.group.rank ?? 0, processes?.group.size ?? 1)
    let mine = jobs.indices.filter { $0 % size == rank }
    var own: [Int: Evaluation.Result] = [:]
    // Until all texts are there nothing changes the model, and then the captioner is gone.
    nonisolated(unsafe) let bundle = bundle
    let captioner = Captioner(bundle)
    // As many rounds in every process.
    for start in stride(from: 0, to: (jobs.count + size - 1) / size, by: Self.picturesAtOnce) {
      let part = mine.dropFirst(start).prefix(Self.picturesAtOnce)
      do {
        // A picture that cannot be read was reported with the loss, and has no text.
        let results = try await Evaluation.results(
          of: part.map { jobs[$0] }, by: captioner, Captioner.Request(), batchSize: Self.picturesAtOnce,
          damaged: { _ in })
        own.merge(zip(part, results)) { $1 }
      } catch is CancellationError {}  // All processes hear of it next.
      let cancelled = try processes?.sum([Task.isCancelled ? 1 : 0])[0] ?? (Task.isCancelled ? 1 : 0)
      if cancelled > 0 { throw AgreedEnding(reason: CancellationError()) }
    }
    if let group = processes?.group {
      for bytes in try group.allGather(bytes: JSONEncoder().encode(own)) {
        own.merge(try JSONDecoder().decode([Int: Evaluation.Result].self, from: bytes)) { $1 }
      }
    }
    return jobs.indices.compactMap { own[$0] }
  }

  private static let picturesAtOnce = 16
}

/// Ends a run at the same place in every process, which can save before.
struct AgreedEnding: Error {
  let reason: any Error
}

import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

extension Trainer {
  /// Compares the model, or its moving average, with the held-out samples.
  /// - Returns: whether it is better than ever before
  /// - Throws: `AgreedEnding` when the task of a process was cancelled, or too many pictures cannot be used.
  func validate(_ report: (Event) -> Void) async throws -> Bool {
    guard let heldOut else { return false }
    try average?.exchange()
    let outcome: Result<(loss: Double, generated: [String]), any Error>
    do {
      outcome = .success((try await loss(of: heldOut, report), try texts(of: heldOut.jobs)))
    } catch { outcome = .failure(error) }
    try average?.exchange()
    let (loss, generated) = try outcome.get()

    let isBest = loss < state.bestValidationLoss
    if isBest {
      state.bestValidationLoss = loss
      state.bestStep = state.step
      state.validationsWithoutImprovement = 0
    } else {
      state.validationsWithoutImprovement += 1
      let patience = settings.earlyStopPatience
      state.isStopped = patience > 0 && state.validationsWithoutImprovement >= patience
    }
    guard isFirst else { return isBest }
    let references = heldOut.jobs.map(\.texts)
    let metrics = references.isEmpty ? nil : TextMetrics(generated: generated, references: references)
    report(.validated(step: state.step, loss: loss, metrics: metrics, isBest: isBest))
    var warnings = record?.add(validationLoss: loss, metrics: metrics, step: state.step) ?? []
    Evaluation.warning(generated: generated, references: references).map {
      warnings.append("step \(state.step): \($0)")
    }
    do {
      try record?.writeReport(
        summary: summary, examples: Array(zip(heldOut.jobs, generated)),
        limits: bundle.processor.configuration.limits)
    } catch { warnings.append("\(error)") }
    for warning in warnings { report(.warning(warning)) }
    return isBest
  }

  /// The mean cross-entropy per token, over all processes.
  private func loss(of heldOut: HeldOut, _ report: (Event) -> Void) async throws -> Double {
    var (total, tokens) = (0.0, 0.0)
    var damaged: [String] = []
    var batches = heldOut.loader.prefetch(
      0..<heldOut.loader.batchesPerEpoch, workers: configuration.data.workers)
    do {
      while let loaded = try await batches.next() {
        var sums = [0, 0, Double(loaded.damaged.count), Task.isCancelled ? 1 : 0]
        if let batch = loaded.batch {
          let loss = try withoutGradients { Double(try step.loss(batch).item(Float.self)) }
          sums[0] = loss * Double(batch.targetCount)
          sums[1] = Double(batch.targetCount)
        }
        if let processes { sums = try processes.sum(sums) }
        total += sums[0]
        tokens += sums[1]
        if sums[2] > 0 { try leaveOut(gathered(loaded.damaged), &damaged, of: heldOut.count, report) }
        if sums[3] > 0 { throw AgreedEnding(reason: CancellationError()) }
      }
    } catch {
      await batches.finish()
      throw error
    }
    return total / tokens
  }

  /// - Throws: `AgreedEnding` when too many pictures to validate with cannot be used.
  private func leaveOut(
    _ names: [String], _ damaged: inout [String], of count: Int, _ report: (Event) -> Void
  ) throws {
    damaged += names
    if isFirst {
      report(.damaged(names))
      for warning in record?.add("damaged", names, step: state.step) ?? [] { report(.warning(warning)) }
    }
    let share = configuration.data.maxDamagedShare
    guard damaged.count < count, Double(damaged.count) <= share * Double(count) else {
      throw AgreedEnding(
        reason: TrainingError(
          "\(damaged.count) of \(count) samples to validate with have missing or damaged pictures, more than "
            + "data.max_damaged_share \(share) allows, such as \(damaged[0]): mend them and go on from the last step"
        ))
    }
  }

  /// What the model writes for each picture, greedily; each process does a part.
  /// - Throws: `AgreedEnding` when the task of a process was cancelled.
  private func texts(of jobs: [Evaluation.Job]) throws -> [String] {
    let (rank, size) = (processes?.group.rank ?? 0, processes?.group.size ?? 1)
    let mine = jobs.indices.filter { $0 % size == rank }
    var own: [Int: String] = [:]
    // As many rounds in every process.
    for start in stride(from: 0, to: (jobs.count + size - 1) / size, by: 16) {
      try generate(mine.dropFirst(start).prefix(16), of: jobs, into: &own)
      let cancelled = try processes?.sum([Task.isCancelled ? 1 : 0])[0] ?? (Task.isCancelled ? 1 : 0)
      if cancelled > 0 { throw AgreedEnding(reason: CancellationError()) }
    }
    if let group = processes?.group {
      for bytes in try group.allGather(bytes: JSONEncoder().encode(own)) {
        own.merge(try JSONDecoder().decode([Int: String].self, from: bytes)) { first, _ in first }
      }
    }
    // A picture that cannot be read was reported with the loss, and has no text.
    return jobs.indices.map { own[$0] ?? "" }
  }

  private func generate(
    _ part: some Sequence<Int>, of jobs: [Evaluation.Job], into texts: inout [Int: String]
  )
    throws
  {
    let pictures = part.compactMap { job in
      (try? jobs[job].picture.decoded(longestSide: nil, limits: bundle.processor.configuration.limits))
        .flatMap { try? bundle.processor($0) }.map { (job: job, image: $0) }
    }
    guard !pictures.isEmpty, !Task.isCancelled else { return }
    var options = GenerationOptions()
    options.stopTokens = bundle.generation.end
    do {
      let prompts = try pictures.map {
        try bundle.generation.prompt(jobs[$0.job].prompt, by: bundle.tokenizer)
      }
      let generated = try withoutGradients {
        try model.generate(
          img: Tensor.cat(pictures.map { try Tensor($0.image) }).to(device: device), prompts: prompts,
          options: options)
      }
      for (picture, found) in zip(pictures, generated) {
        texts[picture.job] = try bundle.tokenizer.decode(found[0].tokens)
      }
    } catch is CancellationError {}  // All processes hear of it next.
  }

  private var summary: [(String, String)] {
    let loss =
      state.bestStep.map { String(format: "%.4f, at step %d", state.bestValidationLoss, $0) } ?? "none"
    return [
      ("Step", "\(state.step) of \(schedule.steps)"), ("Best validation loss", loss),
      ("Training samples", "\(trainingExamples)"), ("Validation samples", "\(heldOut?.count ?? 0)"),
      ("Parameters", "\(model.parameters.count)"),
      ("Learned parameters", "\(learned.reduce(0) { $0 + $1.count })"),
      ("Processes", "\(processes?.group.size ?? 1)"),
      ("Time", Duration.seconds(state.seconds).formatted(.time(pattern: .hourMinuteSecond))),
    ]
  }
}

/// Ends a run at the same place in every process, which can save before.
struct AgreedEnding: Error {
  let reason: any Error
}

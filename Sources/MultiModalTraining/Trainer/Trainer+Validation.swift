import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

extension Trainer {
  /// Compares the model, or its moving average, with the held-out samples.
  /// - Returns: whether it is better than ever before
  func validate(_ report: (Event) -> Void) async throws -> Bool {
    guard let heldOut else { return false }
    try average?.exchange()
    let outcome: Result<(loss: Double, generated: [String]?), any Error>
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
    let metrics = generated.flatMap {
      heldOut.jobs.isEmpty ? nil : TextMetrics(generated: $0, references: heldOut.jobs.map(\.texts))
    }
    report(.validated(step: state.step, loss: loss, metrics: metrics, isBest: isBest))
    var warnings = record?.add(validationLoss: loss, metrics: metrics, step: state.step) ?? []
    if let generated {
      Evaluation.warning(generated: generated, references: heldOut.jobs.map(\.texts)).map {
        warnings.append("step \(state.step): \($0)")
      }
      do {
        try record?.writeReport(
          summary: summary, examples: Array(zip(heldOut.jobs, generated)),
          limits: bundle.processor.configuration.limits)
      } catch { warnings.append("\(error)") }
    }
    for warning in warnings { report(.warning(warning)) }
    return isBest
  }

  /// The mean cross-entropy per token, over all processes.
  private func loss(of heldOut: HeldOut, _ report: (Event) -> Void) async throws -> Double {
    var totals = [0.0, 0.0]
    var batches = heldOut.loader.prefetch(
      0..<heldOut.loader.batchesPerEpoch, workers: configuration.data.workers)
    do {
      while let loaded = try await batches.next() {
        if !loaded.damaged.isEmpty { report(.damaged(loaded.damaged)) }
        guard let batch = loaded.batch else { continue }
        let loss = try withoutGradients { Double(try step.loss(batch).item(Float.self)) }
        totals[0] += loss * Double(batch.targetCount)
        totals[1] += Double(batch.targetCount)
      }
    } catch {
      await batches.finish()
      throw error
    }
    if let processes { totals = try processes.sum(totals) }
    return totals[0] / totals[1]
  }

  /// What the model writes for each picture, greedily; each process does a part. Nil when one of them was cancelled: then
  /// the checkpoint is written first of all, after the next step.
  private func texts(of jobs: [Evaluation.Job]) throws -> [String]? {
    let (rank, size) = (processes?.group.rank ?? 0, processes?.group.size ?? 1)
    let mine = jobs.indices.filter { $0 % size == rank }
    var options = GenerationOptions()
    options.stopTokens = bundle.generation.end
    var own: [Int: String] = [:]
    for start in stride(from: 0, to: mine.count, by: 16) {
      var pictures: [(job: Int, image: ProcessedImage)] = []
      for job in mine[start..<min(start + 16, mine.count)] {
        guard
          let picture = try? jobs[job].picture.decoded(
            longestSide: nil, limits: bundle.processor.configuration.limits),
          let image = try? bundle.processor(picture)
        else {
          // A picture that cannot be read was reported with the loss, and has no text.
          own[job] = ""
          continue
        }
        pictures.append((job, image))
      }
      guard !pictures.isEmpty, !Task.isCancelled else { continue }
      let prompts = try pictures.map {
        try bundle.generation.prompt(jobs[$0.job].prompt, by: bundle.tokenizer)
      }
      do {
        let generated = try withoutGradients {
          try model.generate(
            img: Tensor.cat(pictures.map { try Tensor($0.image) }).to(device: device), prompts: prompts,
            options: options)
        }
        for (picture, texts) in zip(pictures, generated) {
          own[picture.job] = try bundle.tokenizer.decode(texts[0].tokens)
        }
      } catch is CancellationError {
        continue
      }
    }
    if let group = processes?.group {
      for bytes in try group.allGather(bytes: JSONEncoder().encode(own)) {
        own.merge(try JSONDecoder().decode([Int: String].self, from: bytes)) { first, _ in first }
      }
    }
    let texts = jobs.indices.compactMap { own[$0] }
    return texts.count == jobs.count ? texts : nil
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

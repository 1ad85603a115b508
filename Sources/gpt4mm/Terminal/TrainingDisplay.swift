import Foundation
import MultiModalTraining
import Torch

/// Shows on the terminal how a run goes.
struct TrainingDisplay {
  let isFirst: Bool
  private let prefix: String
  private var bar = ProgressBar()
  private var first = 0
  private var waitingShare = 0.0

  /// - Parameter rank: of this process among those that train together; nil for a single one
  init(rank: Int?) {
    isFirst = rank ?? 0 == 0
    prefix = rank.map { $0 == 0 ? "" : "process \($0): " } ?? ""
  }

  func note(_ text: String) { Terminal.note(prefix + text) }

  mutating func show(_ event: Trainer.Event) {
    if case .step(let progress) = event {
      waitingShare = progress.waitingShare
      bar.update(progress.step, of: progress.steps, details: details(progress), first: first)
      return
    }
    bar.pause()
    switch event {
    case .began(let summary):
      first = summary.firstStep
      note(
        """
        \(summary.trainingExamples) samples to train on, \(summary.validationExamples) to validate with
        \(summary.parameters) parameters, \(summary.learnedParameters) learned, \(summary.decayedParameters) of them with \
        weight decay
        \(summary.steps) steps\(first > 0 ? ", going on after \(first)" : "")\
        \(summary.processes > 1 ? ", \(summary.processes) processes" : "")
        """)
    case .skipped(let step, let samples):
      note(
        "step \(step) was left out, because its loss or gradients are not finite: \(samples.joined(separator: ", "))"
          .sentence())
    case .damaged(_, let pictures): for picture in pictures { note("left out: \(picture)".sentence()) }
    case .validated(let step, let loss, let evaluation, let isBest):
      let texts =
        (evaluation?.metrics).map {
          String(
            format: ", exact match %.1f %%, character errors %.1f %%, CIDEr %.2f", 100 * $0.exactMatch,
            100 * $0.characterErrorRate, $0.cider)
        } ?? ""
      note(
        String(
          format: "step %d: validation loss %.4f, perplexity %.2f%@%@", step, loss, exp(loss), texts,
          isBest ? ", the best so far" : ""))
    case .stoppedEarly(let step, let bestStep):
      note("stopped after step \(step): no validation was better than that of step \(bestStep)")
    case .warning(let text): note(text)
    case .step, .saved: break
    }
  }

  mutating func end() {
    bar.pause()
    if waitingShare > 0.05 {
      note(
        String(
          format:
            "%.0f %% of the time was spent waiting for pictures: they are read slower than they are learned from",
          100 * waitingShare))
    }
  }

  private func details(_ progress: Trainer.Progress) -> String {
    String(
      format: "epoch %.1f  loss %.3f  lr %.1e  %.0f samples/s  %.1f GB", progress.epoch, progress.loss,
      progress.learningRate, progress.samplesPerSecond, Double(progress.memory) / 1e9)
  }
}

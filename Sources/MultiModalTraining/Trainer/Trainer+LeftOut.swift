import Foundation

extension Trainer {
  /// The names from all processes.
  func gathered(_ names: [String]) throws -> [String] {
    guard let group = processes?.group else { return names }
    return try group.allGather(bytes: JSONEncoder().encode(names)).flatMap {
      try JSONDecoder().decode([String].self, from: $0)
    }
  }

  /// - Throws: `TrainingError` when too many pictures of this epoch cannot be used.
  func leaveOut(_ damaged: [String], _ report: (Event) -> Void) throws {
    let epoch = Int(epoch(at: state.step))
    if state.damagedEpoch != epoch { (state.damagedEpoch, state.damagedPictures) = (epoch, 0) }
    state.damagedPictures += damaged.count
    report(.damaged(step: state.step + 1, pictures: damaged))
    let samples = (firstStep(ofEpoch: epoch + 1) - firstStep(ofEpoch: epoch)) * samplesPerStep
    if let excess = excess(state.damagedPictures, of: samples) {
      throw TrainingError(
        "\(state.damagedPictures) of \(samples) samples have missing or damaged pictures in this epoch, \(excess), such as "
          + "\(damaged[0]): mend them; what was saved before is untouched")
    }
  }

  /// The first that begins in it; the one before may reach into it.
  private func firstStep(ofEpoch epoch: Int) -> Int {
    let batches = settings.gradientAccumulationSteps
    return (epoch * training.batchesPerEpoch + batches - 1) / batches
  }

  /// Why so many pictures that cannot be used end a run; nil where they do not.
  func excess(_ damaged: Int, of samples: Int) -> String? {
    let share = configuration.data.maxDamagedShare
    if damaged >= samples { return "which leaves none" }
    return Double(damaged) > share * Double(samples)
      ? "more than data.max_damaged_share \(share) allows" : nil
  }

  /// Leaves a step out.
  /// - Throws: `TrainingError` when too many in a row were.
  func skip(_ samples: [String], _ report: (Event) -> Void) throws {
    state.skippedInARow += 1
    state.skippedSteps += 1
    report(.skipped(step: state.step, samples: samples))
    guard state.skippedInARow < settings.maxSkippedSteps else {
      throw TrainingError(
        "loss or gradients were not finite in \(state.skippedInARow) steps in a row, the last of them step "
          + "\(state.step): lower the learning rate, or look for wrong data among \(samples.joined(separator: ", ")); what "
          + "was saved before is untouched")
    }
  }
}

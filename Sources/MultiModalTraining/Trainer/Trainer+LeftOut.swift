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
    let share = configuration.data.maxDamagedShare
    guard Double(state.damagedPictures) <= share * Double(trainingExamples) else {
      throw TrainingError(
        "\(state.damagedPictures) of \(trainingExamples) samples have missing or damaged pictures in this epoch, more than "
          + "data.max_damaged_share \(share) allows, such as \(damaged[0]): mend them, or raise the share; what was saved "
          + "before is untouched")
    }
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

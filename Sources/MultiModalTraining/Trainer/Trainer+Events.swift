extension Trainer {
  /// What a run tells while it goes. It comes from the first process alone.
  public enum Event: Sendable {
    /// The run begins.
    case began(Summary)
    /// A step was done.
    case step(Progress)
    /// A step was left out because loss or gradients were not finite.
    case skipped(step: Int, samples: [String])
    /// Pictures that were left out, with the reasons.
    case damaged(step: Int, pictures: [String])
    /// The held-out samples were looked at. Without texts to compare there is no evaluation.
    case validated(step: Int, loss: Double, evaluation: Evaluation?, isBest: Bool)
    /// A checkpoint was begun to be written.
    case saved(step: Int)
    /// No validation was better for as long as is allowed.
    case stoppedEarly(step: Int, bestStep: Int)
    /// Something that is wrong but ends no training.
    case warning(String)
  }

  /// What a run is about to do.
  public struct Summary: Sendable {
    /// Samples that are learned from.
    public let trainingExamples: Int
    /// Samples that are held out.
    public let validationExamples: Int
    /// The model's.
    public let parameters: Int
    /// Those that are trained.
    public let learnedParameters: Int
    /// Those that weight decay acts on.
    public let decayedParameters: Int
    /// In all.
    public let steps: Int
    /// The step that a resumed run goes on from; 0 for a new one.
    public let firstStep: Int
    /// That train together.
    public let processes: Int
  }

  /// How far a run is, and how it goes.
  public struct Progress: Sendable {
    /// Steps done and in all.
    public let step: Int
    /// Of the whole run.
    public let steps: Int
    /// Rounds through the pictures that are done.
    public let epoch: Double
    /// Of this step's batch.
    public let loss: Double
    /// Of this step.
    public let learningRate: Double
    /// Before clipping.
    public let gradientNorm: Double
    /// Of all processes, over the last steps; validations and the writing of checkpoints do not count.
    public let samplesPerSecond: Double
    /// The part of the time of training that was spent waiting for pictures and texts; near 0 while their loading keeps up.
    public let waitingShare: Double
    /// Bytes of this process that lie in memory.
    public let memory: Int
    /// Bytes of gradients that each process gave to be summed; 0 for a single process.
    public let bytesSent: Int
  }
}

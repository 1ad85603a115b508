/// How long a run trains and waits.
struct TrainingClock {
  private let began = ContinuousClock.now
  private let secondsBefore: Double
  private var waited = 0.0
  /// Seconds of this session in which it did something else, such as validate.
  private var paused = 0.0
  /// Seconds of training after which the session's last steps ended, and it began.
  private var ticks = [0.0]

  private static let window = 50

  init(secondsBefore: Double) { self.secondsBefore = secondsBefore }

  private var secondsNow: Double { (ContinuousClock.now - began) / .seconds(1) }
  private var trained: Double { secondsNow - paused }
  /// Over all sessions, with all that was done between the steps.
  var seconds: Double { secondsBefore + secondsNow }
  /// Of the time of training.
  var waitingShare: Double { waited / trained }

  /// A step ended.
  mutating func tick() {
    ticks.append(trained)
    if ticks.count > Self.window { ticks.removeFirst() }
  }

  /// Over the last steps, without what was done between them.
  var stepsPerSecond: Double {
    guard let first = ticks.first, let last = ticks.last, last > first else { return 0 }
    return Double(ticks.count - 1) / (last - first)
  }

  mutating func waiting<Result>(_ body: () async throws -> Result) async rethrows -> Result {
    try await measuring(\.waited, body)
  }

  /// Does something that is no training.
  mutating func pausing<Result>(_ body: () async throws -> Result) async rethrows -> Result {
    try await measuring(\.paused, body)
  }

  private mutating func measuring<Result>(
    _ seconds: WritableKeyPath<Self, Double>, _ body: () async throws -> Result
  ) async rethrows -> Result {
    let asked = ContinuousClock.now
    defer { self[keyPath: seconds] += (ContinuousClock.now - asked) / .seconds(1) }
    return try await body()
  }
}

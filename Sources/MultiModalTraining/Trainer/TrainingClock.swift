/// How long a run trains and waits.
struct TrainingClock {
  private let began = ContinuousClock.now
  private let secondsBefore: Double
  private var waited = 0.0
  /// When the last steps ended, and the session began.
  private var ticks: [ContinuousClock.Instant]

  private static let window = 50

  init(secondsBefore: Double) {
    self.secondsBefore = secondsBefore
    ticks = [began]
  }

  private var secondsNow: Double { (ContinuousClock.now - began) / .seconds(1) }
  /// Over all sessions.
  var seconds: Double { secondsBefore + secondsNow }
  var waitingShare: Double { waited / secondsNow }

  /// A step ended.
  mutating func tick() {
    ticks.append(.now)
    if ticks.count > Self.window { ticks.removeFirst() }
  }

  /// Over the last steps.
  var stepsPerSecond: Double {
    guard let first = ticks.first, let last = ticks.last, last > first else { return 0 }
    return Double(ticks.count - 1) / ((last - first) / .seconds(1))
  }

  mutating func waiting<Result>(_ body: () async throws -> Result) async rethrows -> Result {
    let asked = ContinuousClock.now
    defer { waited += (ContinuousClock.now - asked) / .seconds(1) }
    return try await body()
  }
}

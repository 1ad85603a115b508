/// What a run's page shows of its log: the points of its curves, and the last of what happened besides.
struct RunHistory {
  private(set) var points: [String: [Chart.Point]] = [:]
  private(set) var lastStep = 0.0
  /// The last of them, in their order.
  private(set) var events: [String] = []
  /// All of them.
  private(set) var eventCount = 0

  private static let mostEvents = 100
  private static let mostNames = 10

  /// - Parameter fields: of a line of the log
  mutating func add(_ fields: [String: RunLog.Value]) {
    let step = fields["step"]?.number
    if let step {
      if abs(step) < 1e15 { lastStep = max(lastStep, step) }
      for key in TrainingReport.curveKeys {
        if let value = fields[key]?.number { points[key, default: []].append((step, value)) }
      }
    }
    guard let event = fields["event"]?.string else { return }
    let ids = fields["ids"]?.strings ?? []
    let more = ids.count > Self.mostNames ? " and \(ids.count - Self.mostNames) more" : ""
    eventCount += 1
    events.append(
      (step.flatMap { Int(exactly: $0) }.map { "step \($0): " } ?? "") + event
        + (ids.isEmpty ? "" : ": \(ids.prefix(Self.mostNames).joined(separator: ", "))\(more)"))
    if events.count > Self.mostEvents { events.removeFirst() }
  }
}

import Foundation

/// A curve over a run's steps, drawn as SVG.
struct Chart {
  /// What is drawn: the curve, its name, and how numbers are written.
  struct Style {
    let key: String
    let title: String
    /// What the values are divided by.
    var unit = 1.0
    /// Drawn pale, under its running mean, and cut where single points stand out.
    var isNoisy = false
    var fromZero = false
  }

  typealias Point = (step: Double, value: Double)

  static let mostPoints = 1000
  private static let size = (width: 420.0, height: 246.0)
  private static let plot = (left: 56.0, top: 10.0, right: 400.0, bottom: 206.0)

  let style: Style
  private let raw: [Point]
  private let mean: [Point]
  private let steps: Axis
  private let values: Axis

  /// - Parameters:
  ///   - points: those that are not finite are left out
  ///   - lastStep: where the axis ends, the same for all of a run's curves
  /// - Returns: nil where there is nothing to draw.
  init?(_ style: Style, _ points: [Point], lastStep: Double) {
    // What is too large for an axis' arithmetic is no measurement.
    let points = points.map { ($0.step, $0.value / style.unit) }
      .filter { abs($0.0) < 1e15 && abs($0.1) < 1e100 }.sorted { $0.0 < $1.0 }
    guard !points.isEmpty else { return nil }
    self.style = style
    raw = Self.thinned(points)
    mean = style.isNoisy ? Self.runningMean(points) : points
    let shown = raw.map(\.value).sorted().dropLast(style.isNoisy ? raw.count / 100 : 0) + mean.map(\.value)
    let smallest = shown.min() ?? 0
    values = Axis(style.fromZero ? min(0, smallest) : smallest, shown.max() ?? 1, ticks: 5)
    steps = Axis(min(0, raw[0].step), max(1, lastStep), ticks: 5, isWhole: true)
  }

  /// The lowest and the highest of each stretch, so that no outlier is lost.
  static func thinned(_ points: [Point]) -> [Point] {
    guard points.count > mostPoints else { return points }
    let stretches = mostPoints / 2
    return (0..<stretches).flatMap { index in
      let stretch = points[index * points.count / stretches..<(index + 1) * points.count / stretches]
      let extremes = [stretch.min { $0.value < $1.value }, stretch.max { $0.value < $1.value }]
      return extremes.compactMap { $0 }.sorted { $0.step < $1.step }
    }
  }

  /// The mean over the points around each, a twenty-fifth of all.
  static func runningMean(_ points: [Point]) -> [Point] {
    let reach = points.count / 50
    let every = (points.count + mostPoints - 1) / mostPoints
    return points.indices.filter { $0 % every == 0 || $0 == points.count - 1 }.suffix(mostPoints).map {
      index in
      // Summed anew for each, because what is left of running sums after a huge number is noise.
      let around = points[max(0, index - reach)..<min(points.count, index + reach + 1)]
      return (points[index].step, around.reduce(0) { $0 + $1.value } / Double(around.count))
    }
  }

  /// Of the running mean, where it is drawn.
  var lastValue: String { Axis.text(mean[mean.count - 1].value) }

  func svg() -> String {
    let (left, top, right, bottom) = Self.plot
    func x(_ step: Double) -> String { Self.text(left + steps.part(step) * (right - left)) }
    func y(_ value: Double) -> String { Self.text(bottom - values.part(value) * (bottom - top)) }
    func line(_ points: [Point], _ name: String) -> String {
      let places = points.map { "\(x($0.step)),\(y($0.value))" }.joined(separator: " ")
      // Few points are seen as such, and one makes no line.
      let dots =
        points.count > 40
        ? "" : points.map { #"<circle cx="\#(x($0.step))" cy="\#(y($0.value))" r="2.5"/>"# }.joined()
      return #"<g class="\#(name)"><polyline points="\#(places)"/>\#(dots)</g>"#
    }
    let grid = values.ticks.map { tick in
      #"<path class="grid" d="M\#(left) \#(y(tick))H\#(right)"/>"#
        + #"<text x="\#(left - 6)" y="\#(y(tick))" dy=".32em" text-anchor="end">\#(values.label(tick))</text>"#
    }
    let marks = steps.ticks.map { tick in
      #"<path class="axis" d="M\#(x(tick)) \#(bottom)v4"/>"#
        + #"<text x="\#(x(tick))" y="\#(bottom + 16)" text-anchor="middle">\#(steps.label(tick))</text>"#
    }
    let extremes = (raw.map(\.value).min() ?? 0, raw.map(\.value).max() ?? 0)
    let description =
      "\(style.title) over steps: \(lastValue) at step \(Int(mean[mean.count - 1].step)), "
      + "between \(Axis.text(extremes.0)) and \(Axis.text(extremes.1))"
    let last = mean[mean.count - 1]
    return """
      <svg viewBox="0 0 \(Int(Self.size.width)) \(Int(Self.size.height))" role="img" aria-label="\(description.escapedForHTML)">
      \(grid.joined())\(marks.joined())
      <path class="axis" d="M\(left) \(bottom)H\(right)"/>
      <text x="\((left + right) / 2)" y="\(bottom + 31)" text-anchor="middle">step</text>
      <svg x="\(left)" y="\(top - 4)" width="\(right - left + 4)" height="\(bottom - top + 8)" viewBox="\(left) \(top - 4) \(right - left + 4) \(bottom - top + 8)">
      \(style.isNoisy && raw.count > 40 ? line(raw, "raw") : "")\(line(Self.thinned(mean), "mean"))
      <g class="mean"><circle cx="\(x(last.step))" cy="\(y(last.value))" r="3.5"/></g>
      </svg>
      </svg>
      """
  }

  private static func text(_ place: Double) -> String { String(format: "%.1f", place) }
}

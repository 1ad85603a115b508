import Foundation
import MultiModalPipeline
import Synchronization

/// Counts of what a service did, as Prometheus reads them (text format 0.0.4).
final class ServingMetrics: Sendable {
  private struct Histogram {
    static let bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
    var counts = [Int](repeating: 0, count: bounds.count + 1)
    var sum = 0.0

    mutating func add(_ value: Double) {
      counts[Self.bounds.firstIndex { value <= $0 } ?? Self.bounds.count] += 1
      sum += value
    }

    func lines(_ name: String, _ help: String) -> [String] {
      var total = 0
      let buckets = zip(Self.bounds.map { "\($0)" } + ["+Inf"], counts).map { bound, count in
        total += count
        return "\(name)_bucket{le=\"\(bound)\"} \(total)"
      }
      return ["# HELP \(name) \(help)", "# TYPE \(name) histogram"] + buckets
        + ["\(name)_sum \(sum)", "\(name)_count \(total)"]
    }
  }

  private struct State {
    /// By route and status.
    var requests: [String: Int] = [:]
    var tokens = 0
    var latency = Histogram()
    var firstToken = Histogram()
  }

  private let state = Mutex(State())
  private let began = Date().timeIntervalSince1970

  func count(_ piece: Captioner.Piece) { state.withLock { $0.tokens += piece.tokens.count } }

  /// - Parameter seconds: until the answer began
  func count(route: String, status: Int, seconds: Double) {
    state.withLock {
      $0.requests["route=\"\(route)\",status=\"\(status)\"", default: 0] += 1
      $0.latency.add(seconds)
    }
  }

  func countFirstToken(seconds: Double) { state.withLock { $0.firstToken.add(seconds) } }

  func text(_ engine: ServingEngine) async -> String {
    let state = state.withLock { $0 }
    let work = await engine.captioner.counts
    let load = engine.queue.load
    func value(_ name: String, _ kind: String, _ help: String, _ value: some CustomStringConvertible)
      -> [String]
    {
      ["# HELP \(name) \(help)", "# TYPE \(name) \(kind)", "\(name) \(value)"]
    }
    var lines = [
      "# HELP gpt4mm_requests_total Requests that were answered.", "# TYPE gpt4mm_requests_total counter",
    ]
    lines += state.requests.sorted { $0.key < $1.key }.map { "gpt4mm_requests_total{\($0.key)} \($0.value)" }
    lines += value("gpt4mm_texts_running", "gauge", "Texts that are written now.", load.running)
    lines += value("gpt4mm_requests_waiting", "gauge", "Requests that wait for a place.", load.waiting)
    lines += value(
      "gpt4mm_tokens_total", "counter", "Tokens that were sent; its rate is tokens per second.", state.tokens)
    lines += value(
      "gpt4mm_batch_tokens_total", "counter",
      "Tokens of all steps; its rate over that of the steps is the mean batch size.", work.tokens)
    lines += value("gpt4mm_batch_steps_total", "counter", "Steps of the batch.", work.steps)
    lines += value("gpt4mm_pictures_encoded_total", "counter", "Pictures that were encoded.", work.pictures)
    lines += value(
      "gpt4mm_picture_cache_hits_total", "counter", "Pictures that needed no encoding.",
      await engine.pictures.hits)
    lines += state.latency.lines("gpt4mm_request_seconds", "Seconds until an answer began.")
    lines += state.firstToken.lines("gpt4mm_first_token_seconds", "Seconds until a stream's first token.")
    lines += value("process_start_time_seconds", "gauge", "When the service began.", began)
    if let memory = Self.residentBytes {
      lines += value("process_resident_memory_bytes", "gauge", "Memory of the process.", memory)
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// Linux alone tells it so.
  private static var residentBytes: Int? {
    guard let fields = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " "),
      fields.count > 1, let pages = Int(fields[1])
    else { return nil }
    return pages * sysconf(Int32(_SC_PAGESIZE))
  }
}

import CCurl
import Foundation
import Synchronization

/// Fetches pictures that are given by URL, with libcurl, from public addresses alone: each address is checked as it is
/// connected to, so that neither redirects nor names that change their address lead elsewhere.
public struct PictureFetcher: Sendable {
  /// A picture that cannot be had.
  struct Failure: Error, LocalizedError {
    /// What is the matter, without an end.
    let reason: String
    var errorDescription: String? { reason }
  }

  private let maxBytes: Int
  private let seconds: Double
  private let allows: @Sendable (IPAddress) -> Bool
  private let resolved: String?

  /// - Parameters:
  ///   - maxBytes: of a picture
  ///   - seconds: for a picture, redirects included
  public init(maxBytes: Int, seconds: Double = 10) {
    self.init(maxBytes: maxBytes, seconds: seconds, allows: \.isPublic)
  }

  /// - Parameters:
  ///   - allows: whether an address may be connected to
  ///   - resolved: a host whose addresses are not looked up, as `CURLOPT_RESOLVE` takes it
  init(
    maxBytes: Int, seconds: Double, resolved: String? = nil, allows: @escaping @Sendable (IPAddress) -> Bool
  ) {
    self.maxBytes = maxBytes
    self.seconds = seconds
    self.allows = allows
    self.resolved = resolved
  }

  /// What is behind an http or https URL, whatever it is. A task that is cancelled ends the transfer.
  /// - Throws: an error that says in a few words why it cannot be had.
  public func callAsFunction(_ url: String) async throws -> Data {
    let transfer = Transfer(maxBytes: maxBytes, allows: allows)
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        // libcurl waits, which the threads that tasks share must not.
        Thread.detachNewThread {
          continuation.resume(
            with: Result { try transfer.run(url, seconds: seconds, resolved: resolved) })
        }
      }
    } onCancel: {
      transfer.cancel()
    }
  }

  private final class Transfer: Sendable {
    private struct State {
      var bytes = Data()
      var isTooLarge = false
      var hasRefused = false
    }

    private let state = Mutex(State())
    private let isCancelled = Atomic(false)
    private let maxBytes: Int
    private let allows: @Sendable (IPAddress) -> Bool

    init(maxBytes: Int, allows: @escaping @Sendable (IPAddress) -> Bool) {
      self.maxBytes = maxBytes
      self.allows = allows
    }

    func cancel() { isCancelled.store(true, ordering: .relaxed) }

    func run(_ url: String, seconds: Double, resolved: String?) throws -> Data {
      var status = 0
      let result = url.withCString { url in
        func get(_ resolved: UnsafePointer<CChar>?) -> CURLcode {
          var request = CCurlRequest(
            url: url, max_milliseconds: Int(seconds * 1000), resolved: resolved,
            allows: { Transfer.at($0)?.allow($1) ?? false },
            receive: { Transfer.at($0)?.receive($1, $2) ?? false },
            is_cancelled: { Transfer.at($0)?.isCancelled.load(ordering: .relaxed) ?? true },
            context: Unmanaged.passUnretained(self).toOpaque())
          return ccurl_get(&request, &status)
        }
        return resolved.map { $0.withCString(get) } ?? get(nil)
      }
      if isCancelled.load(ordering: .relaxed) { throw CancellationError() }
      return try state.withLock { state in
        if result == CURLE_OK, status == 200 { return state.bytes }
        throw Failure(reason: reason(result, status: status, seconds: seconds, state))
      }
    }

    private func reason(_ result: CURLcode, status: Int, seconds: Double, _ state: State) -> String {
      switch result {
      case CURLE_OK, CURLE_HTTP_RETURNED_ERROR: "its host answers with status \(status)"
      case _ where state.isTooLarge: "it has more than \(maxBytes) bytes, the limit"
      case CURLE_OPERATION_TIMEDOUT: "it takes longer than \(Int(seconds)) s"
      case CURLE_TOO_MANY_REDIRECTS: "it is redirected too often"
      case CURLE_LOGIN_DENIED: "it names a user"
      case CURLE_UNSUPPORTED_PROTOCOL: "it leads to what is not http or https"
      case CURLE_COULDNT_CONNECT where state.hasRefused: "it leads to an address that is not public"
      default: String(cString: curl_easy_strerror(result))
      }
    }

    // MARK: What libcurl calls

    private func allow(_ address: UnsafePointer<sockaddr>?) -> Bool {
      if let address = address.flatMap(IPAddress.init), allows(address) { return true }
      state.withLock { $0.hasRefused = true }
      return false
    }

    private func receive(_ bytes: UnsafePointer<CChar>?, _ count: Int) -> Bool {
      state.withLock { state in
        guard state.bytes.count + count <= maxBytes else {
          state.isTooLarge = true
          return false
        }
        state.bytes.append(contentsOf: UnsafeRawBufferPointer(start: bytes, count: count))
        return true
      }
    }

    private static func at(_ pointer: UnsafeMutableRawPointer?) -> Transfer? {
      pointer.map { Unmanaged<Transfer>.fromOpaque($0).takeUnretainedValue() }
    }
  }
}

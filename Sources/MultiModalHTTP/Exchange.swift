import CMicrohttpd
import Foundation
import MultiModalServing
import Synchronization

/// libmicrohttpd's connection; its functions lock what they change.
struct Connection: @unchecked Sendable {
  let pointer: OpaquePointer
  var socket: Int32 { cmhd_socket(pointer) }
}

/// One request and its answer. While it is worked on the connection is suspended; a task gives the answer and wakes it.
final class Exchange: Sendable {
  private struct State {
    var body = Data()
    /// Why the body is not taken.
    var refusal: APIError?
    /// Bytes that count among those of all bodies.
    var held = 0
    var isStarted = false
    var response: ServingResponse?
    /// Parts of a streamed answer that are not sent yet.
    var outgoing = Data()
    var hasEnded = false
    /// Whether parts are missing at the end, so that the client must not take it for the whole.
    var isCut = false
    /// Whether all is written, so that the client is to take it.
    var isAwaited = false
    var isSuspended = false
    var task: Task<Void, Never>?
    var sent = 0
  }

  private let site: Site
  private let connection: Connection
  private let request: ServingRequest
  private let began = ContinuousClock.now
  private let state = Mutex(State())

  init(_ site: Site, _ connection: Connection, method: String, path: String) {
    self.site = site
    self.connection = connection
    request = ServingRequest(method: method, path: path, headers: connection.headers)
  }

  var isSuspended: Bool { state.withLock { $0.isSuspended } }

  /// The client no longer waits, or the server no longer lets it.
  func cancel() { state.withLock { $0.task }?.cancel() }

  // MARK: Receiving

  /// Answers at once what will not be read.
  func begin() -> MHD_Result {
    let limit = site.configuration.maxBodyBytes
    let length = request.headers["content-length"].flatMap { Int($0) } ?? 0
    if site.isDraining { return refuse(.draining) }
    let refusal = length > limit ? .bodyTooLarge(limit: limit) : site.refusal(request)
    // Who waits for a word before sending gets it; others may not hear what is said while they send.
    if let refusal, request.headers["expect"] != nil || length > 4 * limit { return refuse(refusal) }
    state.withLock { $0.refusal = refusal }
    guard refusal == nil else { return .YES }
    state.withLock { $0.body.reserveCapacity(min(length, limit)) }
    return .YES
  }

  private func refuse(_ error: APIError) -> MHD_Result {
    state.withLock { $0.refusal = error }
    return advance()
  }

  func receive(_ bytes: UnsafeRawBufferPointer) -> MHD_Result {
    let limit = site.configuration.maxBodyBytes
    return state.withLock { state in
      state.sent += bytes.count
      if state.sent > limit {
        state.refusal = .bodyTooLarge(limit: limit)
      } else if state.refusal == nil {
        if site.hold(bytes.count) { state.held += bytes.count } else { state.refusal = .overloaded }
      }
      guard state.refusal == nil else {
        state.body = Data()
        giveBack(&state)
        // Who sends on may hear what is said at its end.
        return state.sent <= 4 * limit ? .YES : .NO
      }
      state.body.append(contentsOf: bytes)
      return .YES
    }
  }

  private func giveBack(_ state: inout State) {
    site.giveBack(state.held)
    state.held = 0
  }

  // MARK: Answering

  /// Called when all is received that will be, and again whenever the connection wakes.
  func advance() -> MHD_Result {
    let response = state.withLock { state -> ServingResponse? in
      if state.isStarted { return state.response }
      state.isStarted = true
      state.sent = 0
      site.watch.awaitsNoMore(connection.socket)
      var request = request
      request.refusal = state.refusal
      request.body = state.body
      state.body = Data()
      guard suspend(&state) else {
        state.response = APIError.draining.response
        return state.response
      }
      state.task = Task { [request] in await answer(request) }
      return nil
    }
    return response.map(queue) ?? .YES
  }

  private func answer(_ request: ServingRequest) async {
    var response = await site.respond(request)
    if response.status == APIError.cancelled.status, site.isEnding {
      // It is not the client that has gone.
      var refused = request
      refused.refusal = .draining
      response = await site.respond(refused)
    }
    state.withLock { [response] in
      $0.response = response
      wake(&$0)
    }
    guard case .stream(let parts) = response.body else { return }
    for await part in parts {
      state.withLock {
        $0.outgoing.append(part)
        wake(&$0)
      }
    }
    state.withLock {
      $0.hasEnded = true
      $0.isCut = Task.isCancelled
      if $0.isCut, site.isEnding, response.isEvents { $0.outgoing.append(APIError.draining.event) }
      wake(&$0)
    }
  }

  /// - Returns: whether it may be
  private func suspend(_ state: inout State) -> Bool {
    guard !site.isClosing else { return false }
    state.isSuspended = true
    site.watch.add(self, connection.socket)
    MHD_suspend_connection(connection.pointer)
    return true
  }

  private func wake(_ state: inout State) {
    guard state.isSuspended else { return }
    state.isSuspended = false
    site.watch.remove(connection.socket)
    MHD_resume_connection(connection.pointer)
  }

  private func queue(_ response: ServingResponse) -> MHD_Result {
    let made: OpaquePointer?
    switch response.body {
    case .bytes(let bytes):
      state.withLock { $0.sent = bytes.count }
      site.watch.awaits(connection.socket)
      made = bytes.withUnsafeBytes {
        MHD_create_response_from_buffer(
          $0.count, UnsafeMutableRawPointer(mutating: $0.baseAddress), .RESPMEM_MUST_COPY)
      }
    case .stream:
      made = MHD_create_response_from_callback(
        .max, 16 << 10, { Exchange.at($0)?.read($2, $3) ?? -1 }, Unmanaged.passRetained(self).toOpaque(),
        { $0.map { Unmanaged<Exchange>.fromOpaque($0).release() } })
    }
    guard let made else { return .NO }
    defer { MHD_destroy_response(made) }
    for (name, value) in response.headers { MHD_add_response_header(made, name, value) }
    if site.isDraining { MHD_add_response_header(made, "Connection", "close") }
    return MHD_queue_response(connection.pointer, UInt32(response.status), made)
  }

  static func at(_ pointer: UnsafeMutableRawPointer?) -> Exchange? {
    pointer.map { Unmanaged<Exchange>.fromOpaque($0).takeUnretainedValue() }
  }

  /// Gives libmicrohttpd what is there to send, or suspends the connection until there is more.
  fileprivate func read(_ buffer: UnsafeMutablePointer<CChar>?, _ size: Int) -> Int {
    state.withLock { state in
      if state.hasEnded, !state.isAwaited {
        state.isAwaited = true
        site.watch.awaits(connection.socket)
      }
      guard let buffer, !state.outgoing.isEmpty else {
        if state.hasEnded {
          return Int(state.isCut ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM)
        }
        return suspend(&state) ? 0 : Int(MHD_CONTENT_READER_END_WITH_ERROR)
      }
      let count = min(size, state.outgoing.count)
      state.outgoing.copyBytes(to: UnsafeMutableRawBufferPointer(start: buffer, count: count))
      state.outgoing.removeFirst(count)
      state.sent += count
      return count
    }
  }

  // MARK: The end

  /// The answer is sent, or the connection is lost.
  func end(isComplete: Bool) {
    cancel()
    let (response, sent) = state.withLock { state in
      giveBack(&state)
      return (state.response, state.sent)
    }
    site.log(
      HTTPServer.Record(
        client: connection.client, method: request.method, path: request.path,
        status: response?.status, isComplete: isComplete, bytes: response == nil ? 0 : sent,
        seconds: (.now - began) / .seconds(1),
        requestID: response?.headers.first { $0.name.lowercased() == "x-request-id" }?.value))
  }
}

extension Connection {
  /// By names in small letters; the first of equal ones counts.
  var headers: [String: String] {
    var headers: [String: String] = [:]
    withUnsafeMutablePointer(to: &headers) {
      _ = MHD_get_connection_values(
        pointer, .HEADER_KIND,
        { context, _, name, value in
          guard let context, let name, let value else { return .YES }
          let headers = context.assumingMemoryBound(to: [String: String].self)
          let key = String(cString: name).lowercased()
          // libmicrohttpd leaves the spaces behind a value.
          if headers.pointee[key] == nil {
            headers.pointee[key] = String(cString: value).trimmingCharacters(in: .whitespaces)
          }
          return .YES
        }, $0)
    }
    return headers
  }

  /// The client's address.
  var client: String {
    guard let address = cmhd_client_address(pointer) else { return "" }
    let size =
      address.pointee.sa_family == sa_family_t(AF_INET6)
      ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size
    var name = [CChar](repeating: 0, count: Int(NI_MAXHOST))
    guard getnameinfo(address, socklen_t(size), &name, socklen_t(name.count), nil, 0, NI_NUMERICHOST) == 0
    else {
      return ""
    }
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

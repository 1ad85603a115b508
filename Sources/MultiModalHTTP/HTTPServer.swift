import CMicrohttpd
import Foundation
import MultiModalServing
import Synchronization

/// Serves over HTTP/1.1, on GNU libmicrohttpd: reads requests within limits, lets a function answer them, and sends what it
/// gives, whole or part by part.
public final class HTTPServer: Sendable {
  /// What an access log says of a request.
  public struct Record: Sendable {
    /// The client's address.
    public let client: String
    /// As it was asked, such as `GET`.
    public let method: String
    /// Percent-decoded, without the query.
    public let path: String
    /// nil where the client went before it was answered.
    public let status: Int?
    /// Whether the client got all of the answer.
    public let isComplete: Bool
    /// Of the answer's body.
    public let bytes: Int
    /// From the request's headers to its end.
    public let seconds: Double
    /// What the answer's `X-Request-Id` said; nil without an answer.
    public let requestID: String?
  }

  /// libmicrohttpd's server; its functions may be called from any thread.
  private struct Daemon: @unchecked Sendable { let pointer: OpaquePointer }

  /// The port that is listened on.
  public let port: UInt16
  private let site: Site
  private let daemon: Daemon

  /// Serves from now on.
  /// - Parameters:
  ///   - log: is told of every request at its end
  ///   - refusal: why a request's body is not taken, by its head
  ///   - respond: is cancelled when the client goes
  /// - Throws: `HTTPServerError` that says why it cannot.
  package init(
    _ configuration: HTTPServerConfiguration = HTTPServerConfiguration(),
    log: @escaping @Sendable (Record) -> Void = { _ in },
    refusal: @escaping @Sendable (ServingRequest) -> APIError? = { _ in nil },
    respond: @escaping @Sendable (ServingRequest) async -> ServingResponse
  ) throws {
    let socket = try ListeningSocket(host: configuration.host, port: configuration.port)
    let site = Site(configuration, refusal: refusal, respond: respond, log: log)
    guard let daemon = Self.start(site, socket) else {
      close(socket.descriptor)
      site.watch.stop()
      throw HTTPServerError(
        description: configuration.tls == nil
          ? "the server cannot be started: the machine has no thread or memory for it"
          : "the server cannot be started: the certificate and its key must be PEM texts that belong together"
      )
    }
    self.site = site
    self.daemon = Daemon(pointer: daemon)
    port = socket.port
  }

  private static func start(_ site: Site, _ socket: ListeningSocket) -> OpaquePointer? {
    func withTexts(_ body: (UnsafePointer<CChar>?, UnsafePointer<CChar>?) -> OpaquePointer?) -> OpaquePointer?
    {
      guard let tls = site.configuration.tls else { return body(nil, nil) }
      return tls.certificate.withCString { certificate in tls.privateKey.withCString { body(certificate, $0) }
      }
    }
    return withTexts { certificate, key in
      var options = CMHDOptions(
        listen_socket: socket.descriptor, certificate: certificate, private_key: key,
        max_connections: UInt32(site.configuration.maxConnections),
        idle_timeout: UInt32(site.configuration.clientTimeout), connection_memory: 64 << 10,
        handle: handleRequest, completed: completeRequest, connection_changed: changeConnection,
        context: Unmanaged.passUnretained(site).toOpaque())
      return cmhd_start(&options)
    }
  }

  /// Takes no more connections, lets running requests end, and stops.
  /// - Parameter grace: after which those that still run are cancelled
  public func stop(grace: Duration) async {
    // A task of its own, because whoever stops a server is often cancelled itself and could not wait.
    await Task { await drain(grace: grace) }.value
  }

  private func drain(grace: Duration) async {
    site.drain()
    let socket = MHD_quiesce_daemon(daemon.pointer)
    if socket >= 0 { close(socket) }
    await site.waitUntilIdle(for: grace)
    site.end()
    await site.waitUntilIdle(for: .seconds(1))
    // A connection must not be suspended when the daemon ends: none is any more, and what is cancelled wakes the others.
    site.close()
    guard await site.waitUntilIdle(for: .seconds(10), suspendedOnly: true) else { return }
    MHD_stop_daemon(daemon.pointer)
    site.watch.stop()
  }
}

/// What all requests share.
final class Site: Sendable {
  let configuration: HTTPServerConfiguration
  let refusal: @Sendable (ServingRequest) -> APIError?
  let respond: @Sendable (ServingRequest) async -> ServingResponse
  let log: @Sendable (HTTPServer.Record) -> Void
  let watch: ConnectionWatch
  private let exchanges = Mutex<[ObjectIdentifier: Exchange]>([:])
  private let heldBytes = Atomic(0)
  private let draining = Atomic(false)
  private let ending = Atomic(false)
  private let closing = Atomic(false)

  init(
    _ configuration: HTTPServerConfiguration,
    refusal: @escaping @Sendable (ServingRequest) -> APIError?,
    respond: @escaping @Sendable (ServingRequest) async -> ServingResponse,
    log: @escaping @Sendable (HTTPServer.Record) -> Void
  ) {
    self.configuration = configuration
    self.refusal = refusal
    self.respond = respond
    self.log = log
    watch = ConnectionWatch(timeout: .seconds(configuration.clientTimeout))
  }

  var isDraining: Bool { draining.load(ordering: .relaxed) }
  func drain() { draining.store(true, ordering: .relaxed) }
  /// Whether what runs is cancelled because the server stops.
  var isEnding: Bool { ending.load(ordering: .sequentiallyConsistent) }
  /// Whether no connection may be suspended any more.
  var isClosing: Bool { closing.load(ordering: .sequentiallyConsistent) }

  /// Cancels what runs; those who wait for it are told why.
  func end() {
    ending.store(true, ordering: .sequentiallyConsistent)
    cancelAll()
  }

  /// Cancels what still runs.
  func close() {
    closing.store(true, ordering: .sequentiallyConsistent)
    cancelAll()
  }

  private func cancelAll() {
    for exchange in exchanges.withLock({ Array($0.values) }) { exchange.cancel() }
  }

  /// - Returns: whether so many bytes more of bodies may be held
  func hold(_ bytes: Int) -> Bool {
    guard heldBytes.add(bytes, ordering: .relaxed).newValue > configuration.maxHeldBytes else { return true }
    giveBack(bytes)
    return false
  }
  func giveBack(_ bytes: Int) { heldBytes.subtract(bytes, ordering: .relaxed) }

  func add(_ exchange: Exchange) { exchanges.withLock { $0[ObjectIdentifier(exchange)] = exchange } }
  func remove(_ exchange: Exchange) { exchanges.withLock { $0[ObjectIdentifier(exchange)] = nil } }

  /// - Returns: whether it is
  @discardableResult func waitUntilIdle(for duration: Duration, suspendedOnly: Bool = false) async -> Bool {
    let end = ContinuousClock.now + duration
    func isIdle() -> Bool {
      let running = exchanges.withLock { Array($0.values) }
      return suspendedOnly ? !running.contains(where: \.isSuspended) : running.isEmpty
    }
    while !isIdle() {
      guard ContinuousClock.now < end else { return false }
      try? await Task.sleep(for: .milliseconds(10))
    }
    return true
  }

  static func at(_ pointer: UnsafeMutableRawPointer?) -> Site? {
    pointer.map { Unmanaged<Site>.fromOpaque($0).takeUnretainedValue() }
  }
}

// MARK: What libmicrohttpd calls, on its own thread

private let handleRequest: MHD_AccessHandlerCallback = {
  context, connection, path, method, _, bytes, count, place in
  guard let site = Site.at(context), let connection, let path, let method, let count, let place else {
    return .NO
  }
  guard let exchange = Exchange.at(place.pointee) else {
    let exchange = Exchange(
      site, Connection(pointer: connection), method: String(cString: method), path: String(cString: path))
    place.pointee = Unmanaged.passRetained(exchange).toOpaque()
    site.add(exchange)
    return exchange.begin()
  }
  guard count.pointee > 0 else { return exchange.advance() }
  defer { count.pointee = 0 }
  return exchange.receive(UnsafeRawBufferPointer(start: bytes, count: count.pointee))
}

private let completeRequest: MHD_RequestCompletedCallback = { context, connection, place, reason in
  guard let site = Site.at(context), let connection, let place, let exchange = Exchange.at(place.pointee)
  else {
    return
  }
  exchange.end(isComplete: reason == .REQUEST_TERMINATED_COMPLETED_OK)
  site.remove(exchange)
  place.pointee.map { Unmanaged<Exchange>.fromOpaque($0).release() }
  place.pointee = nil
  site.watch.awaits(Connection(pointer: connection).socket)
}

private let changeConnection: MHD_NotifyConnectionCallback = { context, connection, _, change in
  guard let site = Site.at(context), let connection else { return }
  let socket = Connection(pointer: connection).socket
  if change == .CONNECTION_NOTIFY_STARTED {
    site.watch.awaits(socket)
  } else {
    site.watch.awaitsNoMore(socket)
  }
}

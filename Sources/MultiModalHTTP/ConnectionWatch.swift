import CMicrohttpd
import Foundation
import Synchronization

/// Watches sockets for what libmicrohttpd does not tell: that a client has gone while its request is worked on, and that it
/// takes too long to send a request or to take an answer.
final class ConnectionWatch: Sendable {
  private struct State {
    /// By socket: whom to tell when the client goes.
    var working: [Int32: Exchange] = [:]
    /// By socket: since when the client is waited for.
    var awaited: [Int32: ContinuousClock.Instant] = [:]
    var isStopped = false
  }

  private let state = Mutex(State())
  private let timeout: Duration
  private let clients = cmhd_watch_new()

  /// - Parameter timeout: how long a client is waited for
  init(timeout: Duration) {
    self.timeout = timeout
    let thread = Thread { [self] in
      while !state.withLock({ $0.isStopped }) {
        cancelWhoseClientGoes(within: 250)
        closeSlow()
      }
      close(clients)
    }
    thread.name = "connections"
    thread.start()
  }

  func stop() { state.withLock { $0.isStopped = true } }

  // MARK: Clients that are waited for

  /// From now on the client is to send a request, or to take an answer.
  func awaits(_ socket: Int32) { state.withLock { $0.awaited[socket] = .now } }

  func awaitsNoMore(_ socket: Int32) { state.withLock { $0.awaited[socket] = nil } }

  /// A connection that is shut down is closed by libmicrohttpd. The lock keeps its number from being another's meanwhile.
  private func closeSlow() {
    let latest = ContinuousClock.now - timeout
    state.withLock { state in
      for (socket, since) in state.awaited where since < latest {
        shutdown(socket, Int32(SHUT_RDWR))
        state.awaited[socket] = nil
      }
    }
  }

  // MARK: Requests that are worked on

  func add(_ exchange: Exchange, _ socket: Int32) {
    state.withLock { $0.working[socket] = exchange }
    cmhd_watch_add(clients, socket)
  }

  func remove(_ socket: Int32) {
    cmhd_watch_remove(clients, socket)
    state.withLock { $0.working[socket] = nil }
  }

  private func cancelWhoseClientGoes(within milliseconds: Int32) {
    let socket = cmhd_watch_wait(clients, milliseconds)
    guard socket >= 0 else { return }
    state.withLock { $0.working[socket] }?.cancel()
  }
}

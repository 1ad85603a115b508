import Foundation

/// A server that cannot be started; says why.
public struct HTTPServerError: Error, CustomStringConvertible, LocalizedError {
  /// One sentence for the person who started it.
  public let description: String
  /// The same.
  public var errorDescription: String? { description }
}

/// A socket that waits for connections.
struct ListeningSocket {
  let descriptor: Int32
  let port: UInt16

  /// - Throws: `HTTPServerError` for a host that is not this machine's or a port that is taken.
  init(host: String, port: UInt16) throws {
    var hints = addrinfo()
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
    hints.ai_socktype = Self.stream
    var found: UnsafeMutablePointer<addrinfo>?
    let failure = getaddrinfo(host, String(port), &hints, &found)
    guard failure == 0, let address = found else {
      throw HTTPServerError(
        description:
          "cannot listen on \(host): \(String(cString: gai_strerror(failure))); give an address of this machine"
      )
    }
    defer { freeaddrinfo(found) }
    let entry = address.pointee
    let descriptor = socket(entry.ai_family, entry.ai_socktype, entry.ai_protocol)
    var yes: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
    guard descriptor >= 0, bind(descriptor, entry.ai_addr, entry.ai_addrlen) == 0,
      listen(descriptor, 1024) == 0
    else {
      let reason = String(cString: strerror(errno))
      if descriptor >= 0 { close(descriptor) }
      throw HTTPServerError(
        description: "cannot listen on \(host) port \(port): \(reason); give another host or port")
    }
    self.descriptor = descriptor
    self.port = Self.port(of: descriptor)
  }

  private static func port(of descriptor: Int32) -> UInt16 {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    return withUnsafeMutablePointer(to: &storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { _ = getsockname(descriptor, $0, &length) }
      return pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
        UInt16(bigEndian: $0.pointee.sin_port)
      }
    }
  }

  #if canImport(Glibc)
    private static let stream = Int32(SOCK_STREAM.rawValue)
  #else
    private static let stream = SOCK_STREAM
  #endif
}

import Foundation
import TestSupport

extension RawClient {
  /// Sends a request on a connection of its own and reads the answer.
  static func ask(port: UInt16, _ method: String, _ path: String, body: Data? = nil, headers: [String] = [])
    throws -> String
  {
    let client = try RawClient(port: port)
    var head = ["\(method) \(path) HTTP/1.1", "Host: localhost", "Connection: close"] + headers
    if let body { head.append("Content-Length: \(body.count)") }
    client.send(head.joined(separator: "\r\n") + "\r\n\r\n")
    if let body { client.send(body) }
    return client.read()
  }
}

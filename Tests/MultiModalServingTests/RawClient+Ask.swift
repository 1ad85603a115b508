import Foundation
import TestSupport

@testable import MultiModalServing

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
    let answer = client.read()
    // What comes from before the service too must be described.
    if let status = answer.split(separator: " ").dropFirst().first.flatMap({ Int($0) }), status >= 400,
      answer.contains("Content-Type: application/json")
    {
      Described(ServingConfiguration(model: "emoji")).check(
        method, path, status: status, type: "application/json", answer: nil)
    }
    return answer
  }
}

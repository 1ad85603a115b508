import Foundation

/// A request as any HTTP server has read it.
public struct ServingRequest: Sendable {
  /// In capitals, such as `POST`.
  public var method: String
  /// Without the query, percent-decoded.
  public var path: String
  /// By names in small letters.
  public var headers: [String: String]
  /// As a whole; empty for none.
  public var body: Data
  /// Why the server before the service has not read it all; that is what it is answered.
  package var refusal: APIError?

  /// - Parameter headers: by names in small letters
  public init(method: String, path: String, headers: [String: String] = [:], body: Data = Data()) {
    self.method = method
    self.path = path
    self.headers = headers
    self.body = body
  }
}

/// What is answered.
public struct ServingResponse: Sendable {
  /// What follows the headers.
  public enum Body: Sendable {
    /// All of it.
    case bytes(Data)
    /// Parts as they come to be. Whoever no longer wants them drops the stream or cancels the task that reads it.
    case stream(AsyncStream<Data>)
  }

  /// From 100 to 599.
  public var status: Int
  /// In the order in which they are sent.
  public var headers: [(name: String, value: String)]
  /// At once, or part by part.
  public var body: Body

  /// - Parameter headers: the length and the date are the server's
  public init(status: Int = 200, headers: [(name: String, value: String)] = [], body: Body) {
    self.status = status
    self.headers = headers
    self.body = body
  }
}

import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

/// A model behind an API that OpenAI's clients speak. Knows nothing of sockets: any HTTP server can hand it requests.
///
///     let service = try ServingService(captioner, ServingConfiguration(model: "emoji"))
///     let response = await service.respond(to: ServingRequest(method: "GET", path: "/v1/models"))
public final class ServingService: Sendable {
  private struct Route: Sendable {
    let name: String
    /// In the order of the `Allow` header.
    let method: String
    var needsKey = true
    let respond: @Sendable (ServingRequest) async throws -> ServingResponse
  }

  private let configuration: ServingConfiguration
  private let engine: ServingEngine
  private let metrics = ServingMetrics()
  private let timeLimit: TimeLimit
  private let created = Int(Date().timeIntervalSince1970)

  /// - Throws: an error in the user's words where limits make no sense.
  public init(_ captioner: Captioner, _ configuration: ServingConfiguration) throws {
    self.configuration = configuration
    timeLimit = TimeLimit(seconds: configuration.limits.seconds)
    engine = try ServingEngine(captioner, configuration.limits)
  }

  /// Answers a request, whatever it is. A task that is cancelled gives up its place at once.
  public func respond(to request: ServingRequest) async -> ServingResponse {
    let began = ContinuousClock.now
    let route = route(request.path)
    var response: ServingResponse
    do {
      response = try await timeLimit.run { try await self.answer(request, route) }
    } catch {
      response = APIError(error).response
    }
    metrics.count(
      route: route?.name ?? "other", status: response.status, seconds: (.now - began) / .seconds(1))
    response.headers.append((name: "X-Request-Id", value: Self.requestID(request.headers["x-request-id"])))
    if let origin = configuration.allowedOrigin {
      response.headers.append((name: "Access-Control-Allow-Origin", value: origin))
      response.headers.append((name: "Access-Control-Expose-Headers", value: "X-Request-Id, Retry-After"))
    }
    return response
  }

  /// Why a request is not for this service, as far as its head tells: then its body need not be taken.
  package func refusal(of request: ServingRequest) -> APIError? { refusal(of: request, route(request.path)) }

  private func refusal(of request: ServingRequest, _ route: Route?) -> APIError? {
    if let hosts = configuration.hosts, let host = request.headers["host"].map(Self.hostName),
      !hosts.contains(host)
    {
      return .unknownHost(host)
    }
    if let keys = configuration.keys, let route, route.needsKey, request.method != "OPTIONS",
      !keys.accept(request.headers["authorization"])
    {
      return .invalidKey
    }
    return nil
  }

  private func answer(_ request: ServingRequest, _ route: Route?) async throws -> ServingResponse {
    if let refusal = refusal(of: request, route) ?? request.refusal { throw refusal }
    guard let route else {
      throw APIError(
        status: 404,
        message: "There is nothing at '\(request.path.quoted(100))': see /openapi.json for what there is.",
        code: "not_found")
    }
    if request.method == "OPTIONS" { return preflight(request, route) }
    guard request.method == route.method || request.method == "HEAD" && route.method == "GET" else {
      throw APIError(
        status: 405, message: "'\(route.name)' is asked for with \(route.method) alone.",
        code: "method_not_allowed",
        headers: ["Allow": "\(route.method), OPTIONS"])
    }
    return try await route.respond(request)
  }

  private func preflight(_ request: ServingRequest, _ route: Route) -> ServingResponse {
    var headers = [(name: "Allow", value: "\(route.method), OPTIONS")]
    if configuration.allowedOrigin != nil {
      headers.append((name: "Access-Control-Allow-Methods", value: "\(route.method), OPTIONS"))
      // OpenAI's library for browsers sends a dozen of its own, and fails where one is not allowed.
      let asked = request.headers["access-control-request-headers"] ?? "Authorization, Content-Type"
      headers.append((name: "Access-Control-Allow-Headers", value: asked))
      headers.append((name: "Access-Control-Max-Age", value: "86400"))
    }
    return ServingResponse(status: 204, headers: headers, body: .bytes(Data()))
  }

  /// A `Host` without its port, in small letters.
  private static func hostName(_ host: String) -> String {
    let end =
      host.hasPrefix("[") ? host.firstIndex(of: "]").map(host.index(after:)) : host.firstIndex(of: ":")
    return host[..<(end ?? host.endIndex)].lowercased()
  }

  /// A client's own if it is one that a log can hold.
  private static func requestID(_ given: String?) -> String {
    if let given, (1...128).contains(given.utf8.count), given.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
    {
      return given
    }
    return "req_" + String(UInt64.random(in: 0 ... .max), radix: 36)
  }

  // MARK: Routes

  /// Paths are known with and without `/v1` and a slash at the end.
  private func route(_ path: String) -> Route? {
    var path = path
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    if path.hasPrefix("/v1/") { path.removeFirst(3) }
    switch path {
    case "/health":
      return Route(name: path, method: "GET", needsKey: false) { _ in ServingResponse(["status": "ok"]) }
    case "/ready":
      return Route(name: path, method: "GET", needsKey: false) { _ in try self.ready() }
    case "/metrics":
      return Route(name: path, method: "GET") { _ in await self.metricsPage() }
    case "/models":
      return Route(name: "/v1/models", method: "GET") { _ in
        ServingResponse(["object": "list", "data": .array([self.model])])
      }
    case let path where path.hasPrefix("/models/"):
      let name = String(path.dropFirst("/models/".count))
      return Route(name: "/v1/models/{id}", method: "GET") { _ in try self.model(name) }
    case "/chat/completions":
      return Route(name: "/v1/chat/completions", method: "POST") { try await self.chat.respond($0.body) }
    case "/explain":
      return Route(name: "/v1/explain", method: "POST") {
        try await ExplainRoute(chat: self.chat).respond($0.body)
      }
    case "/caption":
      return Route(name: "/v1/caption", method: "POST") { request in
        try await CaptionRoute(engine: self.engine, configuration: self.configuration, metrics: self.metrics)
          .respond(request)
      }
    case "/openapi.json":
      return Route(name: path, method: "GET", needsKey: false) { _ in
        ServingResponse(OpenAPI.document(self.configuration))
      }
    default:
      return Page.file(path).map { file in Route(name: path, method: "GET", needsKey: false) { _ in file } }
    }
  }

  private var chat: ChatCompletions {
    ChatCompletions(engine: engine, configuration: configuration, metrics: metrics)
  }

  private func ready() throws -> ServingResponse {
    guard engine.queue.load.waiting < configuration.limits.waitingRequests else {
      throw APIError(
        status: 503, message: "As many requests wait as may: ask again in a second.", type: "server_error",
        code: "overloaded", headers: ["Retry-After": "1"])
    }
    return ServingResponse(["status": "ready"])
  }

  private func metricsPage() async -> ServingResponse {
    ServingResponse(
      headers: [(name: "Content-Type", value: "text/plain; version=0.0.4")],
      body: .bytes(Data(await metrics.text(engine).utf8)))
  }

  private var model: JSONValue {
    [
      "id": .string(configuration.model), "object": "model", "created": .int(created),
      "owned_by": "gpt4mm",
    ]
  }

  private func model(_ name: String) throws -> ServingResponse {
    guard name == configuration.model || configuration.aliases.contains(name) else {
      throw APIError.unknownModel(name, served: configuration.model)
    }
    return ServingResponse(model)
  }
}

extension APIError {
  /// What a request is answered that failed before anything was written.
  init(_ error: any Error) {
    switch error {
    case let error as APIError: self = error
    case is ModelError, is TokenizerError: self = .bad(error.localizedDescription)
    case is CancellationError: self = .cancelled
    default: self = .failure(error)
    }
  }
}

import Foundation
import MultiModalHTTP
import MultiModalPipeline
import MultiModalServing
import Torch

extension Command {
  static let serve = Command(
    name: "serve", summary: "Answer requests over HTTP, as OpenAI's API.",
    options: [
      Option("model", "DIR", default: "Models/emoji", "the model folder"),
      Option("host", "NAME", default: "127.0.0.1", "a name or address of this machine to listen on"),
      Option("port", "N", default: "8080", "the port to listen on; 0 takes any that is free"),
      Option("name", "NAME", "what clients call the model (default: the folder's name)"),
      Option("alias", "NAME", "another name for it; may be given several times"),
      Option("api-keys", "FILE", "answer only who has one of these keys; a line for each holds its SHA-256"),
      Option("tls-cert", "FILE", "serve HTTPS with this certificate and its chain (PEM)"),
      Option("tls-key", "FILE", "the certificate's private key (PEM)"),
      Option("without-key", "listen on a public address although no key is asked for"),
      Option(
        "allow-host", "NAME",
        "a name that requests may have as their Host; may be given several times (default without a key on loopback: "
          + "localhost and its addresses; else any)"),
      Option("allow-origin", "ORIGIN", "let pages of this origin call the API; '*' for any"),
      Option("ignore-text", "pass over what messages say, for models that were not trained with prompts"),
      Option("text-only-answer", "TEXT", "answer this where no picture is given, instead of an error"),
      Option(
        "fetch-urls", "fetch pictures that are given as http or https URLs, from public addresses alone"),
      Option("max-running", "N", default: "64", "texts that are written at once"),
      Option("max-waiting", "N", default: "256", "requests that may wait; more get status 429"),
      Option("max-new-tokens", "N", default: "1024", "the most tokens of a text"),
      Option("max-pixels", "N", default: "50000000", "the most pixels of a picture"),
      Option("max-body", "BYTES", default: "33554432", "the most bytes of a request"),
      Option("max-connections", "N", default: "1000", "connections at once"),
      Option("max-seconds", "X", default: "120", "the longest time of a request"),
      Option("grace", "SECONDS", default: "30", "how long running requests may go on after SIGTERM"),
      Shared.precision, Shared.device, Shared.threads,
      Option("quiet", "write no access log"),
    ],
    details:
      "Point any OpenAI client at http://HOST:PORT/v1; GET /openapi.json says what there is, and the page at / is for trying. "
      + "SIGTERM or Ctrl-C takes no more requests and ends when the running ones have; the second time it ends at once. "
      + "A key's line in the file of keys is what 'printf %s KEY | sha256sum' prints.",
    examples: [
      "gpt4mm serve --model Models/emoji --port 8080",
      "gpt4mm serve --host 0.0.0.0 --api-keys keys.txt --tls-cert cert.pem --tls-key key.pem",
    ],
    runsForWeeks: true
  ) { arguments in
    let http = try httpConfiguration(arguments)
    let model = url(try arguments.required("model"))
    var configuration = try servingConfiguration(arguments, folder: model)
    configuration.hosts = hosts(arguments, http)
    if arguments.flag("fetch-urls") {
      let fetcher = PictureFetcher(maxBytes: http.maxBodyBytes)
      configuration.fetchPicture = { try await fetcher($0) }
    }
    let grace = try arguments.double("grace") ?? 0
    guard grace >= 0, grace.isFinite else { throw UsageError("--grace must be at least 0, got \(grace)") }
    try refuseOpenDoor(arguments, http)
    let device = try Shared.machine(arguments)
    let captioner = try Captioner(contentsOf: model, precision: Shared.precision(arguments), device: device)
    let service = try ServingService(captioner, configuration)
    let isQuiet = arguments.flag("quiet")
    Interruption.shared.savesFromNow()
    let server = try HTTPServer(
      http, log: { if !isQuiet { log($0) } }, refusal: { service.refusal(of: $0) },
      respond: { await service.respond(to: $0) })
    let host = http.host.contains(":") ? "[\(http.host)]" : http.host
    Terminal.note(
      "serving \(configuration.model) at \(http.tls == nil ? "http" : "https")://\(host):\(server.port)/v1")
    while !Task.isCancelled {
      try? await Task.sleep(for: .seconds(10))
      LibTorch.giveBackFreeMemory()
    }
    Terminal.note("stopping: running requests may take \(Int(grace)) s more")
    await server.stop(grace: .seconds(grace))
  }

  private static func httpConfiguration(_ arguments: Arguments) throws -> HTTPServerConfiguration {
    var http = HTTPServerConfiguration()
    http.host = try arguments.required("host")
    guard let port = try arguments.int("port").flatMap({ UInt16(exactly: $0) }) else {
      throw UsageError("--port must be from 0 to 65535, got '\(arguments.string("port") ?? "")'")
    }
    http.port = port
    http.maxBodyBytes = try arguments.positive("max-body")
    http.maxHeldBytes = max(http.maxHeldBytes, http.maxBodyBytes)
    http.maxConnections = try arguments.positive("max-connections")
    switch (arguments.string("tls-cert"), arguments.string("tls-key")) {
    case (nil, nil): break
    case (let certificate?, let key?):
      http.tls = .init(certificate: try text(certificate), privateKey: try text(key))
    default: throw UsageError("--tls-cert and --tls-key belong together: give both")
    }
    return http
  }

  private static func servingConfiguration(_ arguments: Arguments, folder: URL) throws -> ServingConfiguration
  {
    var configuration = ServingConfiguration(
      model: arguments.string("name") ?? folder.standardizedFileURL.lastPathComponent)
    configuration.aliases = arguments.strings("alias")
    configuration.usesPrompts = !arguments.flag("ignore-text")
    configuration.textOnlyAnswer = arguments.string("text-only-answer")
    configuration.allowedOrigin = arguments.string("allow-origin")
    if let file = arguments.string("api-keys") {
      do { configuration.keys = try APIKeys(text(file)) } catch let error as APIKeyError {
        throw UsageError("--api-keys \(file): \(error)")
      }
    }
    configuration.limits.runningTexts = try arguments.positive("max-running")
    configuration.limits.waitingRequests = try arguments.positive("max-waiting")
    configuration.limits.newTokens = try arguments.positive("max-new-tokens")
    configuration.limits.pixels = try arguments.positive("max-pixels")
    let seconds = try arguments.double("max-seconds") ?? 0
    guard seconds > 0, seconds <= 1e6 else {
      throw UsageError("--max-seconds must be above 0 and at most 1000000, got \(seconds)")
    }
    configuration.limits.seconds = seconds
    return configuration
  }

  private static func text(_ path: String) throws -> String {
    let bytes = try InputFile.read(url(path), atMost: InputFile.longestSettings)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw UsageError("\(path) is no text in UTF-8")
    }
    return text
  }

  private static let loopback: Set = ["127.0.0.1", "localhost", "::1"]

  /// Without a key any page in a browser of this machine could ask, once its site's name leads to loopback.
  private static func hosts(_ arguments: Arguments, _ http: HTTPServerConfiguration) -> Set<String>? {
    let given = Set(arguments.strings("allow-host").map { $0.lowercased() })
    let isOpen = arguments.string("api-keys") == nil && loopback.contains(http.host)
    return isOpen || !given.isEmpty ? given.union(["127.0.0.1", "localhost", "[::1]"]) : nil
  }

  /// Whoever reaches the port could use the model.
  private static func refuseOpenDoor(_ arguments: Arguments, _ http: HTTPServerConfiguration) throws {
    guard arguments.string("api-keys") == nil, !arguments.flag("without-key"), !loopback.contains(http.host)
    else {
      return
    }
    throw UsageError(
      "--host \(http.host) can be reached by others, but no key is asked for: give --api-keys FILE, or --without-key if they may"
    )
  }

  private struct LogLine: Encodable {
    let time: String
    let client: String
    let method: String
    let path: String
    let status: Int
    let complete: Bool
    let bytes: Int
    let milliseconds: Double
    let requestId: String
  }

  /// A line of JSON, which has no control characters.
  private static func log(_ record: HTTPServer.Record) {
    let line = LogLine(
      time: Date.now.ISO8601Format(), client: record.client, method: String(record.method.prefix(20)),
      path: String(record.path.prefix(200)), status: record.status ?? 499, complete: record.isComplete,
      bytes: record.bytes, milliseconds: (record.seconds * 100_000).rounded() / 100,
      requestId: record.requestID ?? "")
    if let text = try? Shared.encode(line) { Terminal.note(text) }
  }
}

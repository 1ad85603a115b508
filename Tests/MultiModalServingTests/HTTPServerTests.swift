import Foundation
import MultiModalHTTP
import MultiModalModel
import Synchronization
import TestSupport
import Testing

@testable import MultiModalServing

/// The server before the service: what comes over sockets, and what becomes of it.
@Suite struct HTTPServerTests {
  private func server(
    _ served: Served, _ change: (inout HTTPServerConfiguration) -> Void = { _ in },
    log: @escaping @Sendable (HTTPServer.Record) -> Void = { _ in }
  ) throws -> HTTPServer {
    var configuration = HTTPServerConfiguration()
    configuration.port = 0
    change(&configuration)
    return try HTTPServer(
      configuration, log: log, refusal: { served.refusal(of: $0) }, respond: { await served.respond(to: $0) })
  }

  private let chat = "/v1/chat/completions"

  @Test func anAnswerAndAStreamComeOverTheWire() async throws {
    let server = try server(Served.emoji())
    let whole = try RawClient.ask(port: server.port, "POST", chat, body: Served.body().data)
    #expect(whole.hasPrefix("HTTP/1.1 200 OK\r\n"))
    #expect(whole.contains(#""content":"owl""#))
    let stream = try RawClient.ask(port: server.port, "POST", chat, body: Served.body(["stream": true]).data)
    #expect(stream.contains("Content-Type: text/event-stream"))
    #expect(stream.contains("X-Accel-Buffering: no"))
    #expect(stream.contains("Transfer-Encoding: chunked"))
    #expect(stream.contains("data: [DONE]\n\n"))
    await server.stop(grace: .seconds(1))
  }

  @Test func bodiesComeInChunksAndAfterALeaveToSendThem() async throws {
    let server = try server(Served.emoji())
    let body = try Served.body().data
    let chunked = try RawClient(port: server.port)
    chunked.send(
      "POST \(chat) HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
    for start in stride(from: 0, to: body.count, by: 1000) {
      let part = body[start..<min(start + 1000, body.count)]
      chunked.send("\(String(part.count, radix: 16))\r\n")
      chunked.send(Data(part))
      chunked.send("\r\n")
    }
    chunked.send("0\r\n\r\n")
    #expect(chunked.read().contains(#""content":"owl""#))

    let expecting = try RawClient(port: server.port)
    expecting.send(
      "POST \(chat) HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: \(body.count)\r\n\r\n"
    )
    #expect(expecting.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 100 Continue"))
    expecting.send(body)
    #expect(expecting.read().contains(#""content":"owl""#))
    await server.stop(grace: .seconds(1))
  }

  @Test func withoutAKeyABodyIsNotTaken() async throws {
    let served = try Served.emoji { $0.keys = try? APIKeys(String(repeating: "a", count: 64)) }
    let server = try server(served)
    let waiting = try RawClient(port: server.port)
    waiting.send(
      "POST \(chat) HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 9000000\r\n\r\n"
    )
    let refused = waiting.read()
    #expect(refused.hasPrefix("HTTP/1.1 401") && refused.contains("invalid_api_key"))
    // Who sends without waiting hears it at the end.
    let sending = try RawClient(port: server.port)
    sending.send("POST \(chat) HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 200000\r\n\r\n")
    sending.send(Data(repeating: 0x20, count: 200_000))
    #expect(sending.read().hasPrefix("HTTP/1.1 401"))
    await server.stop(grace: .seconds(1))
  }

  /// With pictures, options and seeds of their own.
  @Test(arguments: ["own", "bert"]) func sixteenAtOnceGetWhatEachGetsAlone(family: String) async throws {
    let served = try family == "own" ? Served.long() : .bert()
    let server = try server(served)
    let bodies = try (0..<16).map { index in
      let data = try Served.pattern(index).base64EncodedString()
      return try Served.body(
        [
          "seed": .int(index), "temperature": index % 3 == 0 ? 0 : .double(Double(1 + index % 4) / 2),
          "max_tokens": .int(4 + index),
          "n": .int(1 + index % 3), "logprobs": true, "top_logprobs": 2,
          "top_p": .double(index % 5 == 0 ? 0.7 : 1), "presence_penalty": .double(Double(index) / 16),
          "stop": index % 2 == 0 ? nil : ["word7"],
        ], url: "data:image/png;base64,\(data)"
      ).data
    }
    /// All are sent before the first answer is read.
    func choices(_ bodies: some Collection<Data>) throws -> [JSONValue] {
      try bodies.map { body in
        let client = try RawClient(port: server.port)
        client.send(
          "POST \(chat) HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: \(body.count)\r\n\r\n")
        client.send(body)
        return client
      }.map { client in
        let answer = client.read().components(separatedBy: "\r\n\r\n")
        return try JSONDecoder().decode(JSONValue.self, from: Data(try #require(answer.last).utf8))["choices"]
      }
    }
    let alone = try bodies.flatMap { try choices([$0]) }
    let before = await served.captioner.counts
    #expect(try choices(bodies) == alone)
    let after = await served.captioner.counts
    #expect(after.tokens - before.tokens > 2 * (after.steps - before.steps))
    #expect(Set(alone.map { String(decoding: $0.data, as: UTF8.self) }).count == 16)
    #expect(alone.enumerated().allSatisfy { $1.count == 1 + $0 % 3 })
    await server.stop(grace: .seconds(1))
  }

  @Test func aConnectionServesOneRequestAfterTheOther() async throws {
    let server = try server(Served.emoji { $0.model = "a/b" })
    let client = try RawClient(port: server.port)
    for _ in 0..<3 {
      client.send("GET /v1/models/a%2Fb HTTP/1.1\r\nHost: a\r\n\r\n")
      #expect(client.read(until: "}").contains(#""id":"a/b""#))
    }
    await server.stop(grace: .seconds(1))
  }

  @Test func spacesAroundAHeadersValueAreNotPartOfIt() async throws {
    let server = try server(Served.emoji { $0.hosts = ["a"] })
    let client = try RawClient(port: server.port)
    client.send("GET /health HTTP/1.1\r\nHost: \t a \t \r\n\r\n")
    #expect(client.read(until: "}").hasPrefix("HTTP/1.1 200 "))
    await server.stop(grace: .zero)
  }

  @Test func whatIsTooLargeIsA413() async throws {
    let server = try server(Served.emoji()) { $0.maxBodyBytes = 10_000 }
    for size in [20_000, 1_000_000] {
      let answer = try RawClient.ask(
        port: server.port, "POST", chat, body: Data(repeating: 0x20, count: size),
        headers: ["Expect: 100-continue"])
      #expect(answer.hasPrefix("HTTP/1.1 413 "))
      #expect(answer.contains(#""code":"body_too_large""#))
      #expect(answer.contains("X-Request-Id: req_"))
    }
    // Without a word before, what is not much too large is read to its end, so that the client sees the answer.
    let answer = try RawClient.ask(
      port: server.port, "POST", chat, body: Data(repeating: 0x20, count: 30_000))
    #expect(answer.hasPrefix("HTTP/1.1 413 ") && answer.contains("X-Request-Id: req_"))
    let headers = try RawClient.ask(
      port: server.port, "GET", "/health", headers: ["X-Long: \(String(repeating: "a", count: 100_000))"])
    #expect(headers.hasPrefix("HTTP/1.1 431 "))
    #expect(try RawClient.ask(port: server.port, "GET", "/health").contains("ok"))
    await server.stop(grace: .seconds(1))
  }

  @Test func aClientThatGoesEndsItsRequest() async throws {
    let served = try Served.long { $0.limits.runningTexts = 1 }
    let server = try server(served)
    for fields in [[:], ["stream": true]] as [[String: JSONValue]] {
      let before = await served.captioner.counts.steps
      var client: RawClient? = try RawClient(port: server.port)
      let body = try served.endless(tokens: 19_000, fields).data
      client?.send("POST \(chat) HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.count)\r\n\r\n")
      client?.send(body)
      while await served.captioner.counts.steps < before + 5 { try await Task.sleep(for: .milliseconds(1)) }
      client = nil
      // The only place is free again long before the text would have ended.
      let answer = try RawClient.ask(port: server.port, "POST", chat, body: served.endless(tokens: 1).data)
      #expect(answer.hasPrefix("HTTP/1.1 200 "))
      #expect(await served.captioner.counts.steps < before + 10_000)
    }
    await server.stop(grace: .seconds(1))
  }

  /// On the wire a client that closes its side alone is like one that has gone.
  @Test func aClientThatClosesItsSideGetsNothingThatLooksWhole() async throws {
    let served = try Served.long { $0.limits.runningTexts = 1 }
    let server = try server(served)
    for fields in [[:], ["stream": true]] as [[String: JSONValue]] {
      let before = await served.captioner.counts.steps
      let client = try RawClient(port: server.port)
      let body = try served.endless(tokens: 19_000, fields).data
      client.send("POST \(chat) HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.count)\r\n\r\n")
      client.send(body)
      while await served.captioner.counts.steps < before + 5 { try await Task.sleep(for: .milliseconds(1)) }
      client.closeWriting()
      let answer = client.read()
      #expect(
        fields.isEmpty ? answer.contains(#""code":"cancelled""#) : !answer.hasSuffix("\r\n0\r\n\r\n"))
      #expect(await served.captioner.counts.steps < before + 10_000)
    }
    await server.stop(grace: .seconds(1))
  }

  @Test func whoSendsTooSlowlyIsCutOff() async throws {
    let server = try server(Served.emoji()) { $0.clientTimeout = 1 }
    let client = try RawClient(port: server.port)
    client.send("POST \(chat) HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
    let dripping = Task {
      while !Task.isCancelled {
        client.send(" ")
        try await Task.sleep(for: .milliseconds(100))
      }
    }
    let began = ContinuousClock.now
    #expect(client.read() == "")
    #expect(ContinuousClock.now - began < .seconds(5))
    dripping.cancel()
    await server.stop(grace: .seconds(1))
  }

  @Test func whoReadsTooSlowlyIsCutOff() async throws {
    var configuration = HTTPServerConfiguration()
    configuration.port = 0
    configuration.clientTimeout = 1
    let part = Data(count: 1 << 20)
    let server = try HTTPServer(configuration) { request in
      let parts = AsyncStream { parts in
        for _ in 0..<64 { parts.yield(part) }
        parts.finish()
      }
      return ServingResponse(body: request.path == "/stream" ? .stream(parts) : .bytes(Data(count: 64 << 20)))
    }
    for path in ["/bytes", "/stream"] {
      let client = try RawClient(port: server.port)
      client.send("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
      let began = ContinuousClock.now
      // A little at a time, so that the connection is never idle.
      var count = 0
      while case let more = client.read(atMost: 1 << 18), more > 0 {
        count += more
        try await Task.sleep(for: .milliseconds(50))
      }
      #expect(count < 64 << 20)
      #expect(ContinuousClock.now - began < .seconds(8))
    }
    await server.stop(grace: .zero)
  }

  @Test func moreThanIsHeldOfAllBodiesIsA429() async throws {
    let server = try server(Served.emoji()) {
      $0.maxBodyBytes = 10_000
      $0.maxHeldBytes = 15_000
    }
    let first = try RawClient(port: server.port)
    first.send("POST \(chat) HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 10000\r\n\r\n")
    first.send(Data(repeating: 0x20, count: 9999))
    try await Task.sleep(for: .milliseconds(100))
    let body = Data(repeating: 0x20, count: 9000)
    let answer = try RawClient.ask(port: server.port, "POST", chat, body: body)
    #expect(answer.hasPrefix("HTTP/1.1 429 "))
    #expect(answer.contains("Retry-After: 1") && answer.contains(#""code":"overloaded""#))
    first.send(" ")
    #expect(first.read().hasPrefix("HTTP/1.1 400 "))
    #expect(try RawClient.ask(port: server.port, "POST", chat, body: body).hasPrefix("HTTP/1.1 400 "))
    await server.stop(grace: .seconds(1))
  }

  @Test func stoppingLetsRunningRequestsEndAndTakesNoMore() async throws {
    let served = try Served.long()
    let server = try server(served)
    let body = try served.endless(tokens: 300, ["stream": true]).data
    async let running = Task.detached { [chat, port = server.port] in
      try RawClient.ask(port: port, "POST", chat, body: body)
    }.value
    while await served.captioner.counts.steps < 3 { try await Task.sleep(for: .milliseconds(1)) }
    await server.stop(grace: .seconds(20))
    let answer = try await running
    #expect(answer.contains(#""finish_reason":"length""#))
    #expect(answer.contains("data: [DONE]"))
    #expect(throws: POSIXError.self) { try RawClient(port: server.port) }
  }

  @Test(arguments: [true, false]) func stoppingEndsWhatTakesLongerThanItsGrace(isStream: Bool) async throws {
    let served = try Served.long()
    let server = try server(served)
    let body = try served.endless(tokens: 19_000, ["stream": .bool(isStream)]).data
    async let running = Task.detached { [chat, port = server.port] in
      try RawClient.ask(port: port, "POST", chat, body: body)
    }.value
    while await served.captioner.counts.steps < 3 { try await Task.sleep(for: .milliseconds(1)) }
    let began = ContinuousClock.now
    await server.stop(grace: .milliseconds(100))
    #expect(ContinuousClock.now - began < .seconds(5))
    let answer = try await running
    #expect(answer.contains(#""code":"stopping""#))
    if isStream {
      // Cut off, so that nobody takes it for the whole.
      #expect(answer.hasPrefix("HTTP/1.1 200 ") && !answer.hasSuffix("\r\n0\r\n\r\n"))
    } else {
      // As a proxy needs it to ask another.
      #expect(answer.hasPrefix("HTTP/1.1 503 ") && answer.contains("Retry-After: 1"))
      #expect(answer.contains("X-Request-Id: req_"))
    }
  }

  @Test func moreConnectionsThanMayBeWaitForOneToEnd() async throws {
    let server = try server(Served.emoji()) { $0.maxConnections = 2 }
    let health = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
    var clients = try (0..<2).map { _ in try RawClient(port: server.port) }
    for client in clients {
      client.send(health)
      #expect(client.read(until: "}").contains("ok"))
    }
    let third = try RawClient(port: server.port)
    third.send(health)
    let answer = Task.detached { (text: third.read(until: "}"), at: ContinuousClock.now) }
    try await Task.sleep(for: .milliseconds(200))
    let ended = ContinuousClock.now
    clients.removeFirst()
    #expect(await answer.value.text.contains("ok"))
    #expect(await answer.value.at > ended)
    await server.stop(grace: .zero)
  }

  @Test func whatIsNoRequestEndsNothing() async throws {
    let server = try server(Served.emoji())
    var random = SystemRandomNumberGenerator()
    let bytes = Data((0..<5000).map { _ in UInt8.random(in: 0...255, using: &random) })
    let requests = [
      Data("\r\n\r\n".utf8), Data("GET\r\n\r\n".utf8), bytes,
      Data("POST \(chat) HTTP/1.1\r\nContent-Length: -5\r\n\r\n".utf8),
      Data("GET /%00%ff HTTP/1.1\r\nHost: a\r\n\r\n".utf8), Data("GET / HTTP/9.9\r\nHost: a\r\n\r\n".utf8),
    ]
    for garbage in requests {
      let client = try RawClient(port: server.port)
      client.send(garbage)
    }
    #expect(try RawClient.ask(port: server.port, "GET", "/health").contains("ok"))
    await server.stop(grace: .seconds(1))
  }

  @Test func theAccessLogSaysWhoAskedForWhat() async throws {
    let records = Mutex<[HTTPServer.Record]>([])
    let server = try server(Served.emoji(), log: { record in records.withLock { $0.append(record) } })
    _ = try RawClient.ask(port: server.port, "GET", "/v1/models/x", headers: ["X-Request-Id: abc"])
    await server.stop(grace: .seconds(1))
    let record = try #require(records.withLock { $0.first })
    #expect(record.client == "127.0.0.1")
    #expect((record.method, record.path) == ("GET", "/v1/models/x"))
    #expect(record.status == 404 && record.isComplete && record.bytes > 0)
    #expect(record.requestID == "abc")
  }

  @Test func aPortThatIsTakenAndAHostThatIsNotOursAreSaid() async throws {
    let server = try server(Served.emoji())
    #expect(throws: HTTPServerError.self) { try self.server(Served.emoji()) { $0.port = server.port } }
    #expect(throws: HTTPServerError.self) { try self.server(Served.emoji()) { $0.host = "192.0.2.1" } }
    #expect(throws: HTTPServerError.self) {
      try self.server(Served.emoji()) { $0.tls = .init(certificate: "x", privateKey: "y") }
    }
    await server.stop(grace: .seconds(1))
  }
}

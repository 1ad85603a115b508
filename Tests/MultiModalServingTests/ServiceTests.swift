import Foundation
import MultiModalModel
import MultiModalPipeline
import TestSupport
import Testing
import Torch

@testable import MultiModalServing

/// The service around the chat: its routes, keys, limits and counts.
@Suite struct ServiceTests {
  @Test(arguments: ["/v1/models", "/models", "/v1/models/"]) func modelsAreListed(path: String) async throws {
    let (status, json) = try await Served.emoji().get(path)
    #expect(status == 200)
    #expect(json["object"].text == "list")
    #expect(json["data"][0].names == ["id", "object", "created", "owned_by"])
    #expect(json["data"][0]["id"].text == "emoji")
  }

  @Test func aModelsNameMayHaveSlashes() async throws {
    let served = try Served.emoji { $0.model = "org/emoji" }
    #expect(try await served.get("/v1/models/org/emoji").json["id"].text == "org/emoji")
    let (status, json) = try await served.get("/v1/models/emoji")
    #expect(status == 404)
    #expect(json["error"]["code"].text == "model_not_found")
  }

  @Test func whatIsNotThereHasOpenAIsShapeToo() async throws {
    let served = try Served.emoji()
    for path in ["/v1/responses", "/v1/embeddings", "/x", "/v1"] {
      let (status, json) = try await served.get(path)
      #expect(status == 404)
      #expect(json["error"].names == ["message", "type", "param", "code"])
    }
    let response = await served.respond(
      to: ServingRequest(method: "DELETE", path: "/v1/chat/completions"))
    #expect(response.status == 405)
    #expect(response.headers.contains { $0.name == "Allow" && $0.value == "POST, OPTIONS" })
  }

  @Test func keysAreAskedForWhereThereAreAny() async throws {
    // The SHA-256 of "secret" and of "other".
    let keys = try APIKeys(
      """
      # keys
      2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b  ours
      d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa
      """)
    let served = try Served.emoji { $0.keys = keys }
    for header in [nil, "Bearer wrong", "Basic secret", "secret", "Bearer "] {
      let (status, json) = try await served.get(
        "/v1/models", headers: header.map { ["authorization": $0] } ?? [:])
      #expect(status == 401)
      #expect(json["error"]["code"].text == "invalid_api_key")
    }
    for header in ["Bearer secret", "bearer other"] {
      #expect(try await served.get("/v1/models", headers: ["authorization": header]).status == 200)
    }
    #expect(try await served.get("/health").status == 200)
    // Without keys anything goes, because clients insist on sending one.
    #expect(try await Served.emoji().get("/v1/models", headers: ["authorization": "Bearer x"]).status == 200)
    #expect(throws: APIKeyError.self) { try APIKeys("secret") }
    #expect(throws: APIKeyError.self) { try APIKeys("# none\n") }
  }

  @Test func aHostThatIsNoneOfTheServersNamesIsRefused() async throws {
    let served = try Served.emoji { $0.hosts = ["localhost", "127.0.0.1", "[::1]"] }
    for host in ["localhost", "LocalHost:8080", "127.0.0.1:80", "[::1]", "[::1]:8080", nil] {
      let headers = host.map { ["host": $0] } ?? [:]
      #expect(try await served.get("/v1/models", headers: headers).status == 200)
    }
    for host in [
      "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::2]",
    ] {
      for path in ["/", "/v1/models", "/health", "/metrics"] {
        let (status, json) = try await served.get(path, headers: ["host": host])
        #expect(status == 403)
        #expect(json["error"]["code"].text == "host_not_allowed")
      }
    }
    #expect(try await Served.emoji().get("/v1/models", headers: ["host": "evil.example"]).status == 200)
  }

  @Test func otherSitesMayCallWhereThatIsSaid() async throws {
    let request = ServingRequest(
      method: "OPTIONS", path: "/v1/chat/completions",
      headers: [
        "origin": "https://a.b", "access-control-request-headers": "authorization,x-stainless-lang",
      ])
    let closed = await (try Served.emoji()).respond(to: request)
    #expect(closed.status == 204)
    #expect(!closed.headers.contains { $0.name.hasPrefix("Access-Control") })
    let open = await (try Served.emoji { $0.allowedOrigin = "https://a.b" }).respond(to: request)
    #expect(open.headers.contains { $0.name == "Access-Control-Allow-Origin" && $0.value == "https://a.b" })
    #expect(
      open.headers.contains {
        $0.name == "Access-Control-Allow-Headers" && $0.value == "authorization,x-stainless-lang"
      })
  }

  @Test func aRequestsIDIsTheClientsWhereALogCanHoldIt() async throws {
    let served = try Served.emoji()
    func id(_ given: String?) async -> String? {
      let response = await served.respond(
        to: ServingRequest(method: "GET", path: "/health", headers: given.map { ["x-request-id": $0] } ?? [:])
      )
      return response.headers.first { $0.name == "X-Request-Id" }?.value
    }
    #expect(await id("abc-1") == "abc-1")
    for bad in [nil, "", "a b", "a\u{7}", String(repeating: "a", count: 129)] {
      #expect(await id(bad)?.hasPrefix("req_") == true)
    }
  }

  @Test func moreThanMayWaitAreRefusedAndTheOthersAnswered() async throws {
    let served = try Served.long {
      $0.limits.runningTexts = 1
      $0.limits.waitingRequests = 1
    }
    let body = try served.endless(tokens: 400)
    let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
      for _ in 0..<4 { group.addTask { try await served.chat(body).status } }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(statuses.sorted() == [200, 200, 429, 429])
    let response = APIError.overloaded.response
    #expect(response.headers.contains { $0.name == "Retry-After" })
    #expect(try await served.chat(served.endless(tokens: 1)).status == 200)
  }

  @Test func aRequestThatTakesTooLongEndsWithAnErrorAndFreesItsPlace() async throws {
    let served = try Served.long {
      $0.limits.seconds = 0.2
      $0.limits.runningTexts = 1
    }
    let (status, json) = try await served.chat(served.endless(tokens: 19_000))
    #expect(status == 503)
    #expect(json["error"]["code"].text == "timeout")
    let events = try await served.events(served.endless(tokens: 19_000, ["stream": true]))
    #expect(events.last?["error"]["code"].text == "timeout")
    #expect(try await served.chat(served.endless(tokens: 1)).status == 200)
  }

  @Test func whoGoesFreesItsPlace() async throws {
    let served = try Served.long { $0.limits.runningTexts = 1 }
    let body = try served.endless(tokens: 19_000)
    let gone = Task { try await served.chat(body) }
    while await served.captioner.counts.steps < 3 { try await Task.sleep(for: .milliseconds(1)) }
    gone.cancel()
    #expect(try await gone.value.status == 499)
    #expect(try await served.chat(served.endless(tokens: 1)).status == 200)
    let steps = await served.captioner.counts.steps
    try await Task.sleep(for: .milliseconds(20))
    #expect(await served.captioner.counts.steps == steps)
  }

  @Test func aPictureThatNobodyWaitsForIsNotEncoded() async throws {
    let captioner = try Served.long().captioner
    let cache = PictureCache(captioner, processor: captioner.processor, capacity: 1 << 20)
    let picture = try Served.picture(1)
    func ask(_ number: UInt8) -> Task<PictureCache.Seen, any Error> {
      // What lies behind a JPEG's end makes it another one for the cache alone.
      Task { try await cache.picture(picture + [number]) }
    }
    let gone = (0..<40).map { ask($0) }
    let stays = ask(39)
    for task in gone { task.cancel() }
    for task in gone { _ = try? await task.value }
    #expect(try await stays.value.bytes > 0)
    #expect(await captioner.counts.pictures < 20)
  }

  @Test func whileLargePicturesAreDecodedOthersAreAnswered() async throws {
    let served = try Served.emoji()
    let side = 5000
    let large = try Picture(
      height: side, width: side, channels: 3, pixels: [UInt8](repeating: 7, count: 3 * side * side)
    ).png()
    let count = 4 * ProcessInfo.processInfo.activeProcessorCount
    let before = await served.captioner.counts.pictures
    let captions = (0..<count).map { index in
      Task {
        // What lies behind a PNG's end makes it another one for the cache alone.
        try await served.ask(
          ServingRequest(
            method: "POST", path: "/v1/caption", body: large + withUnsafeBytes(of: index) { Data($0) })
        ).status
      }
    }
    var answers = 0
    while await served.captioner.counts.pictures - before < count {
      #expect(try await served.get("/health").status == 200)
      answers += 1
      try await Task.sleep(for: .milliseconds(1))
    }
    #expect(answers > 4 * count)
    for caption in captions { #expect(try await caption.value == 200) }
  }

  @Test func theSamePictureIsEncodedOnceAndTextsDoNotDependOnTheirNeighbours() async throws {
    let served = try Served.long()
    func body(_ index: Int) throws -> JSONValue {
      try served.endless(
        tokens: 20 + index,
        [
          "seed": .int(index), "temperature": index % 2 == 0 ? 0 : 1,
          "presence_penalty": .double(Double(index) / 16),
          "logprobs": true,
        ])
    }
    func choices(_ index: Int) async throws -> JSONValue {
      try await served.chat(body(index)).json["choices"]
    }
    var alone: [JSONValue] = []
    for index in 0..<16 { alone.append(try await choices(index)) }
    let together = try await withThrowingTaskGroup(of: (Int, JSONValue).self) { group in
      for index in 0..<16 { group.addTask { (index, try await choices(index)) } }
      return try await group.reduce(into: [Int: JSONValue]()) { $0[$1.0] = $1.1 }
    }
    for index in 0..<16 { #expect(together[index] == alone[index]) }
    #expect(await served.captioner.counts.pictures == 1)
  }

  @Test func metricsAreWhatPrometheusReads() async throws {
    let served = try Served.emoji()
    _ = try await served.chat(Served.body())
    _ = try await served.chat(Served.body(["n": 0]))
    let response = await served.respond(to: ServingRequest(method: "GET", path: "/metrics"))
    guard case .bytes(let bytes) = response.body else { return }
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    #expect(lines.contains(#"gpt4mm_requests_total{route="/v1/chat/completions",status="200"} 1"#))
    #expect(lines.contains(#"gpt4mm_requests_total{route="/v1/chat/completions",status="400"} 1"#))
    #expect(lines.contains("gpt4mm_tokens_total 3"))
    #expect(lines.contains(#"gpt4mm_request_seconds_bucket{le="+Inf"} 2"#))
    #expect(lines.contains("gpt4mm_texts_running 0"))
    for line in lines where !line.hasPrefix("#") {
      #expect(line.wholeMatch(of: /[a-z0-9_]+(\{[^}]*\})? [-+.e0-9]+/) != nil, "\(line)")
    }
  }

  @Test func aPictureAloneOrInAFormIsCaptioned() async throws {
    let served = try Served.emoji()
    let picture = try Served.picture(1)
    func caption(_ body: Data, _ type: String) async throws -> (status: Int, json: JSONValue) {
      try await served.ask(
        ServingRequest(method: "POST", path: "/v1/caption", headers: ["content-type": type], body: body))
    }
    let plain = try await caption(picture, "image/jpeg")
    #expect(plain.json == ["model": "emoji", "text": "owl", "tokens": 3, "finish_reason": "stop"])
    func form(_ name: String, end: String = "--") -> Data {
      Data("--x\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n\r\n--x\r\n".utf8)
        + Data(
          "Content-Disposition: form-data; name=\"\(name)\"; filename=\"a\"\r\nContent-Type: image/png\r\n\r\n"
            .utf8)
        + picture + Data("\r\n--x\(end)\r\n".utf8)
    }
    let type = "multipart/form-data; boundary=\"x\""
    #expect(try await caption(form("image"), type).json["text"].text == "owl")
    #expect(try await caption(form("other"), type).json["error"]["code"].text == "image_required")
    #expect(try await caption(form("image", end: ""), type).json["error"]["code"].text == "invalid_form")
    #expect(
      try await caption(form("image"), "multipart/form-data").json["error"]["code"].text == "invalid_form")
    let part = "--x\r\nContent-Disposition: form-data; name=\"image\"\r\n"
    let hostile = [
      String(repeating: part + "\r\n\r\n", count: 100_000) + "--x--",
      part + String(repeating: "a: b\r\n", count: 1_000_000) + "\r\n\r\n--x--",
    ]
    for body in hostile {
      #expect(try await caption(Data(body.utf8), type).json["error"]["code"].text == "invalid_form")
    }
    #expect(try await caption(Data(), "image/png").status == 400)
    #expect(try await caption(picture.prefix(500), "image/png").json["error"]["code"].text == "invalid_image")
  }

  @Test func theDescriptionNamesEveryRoute() async throws {
    let served = try Served.emoji()
    let paths = try await served.get("/openapi.json").json["paths"]
    for path in paths.names {
      let method = paths[path].names.contains("post") ? "POST" : "GET"
      let asked = path.replacingOccurrences(of: "{id}", with: "emoji")
      let response = await served.respond(to: ServingRequest(method: method, path: asked))
      #expect(![404, 405].contains(response.status), "\(path)")
    }
  }

  @Test func anExplanationSaysWhereTheDecoderLookedForEachTokenOfTheAnswer() async throws {
    let served = try Served.emoji()
    let (status, json) = try await served.ask(
      ServingRequest(method: "POST", path: "/v1/explain", body: Served.body(["logprobs": true]).data))
    #expect(status == 200)
    #expect(json["text"].text == "owl")
    #expect((json["rows"], json["columns"]) == (6, 6))
    #expect(json["tokens"].count == 3)
    let whole = try await served.chat(Served.body(["logprobs": true])).json["choices"][0]["logprobs"][
      "content"]
    #expect(json["tokens"][0]["logprob"] == whole[0]["logprob"])
    for index in 0..<3 {
      guard case .array(let weights) = json["tokens"][index]["attention"] else { continue }
      let sum = weights.reduce(0.0) { if case .double(let weight) = $1 { $0 + weight } else { $0 } }
      #expect(weights.count == 36 && abs(sum - 1) < 1e-4)
    }
    let seen = try #require(json["seen"].text.flatMap { DataURL.bytes($0) })
    #expect(try Picture(bytes: seen).width == 60)
  }

  @Test func anExplanationTakesItsPictureFromWhereTheChatPutIt() async throws {
    let served = try Served.long()
    _ = try await served.chat(served.endless(tokens: 1))
    let (status, json) = try await served.ask(
      ServingRequest(method: "POST", path: "/v1/explain", body: served.endless(tokens: 300).data))
    #expect(status == 200)
    #expect(json["tokens"].count == 300)
    #expect(await served.captioner.counts.pictures == 1)
  }

  @Test func manyTextsAreExplainedBesideOneThatRuns() async throws {
    let served = try Served.long { $0.limits.runningTexts = 3 }
    let body = try served.endless(tokens: 300)
    let steps = Task { try await served.chat(served.endless(tokens: 19_000)) }
    let explanations = try await withThrowingTaskGroup(of: JSONValue.self) { group in
      for _ in 0..<4 {
        group.addTask {
          try await served.ask(ServingRequest(method: "POST", path: "/v1/explain", body: body.data)).json
        }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(explanations.allSatisfy { $0["tokens"].count == 300 && $0 == explanations[0] })
    steps.cancel()
    #expect(try await steps.value.status == 499)
  }

  @Test func whatIsWrongWithAPictureNamesItsField() async throws {
    let served = try Served.emoji()
    let body = Served.body(messages: [
      [
        "role": "user",
        "content": [["type": "image_url", "image_url": ["url": "data:image/png;base64,PHN2Zz4="]]],
      ]
    ])
    for path in ["/v1/chat/completions", "/v1/explain"] {
      let (status, json) = try await served.ask(
        ServingRequest(method: "POST", path: path, body: body.data))
      #expect(status == 400)
      #expect(json["error"]["code"].text == "invalid_image")
      #expect(json["error"]["param"].text == "messages[0].content[0].image_url.url")
    }
    let form = "--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n<svg>\r\n--x--\r\n"
    let (_, json) = try await served.ask(
      ServingRequest(
        method: "POST", path: "/v1/caption", headers: ["content-type": "multipart/form-data; boundary=x"],
        body: Data(form.utf8)))
    #expect(json["error"]["param"].text == "file")
  }

  @Test func whatFailsInTheModelIsNotTheClientsFault() async throws {
    let bundle = try SmallBundle(vocabularySize: 270, width: 16)
    for parameter in bundle.model.parameters.trainable {
      _ = try withoutGradients { try parameter.value.fill_(.nan) }
    }
    let captioner = try Captioner(
      model: bundle.model, tokenizer: bundle.tokenizer, processor: bundle.processor)
    let served = try Served(captioner)
    let body = try Served.body().data
    for (path, body) in [
      ("/v1/chat/completions", body), ("/v1/explain", body), ("/v1/caption", try Served.picture(1)),
    ] {
      let (status, json) = try await served.ask(ServingRequest(method: "POST", path: path, body: body))
      #expect(status == 500, "\(path)")
      #expect(json["error"]["code"].text == "internal_error")
    }
  }

  @Test func aPictureWithTooManyPixelsIsRefused() async throws {
    let served = try Served.emoji { $0.limits.pixels = 1000 }
    let (status, json) = try await served.chat(Served.body())
    #expect(status == 400)
    #expect(json["error"]["code"].text == "invalid_image")
    #expect(json["error"]["message"].text?.contains("1000") == true)
  }

  @Test(arguments: ["/", "/page.css", "/page.js"]) func thePageIsPartOfTheProgramAndLoadsNothingFromElsewhere(
    path: String
  )
    async throws
  {
    let served = try Served.emoji { $0.keys = try? APIKeys(String(repeating: "a", count: 64)) }
    let response = await served.respond(to: ServingRequest(method: "GET", path: path))
    guard case .bytes(let bytes) = response.body else { return }
    #expect(response.status == 200 && bytes.count > 1000)
    #expect(
      response.headers.contains {
        $0.name == "Content-Security-Policy" && $0.value.hasPrefix("default-src 'none'")
      })
    #expect(!String(decoding: bytes, as: UTF8.self).contains("http"))
  }
}

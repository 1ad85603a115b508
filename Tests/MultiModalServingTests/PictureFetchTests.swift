import Foundation
import MultiModalModel
import Synchronization
import Testing

@testable import MultiModalHTTP
@testable import MultiModalServing

extension IPAddress {
  /// nil for what is not written as one
  fileprivate init?(_ text: String) {
    var hints = addrinfo()
    hints.ai_flags = AI_NUMERICHOST
    var found: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(text, nil, &hints, &found) == 0, let address = found?.pointee.ai_addr else {
      return nil
    }
    defer { freeaddrinfo(found) }
    self.init(address)
  }
}

/// Pictures that are given by URL: what is fetched, and above all what is not.
@Suite struct PictureFetchTests {
  // MARK: Addresses

  @Test(arguments: [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.255", "168.63.129.16",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1",
    "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b:1::1",
    "100::1",
    "2001::1", "2001:1ff:ffff::1", "2001:db8::1", "2001:db8:ffff::1", "2002::1", "2002:7f00:1::", "3fff::1",
    "3fff:fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1",
    "fec0::1", "ff02::1",
  ])
  func anAddressThatIsNotThePublicInternetsIsNone(text: String) throws {
    #expect(try !#require(IPAddress(text)).isPublic)
  }

  @Test(arguments: [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "128.0.0.1",
    "172.15.255.255",
    "172.32.0.0", "192.167.255.255", "192.169.0.0", "223.255.255.255", "2001:200::1", "2001:db9::1",
    "2003::1", "3ffe::1", "3fff:1000::1", "2606:4700::1111",
    "2a00::1",
  ])
  func othersArePublic(text: String) throws {
    #expect(try #require(IPAddress(text)).isPublic)
  }

  // MARK: What is not reached

  @Test(arguments: [
    "http://127.0.0.1:PORT/", "http://localhost:PORT/", "http://a.localhost:PORT/", "http://127.1:PORT/",
    "http://2130706433:PORT/", "http://0x7f000001:PORT/", "http://0177.0.0.1:PORT/", "http://0x7f.1:PORT/",
    "http://127.0.0.1.:PORT/", "http://%31%32%37.0.0.1:PORT/", "http://0.0.0.0:PORT/", "http://0:PORT/",
    "http://[::1]:PORT/", "http://[::]:PORT/", "http://[::ffff:127.0.0.1]:PORT/",
    "http://[::ffff:7f00:1]:PORT/",
    "http://[64:ff9b::7f00:1]:PORT/", "http://user@127.0.0.1:PORT/", "http://example.com@127.0.0.1:PORT/",
    "http://example.com:80@127.0.0.1:PORT/", "http://127.0.0.1:PORT#@example.com/", "HTTP://127.0.0.1:PORT/",
    "http://127.0.0.1:PORT\\@example.com/", "http://169.254.169.254/latest/meta-data/",
    "http://[fe80::1%25lo]:PORT/", "http://named.test:PORT/",
  ])
  func noSpellingOfALocalAddressReachesIt(url: String) async throws {
    let host = try PictureHost { _ in .picture }
    let fetch = PictureFetcher(
      maxBytes: 1 << 20, seconds: 2, resolved: "named.test:\(host.port):127.0.0.1", allows: \.isPublic)
    await #expect(throws: PictureFetcher.Failure.self) {
      try await fetch(url.replacingOccurrences(of: "PORT", with: "\(host.port)"))
    }
    #expect(host.asked == [])
    await host.stop()
  }

  /// 127.0.0.1 stands for a public address here, so that all others are not.
  private func fetcher(maxBytes: Int = 1 << 20, seconds: Double = 10, resolved: String? = nil)
    -> PictureFetcher
  {
    PictureFetcher(maxBytes: maxBytes, seconds: seconds, resolved: resolved) { $0 == IPAddress("127.0.0.1") }
  }

  private func reason(_ fetch: PictureFetcher, _ url: String) async -> String {
    do { return "\(try await fetch(url).count) bytes" } catch { return error.localizedDescription }
  }

  @Test(arguments: [
    ("http://127.0.0.2:PORT/", "not public"), ("http://[::1]:PORT/", "not public"),
    ("http://169.254.169.254/", "not public"), ("http://2130706434:PORT/", "not public"),
    ("//127.0.0.2:PORT/", "not public"), ("http://a@127.0.0.1:PORT/", "names a user"),
    ("/again", "too often"),
    ("file:///etc/passwd", "not http"), ("gopher://127.0.0.1:PORT/", "not http"),
    ("ftp://127.0.0.1/", "not http"),
  ])
  func redirectsLeadNowhereElse(target: String, reason: String) async throws {
    let host = try PictureHost { asked in
      let place = target.replacingOccurrences(of: "PORT", with: "\(asked.port)")
      return ServingResponse(status: 302, headers: [(name: "Location", value: place)], body: .bytes(Data()))
    }
    let other = try PictureHost("127.0.0.2", port: host.port) { _ in .picture }
    #expect(await self.reason(fetcher(), host.url("/")).contains(reason))
    #expect(other.asked == [])
    #expect(host.asked.count <= 4)
    await host.stop()
    await other.stop()
  }

  @Test func onlyThePublicAddressesOfANameAreConnectedTo() async throws {
    let host = try PictureHost { _ in .picture }
    let other = try PictureHost("127.0.0.2", port: host.port) { _ in .picture }
    for addresses in ["127.0.0.2,127.0.0.1", "127.0.0.1,127.0.0.2", "[::1],127.0.0.2,127.0.0.1"] {
      let fetch = fetcher(resolved: "both.test:\(host.port):\(addresses)")
      #expect(try await fetch("http://both.test:\(host.port)/") == PictureHost.picture)
    }
    let fetch = fetcher(resolved: "none.test:\(host.port):127.0.0.2,[::1]")
    #expect(
      await reason(fetch, "http://none.test:\(host.port)/") == "it leads to an address that is not public")
    #expect(host.asked.count == 3 && other.asked == [])
    await host.stop()
    await other.stop()
  }

  // MARK: What comes

  @Test func aPictureIsFetchedThroughARedirectAndCaptioned() async throws {
    let host = try PictureHost { asked in
      asked.path == "/"
        ? ServingResponse(status: 301, headers: [(name: "Location", value: "/a.jpg")], body: .bytes(Data()))
        : .picture
    }
    let served = try Served.emoji { [fetch = fetcher()] in $0.fetchPicture = { try await fetch($0) } }
    func body(_ url: String) -> JSONValue {
      Served.body(messages: [
        ["role": "user", "content": [["type": "image_url", "image_url": .string(url)]]]
      ])
    }
    #expect(try await served.answer(body(host.url("/"))) == "owl")
    #expect(host.asked == ["/", "/a.jpg"])
    for wrong in [
      "http://127.0.0.2/", "ftp://127.0.0.1/", "http://", "http:", "https://[", "file:///etc/passwd", "x",
    ] {
      let (status, json) = try await served.chat(body(wrong))
      #expect(status == 400)
      #expect(json["error"]["code"].text == "invalid_image_url")
      #expect(json["error"]["param"].text == "messages[0].content[0].image_url")
    }
    let explained = try await served.ask(
      ServingRequest(method: "POST", path: "/v1/explain", body: body(host.url("/a.jpg")).data))
    #expect(explained.json["text"].text == "owl")
    await host.stop()
  }

  @Test func whatIsNoPictureOrNotThereIsA400() async throws {
    let host = try PictureHost { asked in
      asked.path == "/page"
        ? ServingResponse(body: .bytes(Data("<html>".utf8)))
        : ServingResponse(status: Int(asked.path.dropFirst()) ?? 200, body: .bytes(PictureHost.picture))
    }
    let served = try Served.emoji { [fetch = fetcher()] in $0.fetchPicture = { try await fetch($0) } }
    for (path, code) in [
      ("/page", "invalid_image"), ("/404", "invalid_image_url"), ("/500", "invalid_image_url"),
      ("/204", "invalid_image_url"), ("/300", "invalid_image_url"),
    ] {
      let (status, json) = try await served.chat(
        Served.body(messages: [
          [
            "role": "user",
            "content": [["type": "image_url", "image_url": ["url": .string(host.url(path))]]],
          ]
        ]))
      #expect(status == 400)
      #expect(json["error"]["code"].text == code)
    }
    await host.stop()
  }

  @Test func whatIsTooLargeOrTooSlowIsLeft() async throws {
    let host = try PictureHost { asked in
      switch asked.path {
      case "/large": ServingResponse(body: .bytes(Data(count: 2 << 20)))
      case "/endless": ServingResponse(body: .stream(AsyncStream { Data(count: 1 << 16) }))
      default:
        ServingResponse(
          body: .stream(
            AsyncStream {
              try? await Task.sleep(for: .milliseconds(50))
              return Data(count: 1)
            }))
      }
    }
    let fetch = fetcher(seconds: 1)
    #expect(await reason(fetch, host.url("/large")) == "it has more than 1048576 bytes, the limit")
    #expect(await reason(fetch, host.url("/endless")) == "it has more than 1048576 bytes, the limit")
    #expect(await reason(fetch, host.url("/slow")) == "it takes longer than 1 s")
    await host.stop()
  }

  @Test func whoGoesEndsItsFetchAndOthersWaitForTheirs() async throws {
    let host = try PictureHost { asked in
      asked.path == "/slow" ? ServingResponse(body: .stream(AsyncStream { _ in })) : .picture
    }
    let served = try Served.emoji { [fetch = fetcher()] in
      $0.fetchPicture = { try await fetch($0) }
      $0.limits.fetches = 1
    }
    func body(_ path: String) -> JSONValue {
      Served.body(messages: [
        ["role": "user", "content": [["type": "image_url", "image_url": .string(host.url(path))]]]
      ])
    }
    let gone = Task { try await served.chat(body("/slow")) }
    while host.asked.isEmpty { try await Task.sleep(for: .milliseconds(1)) }
    async let waiting = served.answer(body("/"))
    // Other requests need no fetch and do not wait for one.
    #expect(try await served.answer(Served.body()) == "owl")
    #expect(host.asked == ["/slow"])
    gone.cancel()
    #expect(try await gone.value.status == 499)
    #expect(try await waiting == "owl")
    await host.stop()
  }
}

/// A host of pictures on this machine, which remembers the paths that it is asked for.
private final class PictureHost: Sendable {
  private final class Record: Sendable { let paths = Mutex<[String]>([]) }

  static let picture = (try? Served.picture(1)) ?? Data()

  private let name: String
  private let record = Record()
  private let server: HTTPServer
  var port: UInt16 { server.port }
  var asked: [String] { record.paths.withLock { $0 } }

  init(
    _ name: String = "127.0.0.1", port: UInt16 = 0,
    _ answer: @escaping @Sendable (_ asked: (path: String, port: String)) -> ServingResponse
  ) throws {
    var configuration = HTTPServerConfiguration()
    configuration.host = name
    configuration.port = port
    self.name = name
    server = try HTTPServer(configuration) { [record] request in
      record.paths.withLock { $0.append(request.path) }
      let port = request.headers["host"]?.split(separator: ":").last.map(String.init)
      return answer((request.path, port ?? ""))
    }
  }

  func url(_ path: String) -> String { "http://\(name):\(port)\(path)" }
  func stop() async { await server.stop(grace: .zero) }
}

extension ServingResponse {
  fileprivate static var picture: ServingResponse { ServingResponse(body: .bytes(PictureHost.picture)) }
}

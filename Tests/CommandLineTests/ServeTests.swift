import Foundation
import MultiModalPipeline
import TestSupport
import Testing

/// `serve` as a process.
@Suite struct ServeTests {
  /// - Parameter limit: what `ulimit` is told before
  private func serve(_ arguments: String..., environment: [String: String] = [:], limit: String? = nil) throws
    -> (
      process: Process, notes: Notes, port: UInt16
    )
  {
    let process = GPT4MM.process(["serve", "--port", "0"] + arguments)
    if let limit {
      process.arguments =
        ["-c", "ulimit \(limit) && exec \"$0\" \"$@\"", GPT4MM.executable.path] + (process.arguments ?? [])
      process.executableURL = URL(fileURLWithPath: "/bin/sh")
    }
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    let notes = Notes()
    process.standardError = notes.pipe
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    let line = try #require(notes.read(until: "/v1\n").split(separator: "\n").last)
    return (
      process, notes, try #require(UInt16(line.split(separator: ":").last?.split(separator: "/").first ?? ""))
    )
  }

  /// What a process says on standard error.
  private final class Notes {
    let pipe = Pipe()
    private var seen = ""

    func read(until end: String) -> String {
      while !seen.contains(end), case let more = pipe.fileHandleForReading.availableData, !more.isEmpty {
        seen += String(decoding: more, as: UTF8.self)
      }
      return seen
    }
  }

  /// A model that writes long texts, and a request for one.
  private func long(tokens: Int) throws -> (folder: TemporaryFolder, request: String) {
    let folder = try TemporaryFolder()
    let bundle = try SmallBundle(vocabularySize: 270, width: 16, longestText: 20_000)
    try bundle.write(to: folder.url.appendingPathComponent("model"))
    let picture = try Picture(height: 1, width: 1, channels: 3, pixels: [1, 2, 3]).png().base64EncodedString()
    let body = """
      {"stream": true, "max_tokens": \(tokens), "logit_bias": {"\(bundle.tokenizer.eos ?? 0)": -100}, "messages": [{"role":
      "user", "content": [{"type": "image_url", "image_url": "data:image/png;base64,\(picture)"}]}]}
      """
    return (
      folder,
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    )
  }

  @Test(arguments: [SIGTERM, SIGINT]) func whatRunsEndsAndNothingMoreIsTaken(signal: Int32) throws {
    let (folder, request) = try long(tokens: 3000)
    let (process, notes, port) = try serve(
      "--model", folder.path("model"), "--max-new-tokens", "3000", "--quiet")
    let other = try RawClient(port: port)
    other.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    #expect(other.read(until: "}").contains("200 OK"))
    let running = try RawClient(port: port)
    running.send(request)
    #expect(running.read(until: "data: ").contains("200 OK"))

    kill(process.processIdentifier, signal)
    _ = notes.read(until: "stopping")
    while (try? RawClient(port: port)) != nil { usleep(1000) }
    other.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    let refused = other.read()
    #expect(refused.hasPrefix("HTTP/1.1 503 ") && refused.contains("Retry-After: 1"))
    #expect(refused.contains(#""code":"stopping""#))
    let rest = running.read()
    #expect(rest.contains(#""finish_reason":"length""#) && rest.hasSuffix("data: [DONE]\n\n\r\n0\r\n\r\n"))
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
  }

  @Test func withoutAKeyItAnswersToItsOwnNamesAlone() throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let model = ["--model", root.appendingPathComponent("Models/emoji").path, "--quiet"]
    func status(_ port: UInt16, _ host: String) throws -> Substring? {
      let client = try RawClient(port: port)
      client.send("GET /v1/models HTTP/1.1\r\nHost: \(host)\r\nConnection: close\r\n\r\n")
      return client.read().split(separator: " ").dropFirst().first
    }
    let (local, _, port) = try serve(model[0], model[1], model[2], "--allow-host", "Models.example")
    #expect(try status(port, "localhost:\(port)") == "200")
    #expect(try status(port, "models.example") == "200")
    #expect(try status(port, "evil.example") == "403")
    local.terminate()
    local.waitUntilExit()
    #expect(local.terminationStatus == 0)
  }

  /// What a system lets a program have is raised where it may be, else fewer connections are taken.
  @Test(arguments: [("-S -n 200", 299), ("-n 200", 0)])
  func filesThatMayBeOpenAreEnoughForConnectionsAndPictures(limit: String, client: Int) throws {
    let (folder, request) = try long(tokens: 3)
    let (process, _, port) = try serve("--model", folder.path("model"), "--quiet", limit: limit)
    let clients = try (0..<300).map { _ in try RawClient(port: port) }
    clients[client].send(request)
    #expect(clients[client].read(until: "[DONE]").hasPrefix("HTTP/1.1 200 "))
    process.terminate()
    process.waitUntilExit()
  }

  #if os(Linux)
    @Test func withoutLibvipsTheServerIsAtFaultAndNotThePicture() throws {
      let (folder, request) = try long(tokens: 3)
      try folder.write("no library", "libvips.so.42")
      let (process, _, port) = try serve(
        "--model", folder.path("model"), "--quiet", environment: ["LD_LIBRARY_PATH": folder.url.path])
      let client = try RawClient(port: port)
      client.send(request.replacingOccurrences(of: "\r\n\r\n", with: "\r\nConnection: close\r\n\r\n"))
      let answer = client.read()
      #expect(answer.hasPrefix("HTTP/1.1 500 ") && answer.contains("libvips"), "\(answer)")
      process.terminate()
      process.waitUntilExit()
    }
  #endif
}

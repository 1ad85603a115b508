import Foundation

/// `distributed-check`, started as several processes. Those that are left when this ends are killed.
final class DistributedRun {
  struct Result {
    let code: Int32
    let output, errors: String

    func decoded<Value: Decodable>(_ type: Value.Type) throws -> Value {
      guard code == 0 else { throw Failure(description: "exit code \(code): \(errors)") }
      return try JSONDecoder().decode(type, from: Data(output.utf8))
    }
  }

  struct Failure: Error, CustomStringConvertible { let description: String }

  private var processes: [(process: Process, output: Pipe, errors: Pipe)] = []

  /// - Parameters:
  ///   - timeout: the group's, in seconds
  ///   - ranks: those that are started; all of them when nil
  ///   - port: where they meet; a free one when nil
  init(size: Int, _ check: String, timeout: Int = 20, starting ranks: [Int]? = nil, port: Int? = nil) throws {
    let port = try port ?? FreePort().number
    var environment = ProcessInfo.processInfo.environment
    environment.merge([
      "WORLD_SIZE": "\(size)", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "\(port)", "OMP_NUM_THREADS": "1",
      "CHECK_TIMEOUT": "\(timeout)",
    ]) { $1 }
    for rank in ranks ?? Array(0..<size) {
      let (process, output, errors) = (Process(), Pipe(), Pipe())
      process.executableURL = Self.executable
      process.arguments = [check]
      process.environment = environment.merging(["RANK": "\(rank)", "LOCAL_RANK": "\(rank)"]) { $1 }
      process.standardOutput = output
      process.standardError = errors
      try process.run()
      processes.append((process, output, errors))
    }
  }

  deinit { kill(processes.map(\.process)) }

  /// Waits for the processes, by their places; those that take more than 30 s are killed.
  func finish(ranks: Range<Int>? = nil) throws -> [Result] {
    let waited = Array(processes[ranks ?? processes.indices])
    let limit = DispatchWorkItem { [weak self] in self?.kill(waited.map(\.process)) }
    DispatchQueue.global().asyncAfter(deadline: .now() + 30, execute: limit)
    defer { limit.cancel() }
    return waited.map { process, output, errors in
      // Outputs here are far smaller than a pipe's buffer.
      let (text, problems) = (
        output.fileHandleForReading.readDataToEndOfFile(), errors.fileHandleForReading.readDataToEndOfFile()
      )
      process.waitUntilExit()
      return Result(
        code: process.terminationStatus, output: String(decoding: text, as: UTF8.self),
        errors: String(decoding: problems, as: UTF8.self))
    }
  }

  private func kill(_ processes: [Process]) {
    for process in processes where process.isRunning { Foundation.kill(process.processIdentifier, SIGKILL) }
  }

  /// Beside the test bundle.
  private static let executable: URL = {
    let name = "distributed-check"
    let arguments = CommandLine.arguments.map { URL(fileURLWithPath: $0).deletingLastPathComponent() }
    let folders = arguments + [Bundle.main.bundleURL, Bundle.main.bundleURL.deletingLastPathComponent()]
    return folders.map { $0.appendingPathComponent(name) }
      .first { FileManager.default.isExecutableFile(atPath: $0.path) } ?? URL(fileURLWithPath: name)
  }()
}

/// A port that nothing listens at, until `listen`.
final class FreePort {
  let number: Int
  private let socket: Int32

  init() throws {
    #if os(Linux)
      let socket = Foundation.socket(AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
    #else
      let socket = Foundation.socket(AF_INET6, SOCK_STREAM, 0)
    #endif
    var address = sockaddr_in6()
    address.sin6_family = sa_family_t(AF_INET6)
    var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
    let code = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        bind(socket, pointer, length) == 0 ? getsockname(socket, pointer, &length) : -1
      }
    }
    guard code == 0 else { throw DistributedRun.Failure(description: "no port is free") }
    self.socket = socket
    number = Int(UInt16(bigEndian: address.sin6_port))
  }

  func listen() { _ = Foundation.listen(socket, 1) }

  deinit { close(socket) }
}

import Foundation
import Testing

/// `caption` over more pictures than one.
@Suite struct CaptionManyTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent()
    .deletingLastPathComponent()
  private static let texts = ["1": "owl", "2": "hamburger", "3": "flag: Brazil"]

  /// Twelve pictures in two folders, and a file that is none.
  private func pictures() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for index in 0..<12 {
      let below = folder.url.appendingPathComponent("pictures/\(index % 2)")
      try FileManager.default.createDirectory(at: below, withIntermediateDirectories: true)
      try FileManager.default.copyItem(
        at: Self.root.appendingPathComponent("Examples/pictures/picture-\(index % 3 + 1).jpg"),
        to: below.appendingPathComponent("\(index)-\(index % 3 + 1).jpg"))
    }
    try folder.write("no picture", "pictures/0/5-bad.jpg")
    return folder
  }

  private func caption(_ arguments: String..., environment: [String: String] = [:]) throws -> GPT4MM.Result {
    let process = GPT4MM.process(["caption", "--model", "Models/emoji"] + arguments, in: Self.root)
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    return try GPT4MM.finish(process)
  }

  private struct Line: Decodable {
    struct Text: Decodable { let text: String }
    let picture: String
    let texts: [Text]?
    let error: String?
  }

  private func lines(_ path: String) throws -> [Line] {
    try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
      .map { try JSONDecoder().decode(Line.self, from: Data($0.utf8)) }
  }

  @Test func everyPictureOfAFolderHasALineInOrderAndADamagedOneIsNamed() throws {
    let folder = try pictures()
    let output = folder.path("texts.jsonl")
    let result = try caption("--output", output, "--batch-size", "5", folder.path("pictures"))
    #expect(result.code == 1 && result.output.isEmpty)
    #expect(
      result.errors.contains("5-bad.jpg: it is no picture") && result.errors.contains("13 pictures in "))
    let lines = try lines(output)
    #expect(lines.map(\.picture) == lines.map(\.picture).sorted())
    for line in lines {
      let name = line.picture.split(separator: "/").last ?? ""
      #expect(line.texts?.first?.text == Self.texts[String(name.dropLast(4).suffix(1))], "\(name)")
      #expect((line.error != nil) == name.hasSuffix("bad.jpg"))
    }
  }

  @Test func aRunThatWasStoppedGoesOnBehindItsLastWholeLine() throws {
    let folder = try pictures()
    let (whole, cut) = (folder.path("whole.jsonl"), folder.path("cut.jsonl"))
    _ = try caption("--quiet", "--output", whole, folder.path("pictures"))
    let bytes = try Data(contentsOf: URL(fileURLWithPath: whole))
    try bytes.prefix(bytes.count / 2).write(to: URL(fileURLWithPath: cut))
    let refused = try caption("--output", cut, folder.path("pictures"))
    try folder.write("", "empty.jsonl")
    #expect(
      try caption("--quiet", "--output", folder.path("empty.jsonl"), folder.path("pictures/1")).code == 0)
    #expect(refused.code == 1 && refused.errors.contains("--resume"))
    #expect(try caption("--quiet", "--resume", "--output", cut, folder.path("pictures")).errors.isEmpty)
    #expect(try Data(contentsOf: URL(fileURLWithPath: cut)) == bytes)
    try folder.write("{}\n", "other.jsonl")
    let other = try caption("--resume", "--output", folder.path("other.jsonl"), folder.path("pictures"))
    #expect(other.code == 1 && other.errors.contains("no line of captions"))
  }

  @Test func aPictureThatIsListedTwiceHasTwoLinesThoughTheRunWasStopped() throws {
    let folder = try pictures()
    let pictures = ["pictures/0/0-1.jpg", "pictures/0/0-1.jpg", "pictures/1/1-2.jpg"].map(folder.path)
    try folder.write(pictures.joined(separator: "\n"), "list.txt")
    let (whole, cut) = (folder.path("whole.jsonl"), folder.path("cut.jsonl"))
    _ = try caption("--quiet", "--output", whole, "--list", folder.path("list.txt"))
    let text = try String(contentsOfFile: whole, encoding: .utf8)
    try folder.write(text.split(separator: "\n")[0] + "\n", "cut.jsonl")
    _ = try caption("--quiet", "--resume", "--output", cut, "--list", folder.path("list.txt"))
    #expect(try String(contentsOfFile: cut, encoding: .utf8) == text)
    #expect(try lines(cut).map(\.picture) == pictures)
  }

  @Test func processesOfALauncherShareThePicturesAndWriteAFileEach() throws {
    let folder = try pictures()
    var found: [String] = []
    for rank in 0..<2 {
      _ = try caption(
        "--quiet", "--output", folder.path("texts.jsonl"), folder.path("pictures"),
        environment: [
          "RANK": "\(rank)", "LOCAL_RANK": "\(rank)", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
          "MASTER_PORT": "29500",
        ])
      let lines = try lines(folder.path("texts-\(rank)-of-2.jsonl"))
      #expect((6...7).contains(lines.count))
      found += lines.map(\.picture)
    }
    #expect(Set(found).count == 13)
  }

  @Test func archivesAreReadAsFoldersAreAndSharedAsWholes() throws {
    let folder = try pictures()
    let archives = ["0", "1"].map { folder.path("\($0).tar") }
    for (half, archive) in zip(["0", "1"], archives) {
      let tar = Process()
      tar.executableURL = URL(fileURLWithPath: "/usr/bin/env")
      tar.arguments = ["tar", "-cf", archive, "-C", folder.path("pictures"), half]
      try tar.run()
      tar.waitUntilExit()
    }
    let (whole, cut) = (folder.path("whole.jsonl"), folder.path("cut.jsonl"))
    #expect(try caption("--quiet", "--output", whole, archives[0], archives[1]).code == 1)
    let all = try lines(whole)
    #expect(all.count == 13)
    for line in all where !line.picture.hasSuffix("bad.jpg") {
      #expect(line.texts?.first?.text == Self.texts[String(line.picture.dropLast(4).suffix(1))])
    }
    let bytes = try Data(contentsOf: URL(fileURLWithPath: whole))
    try bytes.prefix(bytes.count / 2).write(to: URL(fileURLWithPath: cut))
    _ = try caption("--quiet", "--resume", "--output", cut, archives[0], archives[1])
    #expect(try Data(contentsOf: URL(fileURLWithPath: cut)) == bytes)

    for rank in 0..<2 {
      _ = try caption(
        "--quiet", "--output", folder.path("shared.jsonl"), archives[0], archives[1],
        environment: [
          "RANK": "\(rank)", "LOCAL_RANK": "\(rank)", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
          "MASTER_PORT": "29500",
        ])
      let own = try lines(folder.path("shared-\(rank)-of-2.jsonl")).map(\.picture)
      #expect(own == all.map(\.picture).filter { $0.hasPrefix(archives[rank]) })
    }
  }

  #if os(Linux)
    @Test func whereLibvipsCannotBeLoadedPicturesAloneAreRefused() throws {
      let folder = try TemporaryFolder()
      try folder.write("no library", "libvips.so.42")
      let without = ["LD_LIBRARY_PATH": folder.url.path]
      let result = try caption("Examples/pictures/picture-1.jpg", environment: without)
      #expect(result.code == 1 && result.errors.contains("libvips does not start (\(folder.url.path)"))
      #expect(try caption("--help", environment: without).code == 0)
      let doctor = GPT4MM.process(["doctor"])
      doctor.environment = ProcessInfo.processInfo.environment.merging(without) { $1 }
      let findings = try GPT4MM.finish(doctor)
      #expect(
        findings.code == 1
          && findings.output.contains(
            "missing libvips: cannot read pictures: libvips does not start (\(folder.url.path)"),
        "\(findings.output)")
    }

    /// No picture is damaged where none can be read.
    @Test func withoutLibvipsWorkOnManyPicturesEndsAtOnce() throws {
      let (folder, data) = (
        try pictures(),
        try ColouredSquares.folder(
          colours: 4, settings: ["data": #"{"max_damaged_share": 1}"#, "training": #"{"batch_size": 2}"#])
      )
      try folder.write("no library", "libvips.so.42")
      let tasks = [
        ["caption", "--quiet", "--model", "Models/emoji", folder.path("pictures")],
        ["evaluate", "--model", "Models/emoji", "--data", data.path("validation")],
        ["train", "--data", data.url.path, "--config", data.path("config.json"), "--out", data.path("run")],
        ["train", "--data", data.url.path, "--config", data.path("config.json"), "--dry-run"],
      ]
      for words in tasks {
        let process = GPT4MM.process(words, in: Self.root)
        process.environment = ProcessInfo.processInfo.environment.merging([
          "LD_LIBRARY_PATH": folder.url.path
        ]) { $1 }
        let result = try GPT4MM.finish(process)
        #expect(result.code == 1 && result.output.isEmpty, "\(words): \(result.output)")
        let complaints = result.errors.split(separator: "\n").filter { $0.contains("libvips") }
        #expect(
          complaints.count == 1 && complaints[0].hasPrefix("gpt4mm: ")
            && complaints[0].contains("install it, as 'scripts/setup' does"), "\(words): \(result.errors)")
        #expect(!result.errors.contains("left out"), "\(result.errors)")
      }
    }
  #endif

  @Test func whatIsNoRegularFileIsWrittenThrough() throws {
    let folder = try pictures()
    let result = try caption("--quiet", "--output", "/dev/stdout", folder.path("pictures/1"))
    #expect(result.code == 0 && result.output.split(separator: "\n").count == 6, "\(result.errors)")
  }

  @Test func aListComesFromAFileOrStandardInput() throws {
    let folder = try pictures()
    let paths = ["pictures/0/0-1.jpg", "pictures/1/1-2.jpg"].map(folder.path)
    try folder.write(paths.joined(separator: "\r\n"), "list.txt")
    let expected = "\(paths[0]): owl\n\(paths[1]): hamburger\n"
    #expect(try caption("--quiet", "--list", folder.path("list.txt")).output == expected)
    let process = GPT4MM.process(["caption", "--quiet", "--list", "-"], in: Self.root)
    #expect(try GPT4MM.finish(process, input: Data(paths.joined(separator: "\n").utf8)).output == expected)
  }
}

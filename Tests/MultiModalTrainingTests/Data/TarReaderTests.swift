import Torch
import Foundation
import MultiModalPipeline
import Testing

@testable import MultiModalTraining

/// Tar files made by hand, byte for byte.
enum TarMaker {
  static func header(
    _ name: String, size: Int, type: Character = "0", change: (inout Data) -> Void = { _ in }
  ) -> Data {
    var header = Data(count: 512)
    func put(_ text: String, _ place: Int) {
      header.replaceSubrange(place..<place + text.utf8.count, with: Data(text.utf8))
    }
    put(String(name.prefix(100)), 0)
    put("0000644", 100)
    let octal = String(size, radix: 8)
    put(String(repeating: "0", count: max(0, 11 - octal.count)) + octal, 124)
    put(String(type), 156)
    put("ustar\0", 257)
    put("00", 263)
    change(&header)
    return checked(header)
  }

  /// With the checksum that its bytes need.
  static func checked(_ header: Data) -> Data {
    var header = Data(header)
    header.replaceSubrange(148..<156, with: Data("        ".utf8))
    let sum = String(header.reduce(0) { $0 + Int($1) }, radix: 8)
    let digits = String(repeating: "0", count: 6 - sum.count) + sum + "\0 "
    header.replaceSubrange(148..<156, with: Data(digits.utf8))
    return header
  }

  static func padded(_ bytes: Data) -> Data { bytes + Data(count: (512 - bytes.count % 512) % 512) }

  static func entry(_ name: String, _ bytes: Data, type: Character = "0") -> Data {
    header(name, size: bytes.count, type: type) + padded(bytes)
  }

  static func tar(_ files: [(String, String)]) -> Data {
    files.reduce(into: Data()) { $0 += entry($1.0, Data($1.1.utf8)) } + Data(count: 1024)
  }

  static func record(_ key: String, _ value: String) -> String {
    let rest = " \(key)=\(value)\n"
    var length = rest.utf8.count
    while rest.utf8.count + "\(length)".utf8.count != length { length += 1 }
    return "\(length)\(rest)"
  }
}

@Suite struct TarReaderTests {
  private func entries(_ url: URL) throws -> [(path: String, bytes: Data)] {
    let reader = try TarReader(url)
    var result: [(String, Data)] = []
    while let entry = try reader.next() {
      result.append((entry.path, try reader.read(entry, atMost: 1 << 20)))
    }
    return result
  }

  private func entries(_ bytes: Data) throws -> [(path: String, bytes: Data)] {
    let folder = try TemporaryFolder()
    try bytes.write(to: folder.file("a.tar"))
    return try entries(folder.file("a.tar"))
  }

  @Test(arguments: ["ustar", "pax", "gnu"])
  func archivesOfTheSystemAreRead(format: String) throws {
    let folder = try TemporaryFolder()
    let long = String(repeating: "folder/", count: 14) + String(repeating: "n", count: 60) + ".txt"
    var names = ["a.txt", "b/c.txt", "empty.txt", long]
    if format != "ustar" {
      let component = String(repeating: "Käse-鸟-", count: 12)
      names.append("\(component)/\(component)/\(component).txt")
      names.append(String(repeating: "x", count: 180) + ".txt")
    }
    let contents = names.map {
      $0 == "empty.txt" ? Data() : Data(repeating: UInt8($0.utf8.count % 200), count: 3 * $0.utf8.count + 400)
    }
    for (name, bytes) in zip(names, contents) {
      try folder.write("", "files/\(name)")
      try bytes.write(to: folder.file("files/\(name)"))
    }
    try FileManager.default.createSymbolicLink(
      atPath: folder.file("files/link.txt").path, withDestinationPath: "a.txt")
    #if os(macOS)
      let name = format == "gnu" ? "gnutar" : format
    #else
      let name = format
    #endif
    let tar = Process()
    tar.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    tar.arguments =
      ["tar", "--format=\(name)", "-cf", folder.file("a.tar").path, "-C", folder.file("files").path, "b"]
      + names.filter { $0 != "b/c.txt" } + ["link.txt"]
    try tar.run()
    tar.waitUntilExit()
    #expect(tar.terminationStatus == 0)
    let found = try entries(folder.file("a.tar"))
    let order = ["b/c.txt"] + names.filter { $0 != "b/c.txt" }
    #expect(found.map(\.path) == order)
    for entry in found {
      #expect(try entry.bytes == contents[#require(names.firstIndex(of: entry.path))], "\(entry.path)")
    }
  }

  /// Files with holes, as GNU tar stores them in each of its formats.
  @Test(arguments: ["gnu", "0.0", "0.1", "1.0"])
  func filesWithHolesAreReadWhole(version: String) throws {
    let folder = try TemporaryFolder()
    let whole = Data((0..<9000).map { UInt8($0 % 251) })
    var holes = Data(count: 3 << 20)
    // More pieces than a header has places for.
    for place in stride(from: 0, to: holes.count, by: 1 << 17) {
      holes.replaceSubrange(place..<place + 9000, with: whole)
    }
    let end = Data(count: 1 << 20)
    let files = [
      ("a/whole.txt", whole), ("a/holes.txt", holes), ("a/end.txt", end), ("a/more.txt", Data("x".utf8)),
    ]
    for (name, bytes) in files {
      try folder.write("", name)
      let handle = try FileHandle(forWritingTo: folder.file(name))
      try handle.truncate(atOffset: UInt64(bytes.count))
      for start in stride(from: 0, to: bytes.count, by: 4096) {
        let part = bytes[start..<min(bytes.count, start + 4096)]
        guard part.contains(where: { $0 != 0 }) else { continue }
        try handle.seek(toOffset: UInt64(start))
        try handle.write(contentsOf: part)
      }
      try handle.close()
    }
    let tar = Process()
    tar.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    let format = version == "gnu" ? ["--format=gnu"] : ["--format=pax", "--sparse-version=\(version)"]
    tar.arguments =
      ["tar", "--sparse"] + format + ["-cf", folder.file("a.tar").path, "-C", folder.url.path]
      + files.map(\.0)
    try tar.run()
    tar.waitUntilExit()
    try #require(tar.terminationStatus == 0)
    let reader = try TarReader(folder.file("a.tar"))
    var sparse = 0
    for (name, bytes) in files {
      let entry = try #require(try reader.next())
      #expect(entry.path == name)
      let read = try reader.read(entry, atMost: 4 << 20)
      #expect(read == bytes, "\(name)")
      if entry.sparse != nil {
        sparse += 1
        #expect(refusal { try reader.read(entry, atMost: 1000) }.contains("has more than 1000 bytes"))
      }
    }
    #expect(try reader.next() == nil)
    #expect(sparse >= 2)
  }

  @Test func mapsOfHolesThatLieAreRefused() throws {
    func pax(_ records: [(String, String)], _ bytes: String = "hello") -> Data {
      TarMaker.entry("pax", Data(records.map { TarMaker.record($0.0, $0.1) }.joined().utf8), type: "x")
        + TarMaker.entry("a", Data(bytes.utf8))
    }
    let sound = [("GNU.sparse.size", "10"), ("GNU.sparse.name", "b"), ("GNU.sparse.map", "1,2,5,3")]
    let found = try entries(pax(sound))
    #expect(found.map(\.path) == ["b"])
    #expect(
      found.first?.bytes == Data([0]) + Data("he".utf8) + Data(count: 2) + Data("llo".utf8) + Data(count: 2))
    for (size, map) in [
      ("10", "1,2,5,2"), ("10", "5,3,1,2"), ("7", "1,2,5,3"), ("10", "1,2,5"),
      ("10", "0,9223372036854775807"),
      ("10", "9223372036854775807,5"), ("10", "0,5,3,0,2,0,9,-1"), ("-1", "0,5"),
      ("99999999999999999999", "0,5"),
    ] {
      let sentence = refusal { try entries(pax([("GNU.sparse.size", size), ("GNU.sparse.map", map)])) }
      #expect(sentence.contains("is a damaged tar file"), "\(map): \(sentence)")
    }
    for front in ["", "9", "1\n0", "99999999\n1\n", "1\n0\n600\n", "-1\n"] {
      let records = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "1000")]
      #expect(refusal { try entries(pax(records, front)) }.contains("is a damaged tar file"), "\(front)")
    }
    let huge = [("GNU.sparse.size", "1000000000000"), ("GNU.sparse.map", "0,5")]
    #expect(refusal { try entries(pax(huge)) }.contains("has more than"))
  }

  @Test func sizesInBinaryAndInPaxHeadersAreRead() throws {
    let bytes = Data("hello".utf8)
    let binary = TarMaker.header("a", size: 0) {
      $0.replaceSubrange(124..<136, with: [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5])
    }
    let pax = Data((TarMaker.record("size", "5") + TarMaker.record("path", "Käse/b")).utf8)
    var all = binary + TarMaker.padded(bytes)
    all += TarMaker.entry("pax", pax, type: "x")
    all += TarMaker.header("short", size: 0) + TarMaker.padded(bytes)
    let found = try entries(all + Data(count: 1024))
    #expect(found.map(\.path) == ["a", "Käse/b"])
    #expect(found.map(\.bytes) == [bytes, bytes])
    // Without the blocks of zeros at the end, as some programs leave them out.
    #expect(try entries(all).count == 2)
    for wrong in [[0xFF] + Array(repeating: 0xFF, count: 11), [0x80, 1] + Array(repeating: 0, count: 10)]
      as [[UInt8]]
    {
      let header = TarMaker.header("a", size: 0) { $0.replaceSubrange(124..<136, with: wrong) }
      #expect(refusal { try entries(header + TarMaker.padded(bytes)) }.contains("it has a wrong file size"))
    }
  }

  @Test func whatIsNoFileIsPassedOver() throws {
    let old = TarMaker.header("folder.d/", size: 0, type: "\0") {
      $0.replaceSubrange(257..<265, with: Data(count: 8))
    }
    let blank = TarMaker.header("blank/", size: 0, type: "5") {
      $0.replaceSubrange(124..<136, with: Data(repeating: 32, count: 12))
    }
    let global = TarMaker.entry("g", Data(TarMaker.record("comment", "x").utf8), type: "g")
    var all = global + old + blank
    all += TarMaker.entry("device", Data(), type: "3") + TarMaker.entry("link", Data(), type: "2")
    all += TarMaker.entry("a", Data("b".utf8))
    #expect(try entries(all).map(\.path) == ["a"])
    #expect(try entries(Data()).isEmpty)
    #expect(try entries(Data(count: 1024)).isEmpty)
  }

  @Test func damagesAreTold() throws {
    let sound = TarMaker.tar([("a.txt", String(repeating: "x", count: 600)), ("b.txt", "b")])
    func sentence(_ bytes: Data) -> String { refusal { try entries(bytes) } }
    #expect(sentence(sound) == "none")
    #expect(
      sentence(sound.prefix(700)).contains("at byte 0 it ends in the middle of a file: it is cut short"))
    #expect(sentence(sound.prefix(1536 + 100)).contains("at byte 1536 it ends in the middle of a header"))
    var flipped = sound
    flipped[1536] ^= 1
    #expect(sentence(flipped).contains("at byte 1536 it has a header with a wrong checksum"))
    let pax = TarMaker.header("pax", size: 2000, type: "x")
    #expect(sentence(pax + Data(count: 600)).contains("ends in the middle of a file"))
    for record in ["x path=a\n", "99 path=a\n", "3 path=a\n", "99999999999999999999 path=a\n", "-5 a=b\n"] {
      let bytes = TarMaker.entry("pax", Data(record.utf8), type: "x") + sound
      #expect(sentence(bytes).contains("has a pax header that cannot be read"), "\(record)")
    }
    let size = TarMaker.entry("pax", Data(TarMaker.record("size", "many").utf8), type: "x") + sound
    #expect(sentence(size).contains("has a wrong file size"))
    let long = TarMaker.header("long", size: 3 << 20, type: "L") + Data(count: 3 << 20) + sound
    #expect(sentence(long).contains("has a header of 3145728 bytes"))
    var generator = SplitMix64(seed: 3)
    let garbage = Data((0..<2000).map { _ in UInt8.random(in: 1...9, using: &generator) })
    #expect(sentence(garbage).hasSuffix("is no tar file"))
    #expect(sentence(Data("hello".utf8)).hasSuffix("is no tar file"))
    let packed: [[UInt8]] = [
      [0x28, 0xB5, 0x2F, 0xFD], Array("BZh9".utf8), [0xFD] + Array("7zXZ".utf8) + [0],
    ]
    for magic in packed {
      for count in [100, 2000] { #expect(sentence(magic + garbage.prefix(count)).contains("is compressed")) }
    }
    #expect(refusal { try TarReader(URL(fileURLWithPath: "/nowhere/a.tar")) }.contains("cannot be read"))
  }
}

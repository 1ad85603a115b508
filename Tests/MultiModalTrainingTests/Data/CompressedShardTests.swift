import Foundation
import MultiModalPipeline
import Testing

@testable import MultiModalTraining

/// Shards that gzip compressed.
@Suite struct CompressedShardTests {
  private func gzip(_ file: URL) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["gzip", file.path]
    try process.run()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
  }

  private func folder() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    var tar = Data()
    for (name, colour) in [("red", [255, 0, 0]), ("blue", [0, 0, 255])] as [(String, [UInt8])] {
      try folder.writePicture("\(name).png", colour)
      tar += TarMaker.entry("\(name).png", try Data(contentsOf: folder.file("\(name).png")))
      tar += TarMaker.entry("\(name).txt", Data(name.utf8))
    }
    try FileManager.default.createDirectory(at: folder.file("shards"), withIntermediateDirectories: false)
    try (tar + Data(count: 1024)).write(to: folder.file("shards/a.tar"))
    return folder
  }

  @Test(arguments: ["a.tar.gz", "a.TGZ"]) func samplesArePicturesAndTextsAsInAPlainArchive(name: String)
    throws
  {
    let folder = try folder()
    let plain = try Datasets.open(folder.file("shards")).all()
    try gzip(folder.file("shards/a.tar"))
    if name != "a.tar.gz" {
      try FileManager.default.moveItem(at: folder.file("shards/a.tar.gz"), to: folder.file("shards/\(name)"))
    }
    for place in ["shards", "shards/\(name)"] {
      let samples = try Datasets.open(folder.file(place)).all()
      #expect(samples.map(\.text) == ["red", "blue"])
      #expect(samples.map(\.picture.name) == plain.map(\.picture.name))
      for (sample, other) in zip(samples, plain) {
        // The plain archive is gone, so what it held is drawn anew.
        let picture = try sample.picture.decoded(longestSide: nil, limits: .init())
        #expect(picture.pixels.prefix(3) == (other.text == "red" ? [255, 0, 0] : [0, 0, 255]))
      }
    }
    let pictures = try PictureCollection.files(of: folder.file("shards")).flatMap(PictureCollection.pictures)
    #expect(pictures.count == 2)
    #expect(try pictures[1].decoded(longestSide: nil, limits: .init()).pixels.prefix(3) == [0, 0, 255])
  }

  @Test func whatIsUnpackedGoesWithItsReaders() throws {
    let folder = try folder()
    try gzip(folder.file("shards/a.tar"))
    func open() throws -> Int { try FileManager.default.contentsOfDirectory(atPath: "/dev/fd").count }
    let before = try open()
    for _ in 0..<50 { #expect(try Datasets.open(folder.file("shards")).all().count == 2) }
    #expect(try open() <= before + 5)
  }

  @Test func aDamagedOneIsNamed() throws {
    let folder = try folder()
    try gzip(folder.file("shards/a.tar"))
    let file = folder.file("shards/a.tar.gz")
    let sound = try Data(contentsOf: file)
    func sentence(_ bytes: Data) throws -> String {
      try bytes.write(to: file)
      return refusal { try Datasets.open(file).all() }
    }
    #expect(try sentence(sound.dropLast(20)) == "\(file.path) is cut short: make it again")
    var wrong = sound
    wrong[wrong.count - 6] ^= 1
    #expect(try sentence(wrong) == "\(file.path) is damaged and cannot be unpacked: make it again")
    #expect(try sentence(sound + sound.prefix(0)) == "none")
  }
}

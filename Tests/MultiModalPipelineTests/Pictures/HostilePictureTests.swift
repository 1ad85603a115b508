import Torch
import Foundation
import Testing

@testable import MultiModalPipeline

@Suite("Pictures that cannot be read")
struct HostilePictureTests {
  private let processor: ImageProcessor

  init() throws { processor = try ImageProcessor(configuration: .raw(height: 16, width: 16)) }

  private func refusal(_ bytes: Data, _ processor: ImageProcessor? = nil) -> PictureError? {
    #expect(throws: PictureError.self) { try (processor ?? self.processor)(bytes: bytes, name: "test") }
  }

  @Test(
    "A file cut off anywhere is damaged",
    arguments: [
      "orientation-1.jpg", "progressive.jpg", "rgb.png", "rgb16.png", "two-frames.gif", "rgb.webp", "rgb.tif",
      "rgb.avif",
      "rgb.heic",
    ])
  func truncated(name: String) throws {
    let bytes = try Fixture.bytes(name)
    let isOptional = name.hasSuffix("avif") || name.hasSuffix("heic")
    guard try !isOptional || PictureFormat.supported.contains(#require(PictureFormat(of: bytes))) else {
      return
    }
    for part in [0.1, 0.3, 0.5, 0.7, 0.9] {
      // A GIF's first frame may be whole although the second is cut.
      if name.hasSuffix("gif"), part > 0.5 { continue }
      let error = refusal(bytes.prefix(Int(Double(bytes.count) * part)))
      #expect(error?.reason == .damaged || error?.reason == .unsupportedFormat, "\(part)")
      #expect(error?.description.hasPrefix("cannot read picture test: it is ") == true)
    }
  }

  @Test func aJPEGWithoutItsLastRowsIsDamaged() throws {
    let bytes = try Fixture.bytes("orientation-1.jpg")
    let error = refusal(bytes.prefix(bytes.count - 40))
    #expect(error?.reason == .damaged)
    let sentence = error?.description ?? ""
    #expect(sentence.hasPrefix("cannot read picture test: it is damaged (VipsJpeg: "), "\(sentence)")
  }

  @Test func aHeaderThatPromisesTooMuchIsRefusedBeforeDecoding() throws {
    let error = refusal(try Fixture.bytes("bomb.png"))
    #expect(error?.reason == .tooLarge)
    #expect(error?.description.contains("100000 x 100000 pixels") == true)
  }

  private func chunk(_ name: String, _ body: [UInt8]) -> [UInt8] {
    func word(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
    var crc: UInt32 = 0xFFFF_FFFF
    for byte in Array(name.utf8) + body {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc >> 1 ^ (crc & 1 == 1 ? 0xEDB8_8320 : 0) }
    }
    return word(UInt32(body.count)) + Array(name.utf8) + body + word(~crc)
  }

  /// A PNG with more behind its header.
  private func png(with chunks: [UInt8]) throws -> Data {
    let plain = try Fixture.bytes("rgb.png")
    return plain.prefix(33) + chunks + plain.dropFirst(33)
  }

  @Test func textsInAPNGAreNotUnpacked() throws {
    // A thousand times 4 MB of one letter, in stored blocks that repeat; here as its beginning, which is damaged.
    let texts = (0..<50).flatMap {
      chunk("zTXt", Array("k\($0)".utf8) + [0, 0, 0x78, 0xDA] + [UInt8](repeating: 0, count: 4))
    }
    let plain = try processor(bytes: Fixture.bytes("rgb.png"), name: "test")
    let other = try processor(bytes: png(with: texts + chunk("iTXt", [1]) + chunk("tEXt", [2])), name: "test")
    #expect(plain.values == other.values)
    #expect(PictureMetadata.withoutTexts(png: try png(with: texts)) == (try Fixture.bytes("rgb.png")))
    let profile = try png(with: chunk("iCCP", [UInt8](repeating: 7, count: 300 << 10)))
    #expect(PictureMetadata.withoutTexts(png: profile) == (try Fixture.bytes("rgb.png")))
    for cut in [8, 20, 40, 60] { _ = PictureMetadata.withoutTexts(png: try png(with: texts).prefix(cut)) }
  }

  /// Entries that all lead back to where they stand.
  private func circle(_ count: Int, big: Bool) -> [UInt8] {
    func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
      withUnsafeBytes(of: big ? value.bigEndian : value.littleEndian) { Array($0) }
    }
    let entry = bytes(UInt16(0x8769)) + bytes(UInt16(4)) + bytes(UInt32(1)) + bytes(UInt32(8))
    let head = Array((big ? "MM" : "II").utf8) + bytes(UInt16(42)) + bytes(UInt32(8)) + bytes(UInt16(count))
    return head + Array(repeatElement(entry, count: count).joined()) + bytes(UInt32(0))
  }

  @Test(arguments: [false, true]) func exifThatLeadsInACircleIsRefusedAtOnce(big: Bool) throws {
    let exif = circle(3000, big: big)
    let jpeg = try Fixture.bytes("orientation-1.jpg")
    let segment = Array("Exif\0\0".utf8) + exif
    let length: [UInt8] = [0xFF, 0xE1, UInt8((segment.count + 2) >> 8), UInt8((segment.count + 2) & 255)]
    let clock = ContinuousClock()
    let time = try clock.measure {
      for file in [
        try png(with: chunk("eXIf", exif)),
        Data(jpeg.prefix(2)) + Data(length + segment) + Data(jpeg.dropFirst(2)),
      ] as [Data] {
        let error = refusal(file)
        #expect(
          error?.reason == .tooLarge && error?.description.contains("EXIF data have more than 2000") == true)
      }
      #expect(refusal(try png(with: chunk("eXIf", circle(1, big: big))))?.reason == .tooLarge)
    }
    #expect(time < .seconds(1))
  }

  @Test func limitsAreHeededForFilesAndBytes() throws {
    var configuration = ImageProcessor.Configuration.raw(height: 16, width: 16)
    configuration.maxPixels = 48 * 32 - 1
    let narrow = try ImageProcessor(configuration: configuration)
    #expect(refusal(try Fixture.bytes("rgb.png"), narrow)?.reason == .tooLarge)
    configuration.maxPixels += 1
    _ = try ImageProcessor(configuration: configuration)(Fixture.url("rgb.png"))
    configuration.maxBytes = try Fixture.bytes("rgb.png").count - 1
    let short = try ImageProcessor(configuration: configuration)
    #expect(refusal(try Fixture.bytes("rgb.png"), short)?.reason == .tooLarge)
    let error = #expect(throws: PictureError.self) { try short(Fixture.url("rgb.png")) }
    #expect(error?.reason == .tooLarge)
    configuration.maxBytes += 1
    _ = try ImageProcessor(configuration: configuration)(Fixture.url("rgb.png"))
  }

  @Test func aJPEGOfEndlessScansIsRefused() throws {
    let bytes = try Fixture.bytes("progressive.jpg")
    let scans = bytes.withUnsafeBytes(jpegScanCount)
    #expect(scans > 1 && scans < 20)
    #expect(try Fixture.bytes("orientation-1.jpg").withUnsafeBytes(jpegScanCount) == 1)
    // The last scan, again and again before the end of the picture.
    let start = try #require(bytes.range(of: Data([0xFF, 0xDA]), options: .backwards)).lowerBound
    let scan = bytes[start..<bytes.count - 2]
    let repeated = bytes.dropLast(2) + Data((0..<100).flatMap { _ in scan }) + bytes.suffix(2)
    #expect(refusal(repeated)?.reason == .tooLarge)
  }

  @Test(
    "What is no picture of a supported format is refused, with the formats that are",
    arguments: [
      #"<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>"#,
      "%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\n", "P6 1 1 255\nabc", "#!/bin/sh\n", "x",
      "push graphic-context\n",
      "RIFF1234WAVE", "/* XPM */\nstatic char *a[] = {\"1 1 1 1\", \"a c #000\", \"a\"};",
    ])
  func otherFormats(text: String) {
    let error = refusal(Data(text.utf8))
    #expect(error?.reason == .unsupportedFormat)
    #expect(error?.description.contains("supported are JPEG, PNG") == true)
  }

  @Test func nothingAFolderAndAMissingFileAreNamed() throws {
    #expect(refusal(Data())?.reason == .empty)
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let empty = folder.appendingPathComponent("empty.png")
    let pipe = folder.appendingPathComponent("pipe.png")
    #expect(mkfifo(pipe.path, 0o600) == 0)
    try Data().write(to: empty)
    for (url, reason, words) in [
      (folder, PictureError.Reason.unreadable, "it is a folder; give a picture file"),
      (pipe, .unreadable, "it is no regular file; give a picture file"), (empty, .empty, "it is empty"),
      (folder.appendingPathComponent("none.png"), .unreadable, "there is no such file"),
    ] {
      let error = #expect(throws: PictureError.self) { try processor(url) }
      #expect(error?.reason == reason)
      #expect(
        error?.description == "cannot read picture \(url.path): \(words)")
    }
  }

  @Test func mutatedFilesNeitherCrashNorHang() throws {
    var random = SplitMix64(seed: 11)
    var readable = 0
    let names = [
      "orientation-6.jpg", "progressive.jpg", "cmyk.jpg", "palette.png", "rgba16.png", "two-frames.gif",
      "rgb.webp",
      "rgb.tif", "rgb.avif", "rgb.heic", "display-p3.png",
    ]
    // A mutated size may be large; what such a test must not do is decode it.
    var configuration = ImageProcessor.Configuration.raw(height: 16, width: 16)
    configuration.maxPixels = 1 << 20
    let processor = try ImageProcessor(configuration: configuration)
    for name in names {
      let original = try Fixture.bytes(name)
      for _ in 0..<50 {
        var bytes = original
        for _ in 0..<Int.random(in: 1...8, using: &random) {
          bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
        do {
          let image = try processor(bytes: bytes)
          #expect(image.values.count == 3 * 16 * 16)
          readable += 1
        } catch { #expect(error is PictureError, "\(name): \(error)") }
      }
    }
    #expect(readable > 0 && readable < names.count * 50)
  }

  @Test func randomBytesAfterASignatureAreRefused() throws {
    var random = SplitMix64(seed: 3)
    for name in [
      "orientation-1.jpg", "rgb.png", "two-frames.gif", "rgb.webp", "rgb.tif", "rgb.heic", "rgb.avif",
    ] {
      for length in [1, 10, 100, 5000] {
        let noise = Data((0..<length).map { _ in UInt8.random(in: 0...255, using: &random) })
        #expect(throws: PictureError.self) { try processor(bytes: Fixture.bytes(name).prefix(12) + noise) }
      }
    }
  }

  @Test func manyThreadsGetTheirOwnResults() async throws {
    let good = try Fixture.bytes("orientation-6.jpg")
    let bad = try Fixture.bytes("rgb.png").prefix(100)
    let expected = try processor(bytes: good)
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for index in 0..<200 {
        group.addTask { [processor] in
          if index % 4 == 0 {
            do { _ = try processor(bytes: bad, name: "\(index)") } catch let error as PictureError {
              return error.description.hasPrefix("cannot read picture \(index): ")
            }
            return false
          }
          return try processor(bytes: good) == expected
        }
      }
      for try await isRight in group { #expect(isRight) }
    }
  }
}

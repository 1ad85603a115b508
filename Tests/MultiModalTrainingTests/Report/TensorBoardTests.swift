import Foundation
import Testing

@testable import MultiModalTraining

@Suite struct TensorBoardTests {
  /// RFC 3720, appendix B.4, and the check value of CRC catalogues.
  @Test func checksumsAreThoseOfTheStandard() {
    let known: [([UInt8], UInt32)] = [
      (Array(repeating: 0, count: 32), 0x8a91_36aa),
      (Array(repeating: 0xff, count: 32), 0x62a8_ab43),
      (Array(0..<32), 0x46dd_794e),
      (Array((0..<32).reversed()), 0x113f_db5c),
      (Array("123456789".utf8), 0xe306_9283),
      ([], 0),
    ]
    for (bytes, checksum) in known { #expect(CRC32C.checksum(bytes) == checksum) }
  }

  @Test func aFileHoldsWhatWasAdded() throws {
    let folder = try TemporaryFolder()
    var writer = try TensorBoardWriter(folder: folder.url, keepingStepsUpTo: 299)
    let before = Date().timeIntervalSince1970
    try writer.add([("loss/train", 1.5), ("größe", -0.25)], step: 300)
    try writer.add([("nan", .nan), ("huge", 1e300)], step: 1 << 40)
    let file = try #require(try eventFiles(in: folder.url).first)
    #expect(file.lastPathComponent.hasSuffix(".\(getpid())"))
    let events = try events(in: file)
    #expect(events.count == 4)
    #expect(events[0].fileVersion == "brain.Event:2")
    #expect(events[1].isStart)
    #expect(events[1].step == 300)
    #expect(events[2].step == 300)
    #expect(events[2].scalars.map(\.tag) == ["loss/train", "größe"])
    #expect(events[2].scalars.map(\.value) == [1.5, -0.25])
    #expect(abs(events[2].wallTime - before) < 60)
    #expect(events[3].step == 1 << 40)
    #expect(events[3].scalars[0].value.isNaN)
    #expect(events[3].scalars[1].value == .infinity)
  }

  @Test func filesAreInTheOrderOfTheirRuns() throws {
    let folder = try TemporaryFolder()
    // A clock that was wrong, and names that only look like ours.
    try folder.write("", "events.out.tfevents.4000000000.host.1")
    try folder.write("", "events.out.tfevents.99999999999999999999.host.1")
    try folder.write("", "events.out.tfevents.9999999999.host.1")
    for run in 1...3 {
      var writer = try TensorBoardWriter(folder: folder.url)
      try writer.add([("run", Double(run))], step: 1)
    }
    let runs = try eventFiles(in: folder.url).compactMap { try events(in: $0).last?.scalars.first?.value }
    #expect(runs == [1, 2, 3])
    #expect(try eventFiles(in: folder.url).contains { $0.lastPathComponent.contains(".4000000003.") })
  }

  @Test func aFolderThatCannotBeMadeIsNamed() throws {
    let folder = try TemporaryFolder()
    try folder.write("", "file")
    let error = #expect(throws: (any Error).self) {
      try TensorBoardWriter(folder: folder.url.appendingPathComponent("file"))
    }
    #expect("\(error as Any)".contains("no folder that can be written to"))
  }

  // MARK: - Reading, by another way than writing

  private func eventFiles(in folder: URL) throws -> [URL] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().map {
      folder.appendingPathComponent($0)
    }
  }

  private struct Event {
    var wallTime = 0.0
    var step = 0
    var fileVersion = ""
    var isStart = false
    var scalars: [(tag: String, value: Float)] = []
  }

  private func events(in file: URL) throws -> [Event] {
    var reader = Reader(bytes: [UInt8](try Data(contentsOf: file)))
    var events: [Event] = []
    while !reader.isAtEnd {
      let length = reader.take(8)
      #expect(number(reader.take(4)) == masked(length))
      let body = reader.take(Int(number(length)))
      #expect(number(reader.take(4)) == masked(body))
      var event = Event()
      for field in fields(body) {
        switch field.number {
        case 1: event.wallTime = Double(bitPattern: number(field.bytes))
        case 2: event.step = Int(number(field.bytes))
        case 3: event.fileVersion = String(decoding: field.bytes, as: UTF8.self)
        case 5:
          event.scalars = fields(field.bytes).map { value in
            let parts = Dictionary(uniqueKeysWithValues: fields(value.bytes).map { ($0.number, $0.bytes) })
            return (
              String(decoding: parts[1] ?? [], as: UTF8.self),
              Float(bitPattern: UInt32(number(parts[2] ?? [])))
            )
          }
        case 7: event.isStart = fields(field.bytes).contains { $0.number == 1 && number($0.bytes) == 1 }
        default: Issue.record("field \(field.number) is not known")
        }
      }
      events.append(event)
    }
    return events
  }

  private struct Reader {
    let bytes: [UInt8]
    var place = 0
    var isAtEnd: Bool { place == bytes.count }

    mutating func take(_ count: Int) -> [UInt8] {
      defer { place += count }
      return Array(bytes[place..<place + count])
    }

    mutating func variable() -> UInt64 {
      var value: UInt64 = 0
      for shift in stride(from: UInt64(0), to: 70, by: 7) {
        let byte = take(1)[0]
        value += UInt64(byte % 128) << shift
        if byte < 128 { break }
      }
      return value
    }
  }

  /// A message's fields; numbers of variable length come as eight bytes.
  private func fields(_ message: [UInt8]) -> [(number: UInt64, bytes: [UInt8])] {
    var reader = Reader(bytes: message)
    var fields: [(number: UInt64, bytes: [UInt8])] = []
    while !reader.isAtEnd {
      let key = reader.variable()
      let bytes =
        switch key % 8 {
        case 0:
          { value in (0..<8).map { UInt8(value >> (8 * $0) % 256) } }(reader.variable())
        case 1: reader.take(8)
        case 2: reader.take(Int(reader.variable()))
        default: reader.take(4)
        }
      fields.append((key / 8, bytes))
    }
    return fields
  }

  private func number(_ bytes: [UInt8]) -> UInt64 { bytes.reversed().reduce(0) { $0 * 256 + UInt64($1) } }

  /// Bit by bit, without the table.
  private func masked(_ bytes: [UInt8]) -> UInt64 {
    var crc = UInt32.max
    for byte in bytes {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc % 2 == 1 ? crc / 2 ^ 0x82f6_3b78 : crc / 2 }
    }
    crc = ~crc
    return UInt64((crc / 32768 | crc << 17) &+ 0xa282_ead8)
  }
}

import Foundation
import MultiModalModel
import Testing
import Torch

@testable import MultiModalPipeline

/// What a checkpoint's `generation_config.json` and `config.json` say together of how texts begin, go on and end.
@Suite struct CheckpointGenerationTests {
  private static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Fixtures")

  /// A TrOCR folder whose class says start 2, bos 0, pad 1 and eos 2.
  private func folder(
    top: [String: JSONValue] = [:], decoder own: [String: JSONValue] = [:],
    generation: [String: JSONValue]? = nil
  ) throws -> TemporaryCheckpoint {
    let folder = try TemporaryCheckpoint(Self.fixtures.appendingPathComponent("families/vit-trocr-base"))
    let names = ["decoder_start_token_id", "bos_token_id", "eos_token_id", "pad_token_id"]
    try folder.change("config.json") { fields in
      for name in names { fields[name] = nil }
      fields.merge(top) { $1 }
      guard case .object(var decoder)? = fields["decoder"] else { return }
      for name in names { decoder[name] = nil }
      fields["decoder"] = .object(decoder.merging(own) { $1 })
    }
    try? FileManager.default.removeItem(at: folder.url.appendingPathComponent(ModelFolder.generationName))
    if let generation { try folder.change(ModelFolder.generationName) { $0 = generation } }
    return folder
  }

  private func settings(_ folder: TemporaryCheckpoint) throws -> GenerationSettings {
    let folder = try ModelFolder(folder.url)
    return try folder.generation(folder.configuration(), nil)
  }

  @Test func theOutermostTokensCountBeforeTheDecodersAndItsClass() throws {
    #expect(try settings(folder()).start == 2)
    #expect(try settings(folder(decoder: ["decoder_start_token_id": .int(5)])).start == 5)
    // 0 and 1 are tokens like any other.
    let zero = try settings(
      folder(
        top: ["decoder_start_token_id": .int(0), "eos_token_id": .int(1)],
        decoder: ["decoder_start_token_id": .int(5)]))
    #expect(zero.start == 0 && zero.end == [1])
  }

  @Test func aDefaultThatIsStatedIsAsGoodAsUnsaid() throws {
    let options = try settings(
      folder(
        top: ["num_beams": .int(1), "max_length": .int(20), "length_penalty": .double(1)],
        decoder: ["num_beams": .int(4), "max_length": .int(7), "length_penalty": .double(2)])
    ).options
    #expect(options.numBeams == 4 && options.maxLength == 7 && options.lengthPenalty == 2)
    #expect(try settings(folder(top: ["max_length": .int(20)])).options.maxLength == nil)
    #expect(
      try settings(folder(generation: ["bos_token_id": .int(0), "max_length": .int(20)])).options.maxLength
        == 20)
  }

  @Test func aFileThatWasMadeOfTheConfigurationYieldsToIt() throws {
    let top: [String: JSONValue] = ["num_beams": .int(4), "max_length": .int(6)]
    let made: [String: JSONValue] = ["decoder_start_token_id": .int(3), "_from_model_config": .bool(true)]
    let yielding = try settings(folder(top: top, generation: made))
    #expect(yielding.options.numBeams == 4 && yielding.options.maxLength == 6 && yielding.start == 2)
    // Where that says nothing but tokens, the file counts.
    #expect(try settings(folder(generation: made)).start == 3)
    #expect(
      try settings(folder(top: top, generation: ["decoder_start_token_id": .int(3)])).options.numBeams == 1)
  }

  @Test func aStartThatTheFileLacksIsTheConfigurations() throws {
    let file: [String: JSONValue] = ["eos_token_id": .int(2)]
    #expect(try settings(folder(top: ["decoder_start_token_id": .int(7)], generation: file)).start == 7)
  }

  @Test(arguments: [
    ("stop_strings", JSONValue.array([.string("x")])), ("num_beam", .int(4)),
    ("forced_decoder_ids", .array([.int(1)])),
    ("top_h", .double(0.4)), ("max_time", .double(1)),
  ])
  func whatWouldChangeTheTextsAndIsNotDoneIsRefusedByName(name: String, value: JSONValue) throws {
    let folder = try folder(generation: ["decoder_start_token_id": .int(2), name: value])
    #expect { try settings(folder) } throws: { "\($0)".contains("\(name) is not known here") }
    let absent = try self.folder(generation: ["decoder_start_token_id": .int(2), name: .null])
    #expect(try settings(absent).start == 2)
  }

  @Test func aFolderThatIsWrittenBeginsAndEndsItsTextsAsBefore() throws {
    for start in [0, 2, 3] {
      let source = try folder(generation: [
        "decoder_start_token_id": .int(start), "eos_token_id": .int(2), "pad_token_id": .int(1),
      ])
      let read = try ModelFolder(source.url)
      let model = try read.model()
      let settings = try read.generation(model.configuration, nil)
      let copy = try TemporaryCheckpoint()
      try ModelFolder.write(model, generation: settings, to: copy.url)
      let again = try ModelFolder(copy.url)
      let found = try again.generation(again.configuration(), nil)
      #expect(found.start == start && found.end == [2] && found.padding == 1)
      // transformers would stop at 20 tokens where nothing is said.
      #expect(found.options.maxLength == model.configuration.longestText + 1)
    }
  }

  @Test(arguments: ["trocr", "gpt2", "bert"]) func configurationsOfOldVersionsAreRead(decoder: String) throws
  {
    let file = Self.fixtures.appendingPathComponent("configurations/vit-\(decoder)-4.30.json")
    let configuration = try ModelFolder.configuration(contentsOf: file)
    #expect(configuration.vocabularySize > 0)
    let folder = try folder(top: ["vocab_size": .int(64)])
    #expect(try settings(folder).start == 2)
  }

  @Test func anEncoderThatWouldAttendToMoreIsRefused() throws {
    let folder = try folder()
    try folder.change("config.json") { fields in
      guard case .object(var encoder)? = fields["encoder"] else { return }
      encoder["add_cross_attention"] = .bool(true)
      fields["encoder"] = .object(encoder)
    }
    #expect { try settings(folder) } throws: { "\($0)".contains("encoder.add_cross_attention") }
  }
}

/// A copy of a checkpoint that is removed when the test is done with it.
final class TemporaryCheckpoint {
  let url = FileManager.default.temporaryDirectory.appendingPathComponent("checkpoint-\(UUID().uuidString)")

  /// - Parameter source: an empty folder when nil
  init(_ source: URL? = nil) throws {
    if let source {
      try FileManager.default.copyItem(at: source, to: url)
    } else {
      try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }
  }

  deinit { try? FileManager.default.removeItem(at: url) }

  /// Changes the fields of a JSON file, which need not be there.
  func change(_ name: String, _ body: (inout [String: JSONValue]) -> Void) throws {
    let file = url.appendingPathComponent(name)
    var fields =
      try (try? Data(contentsOf: file)).map { try JSONDecoder().decode([String: JSONValue].self, from: $0) }
      ?? [:]
    body(&fields)
    try JSONEncoder().encode(fields).write(to: file)
  }
}

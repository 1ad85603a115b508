import Foundation
import MultiModalModel
import MultiModalPipeline
import Testing
import Torch

@testable import MultiModalTraining

/// Damaged files over every reader: each is read or refused with a sentence, in bounded memory and time.
///
/// `GPT4MM_FUZZ_SECONDS` is the time for all readers together (default 30), `GPT4MM_FUZZ_SEED` the first seed. The file that a
/// reader is at lies in the temporary folder as `gpt4mm-fuzz-NAME`, so one that ends the process is found there.
@Suite(.serialized) struct FuzzTests {
  /// Reads a file that lies in a folder of its own, under the name that the reader wants.
  struct Reader: CustomTestStringConvertible, Sendable {
    let name: String
    let file: String
    let seeds: [Data]
    var words: [String] = []
    let read: @Sendable (URL) throws -> Void
    var testDescription: String { name }
  }

  private static let seconds =
    Double(ProcessInfo.processInfo.environment["GPT4MM_FUZZ_SECONDS"] ?? "") ?? 30
  private static let seed = UInt64(ProcessInfo.processInfo.environment["GPT4MM_FUZZ_SEED"] ?? "") ?? 1
  private static let mostMemory = 1 << 30
  private static let mostTime = Duration.seconds(10)

  @Test(arguments: try! Readers.all()) func noDamageTrapsHangsOrFillsMemory(reader: Reader) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("gpt4mm-fuzz-\(reader.name)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let file = folder.appendingPathComponent(reader.file)
    var mutator = Mutator(seed: Self.seed, words: reader.words)
    for seed in reader.seeds {
      try seed.write(to: file)
      try reader.read(file)
    }
    let end = ContinuousClock.now + .seconds(Self.seconds / Double(try Readers.all().count))
    let memory = ProcessMemory.residentBytes
    var (tried, sound) = (0, 0)
    while ContinuousClock.now < end {
      let seed = reader.seeds[tried % reader.seeds.count]
      try mutator.mutate(seed, others: reader.seeds).write(to: file)
      let began = ContinuousClock.now
      do {
        try reader.read(file)
        sound += 1
      } catch let error as any SentenceError {
        let sentence = error.localizedDescription
        #expect(sentence.count < 700 && sentence.printable == sentence, "\(sentence)")
        #expect(!sentence.contains(".cc(") && !sentence.contains("Error Domain"), "\(sentence)")
      }
      try #require(ContinuousClock.now - began < Self.mostTime, "see \(file.path)")
      try #require(ProcessMemory.residentBytes - memory < Self.mostMemory, "see \(file.path)")
      tried += 1
    }
    print("\(reader.name): \(tried) files, \(sound) of them read")
    #expect(tried > 0)
    try FileManager.default.removeItem(at: folder)
  }
}

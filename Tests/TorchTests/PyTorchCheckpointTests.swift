import Foundation
import Testing
import Torch

@Suite struct PyTorchCheckpointTests {
  private func agree(_ file: String, with safetensors: String) throws {
    let read = try PyTorchCheckpoint.read(fixture("checkpoints/\(file)"))
    let expected = try Safetensors.read(fixture("checkpoints/\(safetensors)")).tensors
    #expect(read.keys.sorted() == expected.keys.sorted())
    for (name, tensor) in expected {
      let other = try #require(read[name])
      #expect(try other.dtype == tensor.dtype, "\(name)")
      #expect(other.shape == tensor.shape, "\(name)")
      #expect(try other.array(of: Double.self) == tensor.array(of: Double.self), "\(name)")
    }
  }

  @Test(arguments: ["plain.pt", "legacy.pt"]) func aStateDictHoldsWhatPyTorchSaved(file: String) throws {
    try agree(file, with: "plain.safetensors")
  }

  @Test(arguments: ["nested.pt", "nested-legacy.bin"]) func aStateDictIsFoundUnderItsKey(file: String) throws
  {
    try agree(file, with: "nested.safetensors")
    let error = #expect(throws: FileError.self) {
      try PyTorchCheckpoint.read(fixture("checkpoints/\(file)"), key: "weights")
    }
    #expect(
      error?.description.contains(#"no dictionary "weights" but epoch, loss, name, model, optimizer"#) == true
    )
  }

  @Test(arguments: [
    ("command.pt", #"it names "posix system""#), ("command-legacy.pt", #"it names "posix system""#),
    ("unknown.pt", #"it names "__main__ Unknown""#), ("no-weights.pt", "no state dict was found"),
  ])
  func whatIsNoWeightsIsRefusedByName(file: String, message: String) throws {
    let error = #expect(throws: FileError.self) { try PyTorchCheckpoint.read(fixture("checkpoints/\(file)")) }
    #expect(error?.description.contains(message) == true, "\(error as Any)")
    #expect(!FileManager.default.fileExists(atPath: "pwned"))
  }

  @Test func noMutationOfAFileCrashesTheReader() throws {
    var generator = SeededGenerator(state: 11)
    for name in ["plain.pt", "legacy.pt", "nested.pt"] {
      let good = try Data(contentsOf: fixture("checkpoints/\(name)"))
      for _ in 0..<200 {
        var data = good
        for _ in 0..<Int.random(in: 1...6, using: &generator) {
          data[Int.random(in: 0..<data.count, using: &generator)] = UInt8.random(
            in: 0...255, using: &generator)
        }
        if Int.random(in: 0..<4, using: &generator) == 0 {
          data = data.prefix(Int.random(in: 0..<data.count, using: &generator))
        }
        try withTemporaryFile(data, suffix: ".pt") { url in
          do {
            for tensor in try WeightFile.read(url).tensors.values { _ = try tensor.array(of: Double.self) }
          } catch is FileError {
          }
        }
      }
    }
  }

  @Test func aModelFolderMayHoldThem() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("gpt4mm-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try FileManager.default.copyItem(
      at: fixture("checkpoints/plain.pt"), to: folder.appendingPathComponent("pytorch_model.bin"))
    #expect(try WeightFile.read(folder).tensors["int64"]?.array(of: Int.self) == [-5, 1 << 40])
  }

  /// Magic number, version, system, an object and no storages.
  private func legacy(_ object: [UInt8], keys: [UInt8] = [0x5D], storages: [UInt8] = []) -> Data {
    Data([0x80, 2, 0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E])
      + Data([0x80, 2, 0x4D, 0xE9, 3, 0x2E]) + Data([0x80, 2, 0x7D, 0x2E])
      + Data([0x80, 2] + object + [0x2E]) + Data([0x80, 2] + keys + [0x2E] + storages)
  }

  /// One float as a storage, and a view of it that claims 2 to the 40th of them by a stride of 0.
  @Test func aFewBytesCannotClaimTerabytes() throws {
    func text(_ string: String) -> [UInt8] { [0x58, UInt8(string.utf8.count), 0, 0, 0] + string.utf8 }
    func object(size: [UInt8]) -> [UInt8] {
      let storage =
        [UInt8(ascii: "(")] + text("storage") + Array("ctorch\nFloatStorage\n".utf8) + text("0") + text("cpu")
        + [0x4B, 1, UInt8(ascii: "t"), UInt8(ascii: "Q")]
      let view =
        Array("ctorch._utils\n_rebuild_tensor_v2\n(".utf8) + storage + [0x4B, 0] + size + [
          0x85, 0x4B, 0, 0x85,
        ]
        + [0x89, 0x7D, UInt8(ascii: "t"), UInt8(ascii: "R")]
      return [0x7D] + text("a") + view + [UInt8(ascii: "s")]
    }
    let keys: [UInt8] = [0x5D] + text("0") + [0x61]
    let storages: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 0] + [0, 0, 0x80, 0x3F]
    try withTemporaryFile(legacy(object(size: [0x4B, 1]), keys: keys, storages: storages), suffix: ".pt") {
      url in
      let read = try #require(PyTorchCheckpoint.read(url)["a"])
      #expect(try read.array(of: Float.self) == [1])
    }
    let huge: [UInt8] = [0x8A, 6, 0, 0, 0, 0, 0, 1]
    try withTemporaryFile(legacy(object(size: huge), keys: keys, storages: storages), suffix: ".pt") { url in
      let error = #expect(throws: FileError.self) { try PyTorchCheckpoint.read(url) }
      #expect(error?.description.contains(#"tensor "a" has more elements than its storage"#) == true)
    }
  }

  /// A pickle of one list that holds itself, and of lists within lists.
  @Test func containersThatHoldThemselvesAreReleased() throws {
    let cycle: [UInt8] = [0x5D, 0x71, 0, 0x68, 0, 0x61]
    var chain: [UInt8] = [0x5D]
    for _ in 0..<100_000 { chain += [0x5D, 0x71, 1, 0x61, 0x68, 1] }
    let tuples = [0x4E] + [UInt8](repeating: 0x85, count: 100_000)
    for object in [cycle, chain, tuples] {
      try withTemporaryFile(legacy(object), suffix: ".pt") { url in
        _ = #expect(throws: FileError.self) { try PyTorchCheckpoint.read(url) }
      }
    }
  }
}

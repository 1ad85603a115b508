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

  private func text(_ string: String) -> [UInt8] { [0x58, UInt8(string.utf8.count), 0, 0, 0] + string.utf8 }

  /// A dictionary from names to pickled values.
  private func dictionary(_ fields: [(String, [UInt8])]) -> [UInt8] {
    [0x7D] + fields.flatMap { text($0.0) + $0.1 + [UInt8(ascii: "s")] }
  }

  /// A view of the storage 0, which is one float.
  private func view(size: [UInt8] = [0x4B, 1], stride: [UInt8] = [0x4B, 0]) -> [UInt8] {
    let storage =
      [UInt8(ascii: "(")] + text("storage") + Array("ctorch\nFloatStorage\n".utf8) + text("0") + text("cpu")
      + [0x4B, 1, UInt8(ascii: "t"), UInt8(ascii: "Q")]
    return Array("ctorch._utils\n_rebuild_tensor_v2\n(".utf8) + storage + [0x4B, 0] + size + [0x85] + stride
      + [0x85, 0x89, 0x7D, UInt8(ascii: "t"), UInt8(ascii: "R")]
  }

  private func withFile<Result>(_ object: [UInt8], _ body: (URL) throws -> Result) throws -> Result {
    let one: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x3F]
    return try withTemporaryFile(
      legacy(object, keys: [0x5D] + text("0") + [0x61], storages: one), suffix: ".pt", body)
  }

  @Test func aFewBytesCannotClaimTerabytesNorOverflow() throws {
    try withFile(dictionary([("a", view())])) { url in
      let read = try #require(PyTorchCheckpoint.read(url)["a"])
      #expect(try read.array(of: Float.self) == [1])
    }
    let huge: [UInt8] = [0x8A, 6, 0, 0, 0, 0, 0, 1]
    let largest: [UInt8] = [0x8A, 8] + [UInt8](repeating: 0xFF, count: 7) + [0x7F]
    for (view, message) in [
      (view(size: huge), "has more elements than its storage"),
      (view(size: [0x4B, 2], stride: largest), "reaches beyond its storage"),
      (view(size: largest, stride: largest), "reaches beyond its storage"),
    ] {
      try withFile(dictionary([("a", view)])) { url in
        let error = #expect(throws: FileError.self) { try PyTorchCheckpoint.read(url) }
        #expect(error?.description.contains("tensor \"a\" \(message)") == true, "\(error as Any)")
      }
    }
  }

  /// One list of a thousand pairs, kept and copied into a thousand ordered dictionaries.
  @Test func aFewBytesCannotBeCopiedIntoGigabytes() throws {
    let pair: [UInt8] = [0x4E, 0x4E, 0x86, 0x61]
    var object: [UInt8] = [0x5D] + Array(repeatElement(pair, count: 1000).joined()) + [0x71, 0, 0x5D]
    for _ in 0..<1000 {
      object += Array("ccollections\nOrderedDict\n".utf8) + [0x68, 0, 0x85, UInt8(ascii: "R"), 0x61]
    }
    try withFile(object) { url in
      let error = #expect(throws: FileError.self) { try PyTorchCheckpoint.read(url) }
      #expect(error?.description.contains("its pickle is too large") == true, "\(error as Any)")
    }
  }

  @Test func aStateDictIsFoundBesideOtherTensors() throws {
    let weights = dictionary([("a", view()), ("b", view())])
    try withFile(dictionary([("rng_state", view()), ("model", weights)])) { url in
      let names = try PyTorchCheckpoint.read(url).keys.sorted()
      #expect(names == ["a", "b"])
    }
  }

  /// Sets beside the weights, as protocols 2 and 4 write them.
  @Test func setsMayLieBesideTheWeights() throws {
    let new: [UInt8] = [0x8F, 0x28, 0x4B, 1, 0x4B, 2, 0x90]
    let frozen: [UInt8] = [0x28, 0x4B, 1, 0x91]
    let old = Array("c__builtin__\nset\n".utf8) + [0x5D, 0x4B, 1, 0x61, 0x85, UInt8(ascii: "R")]
    for set in [new, frozen, old] {
      try withFile(dictionary([("seen", set), ("a", view())])) { url in
        let names = try PyTorchCheckpoint.read(url).keys.sorted()
        #expect(names == ["a"])
      }
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

import Foundation
import Testing

@testable import Torch

/// Weights under any name, and what else people take for weights.
@Suite struct WeightFileTests {
  private func named(_ suffix: String, _ bytes: Data, _ body: (URL) throws -> Void) throws {
    try withTemporaryFile(bytes, suffix: suffix, body)
  }

  private func safetensors(_ header: String, data: Int) -> Data {
    withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) } + Data(header.utf8)
      + Data(count: data)
  }

  private func sentence(_ body: () throws -> Void) -> String {
    do {
      try body()
      return "none"
    } catch { return error.localizedDescription }
  }

  @Test func aFileThatIsWrittenToWhileItIsReadIsNamed() throws {
    try named(".safetensors", Data(count: 100)) { url in
      func stamped(_ change: () throws -> Void) throws -> String {
        let stamp = FileStamp(url)
        usleep(20_000)
        try change()
        return sentence { try stamp.checkUnchanged() }
      }
      #expect(try stamped {} == "none")
      let handle = try FileHandle(forUpdating: url)
      let changed = "\(url.path) was changed while it was read: try again"
      #expect(try stamped { try handle.write(contentsOf: Data([1])) }.hasPrefix(changed))
      #expect(try stamped { try handle.truncate(atOffset: 50) }.hasPrefix(changed))
      // Another file in its place leaves it to those who read it.
      #expect(try stamped { try Data(count: 9).write(to: url, options: .atomic) } == "none")
    }
  }

  @Test(arguments: [".ckpt", ".pth.tar", ".PT", "", ".bin", ".pt", ".safetensors", ".json", ".weights"])
  func aFileIsToldByItsFirstBytes(suffix: String) throws {
    let expected = try Safetensors.read(fixture("checkpoints/plain.safetensors")).tensors
    for name in ["plain.pt", "legacy.pt", "plain.safetensors"] {
      try named(suffix, Data(contentsOf: fixture("checkpoints/\(name)"))) { url in
        let tensors = try WeightFile.read(url).tensors
        #expect(tensors.keys.sorted() == expected.keys.sorted(), "\(name) as \(suffix)")
        let list = try WeightFile.list(url).tensors
        #expect(list.map(\.name) == expected.keys.sorted())
        for entry in list {
          #expect(entry.shape == expected[entry.name]?.shape)
          let dtype = try expected[entry.name]?.dtype
          #expect(entry.dtype == dtype?.description)
        }
      }
    }
  }

  @Test func shardsMayBeOfAnyFormat() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("gpt4mm-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try FileManager.default.copyItem(
      at: fixture("checkpoints/plain.pt"), to: folder.appendingPathComponent("1.bin"))
    try Safetensors.write([("b", Tensor([2]))], to: folder.appendingPathComponent("2.bin"))
    let index = folder.appendingPathComponent("pytorch_model.bin.index.json")
    try Data(#"{"weight_map": {"int64": "1.bin", "b": "2.bin"}}"#.utf8).write(to: index)
    #expect(try WeightFile.read(folder).tensors.keys.sorted() == ["b", "int64"])
    #expect(try WeightFile.list(folder).tensors.map(\.name) == ["b", "int64"])
    for map in [#"{"a": "pytorch_model.bin.index.json"}"#, #"{"a": "."}"#, #"{"a": "1.bin\u0000"}"#] {
      try Data(#"{"weight_map": \#(map)}"#.utf8).write(to: index)
      #expect(throws: FileError.self) { try WeightFile.read(folder) }
    }
    try (Data(#"{"weight_map": {"#.utf8) + Data(count: 33 << 20)).write(to: index)
    #expect(sentence { _ = try WeightFile.read(folder) }.contains("has more than 33554432 bytes"))
  }

  @Test func whatIsNoWeightsFileIsNamed() throws {
    let cases: [(Data, String)] = [
      (Data("version https://git-lfs.github.com/spec/v1\noid sha256:00".utf8), "a pointer of Git LFS"),
      (Data("<!DOCTYPE html><html>".utf8), "a page of HTML"),
      (Data([0x1F, 0x8B, 8, 0]), "compressed by gzip"),
      (Data("GGUF....".utf8), "no weights file but GGUF"), (Data([0x89] + Array("HDF\r\n".utf8)), "HDF5"),
    ]
    for (bytes, message) in cases {
      for suffix in [".bin", ".safetensors"] {
        try named(suffix, bytes) { url in
          let found = sentence { _ = try WeightFile.read(url) }
          #expect(found.contains(message), "\(found)")
        }
      }
    }
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("gpt4mm-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    #expect(sentence { _ = try WeightFile.read(folder) }.contains("holds no weights: it needs one of"))
    try Safetensors.write(
      [("a", Tensor([1]))], to: folder.appendingPathComponent("adapter_model.safetensors"))
    #expect(sentence { _ = try WeightFile.read(folder) }.contains("holds an adapter"))
  }

  /// As the format's own library reads it.
  @Test func everyDtypeOfTheFormatIsListed() throws {
    let header = #"""
      {"__metadata__": null, "a": {"dtype": "U16", "shape": [2], "data_offsets": [0, 4], "note": "more"},
       "b": {"dtype": "F8_E4M3", "shape": [3], "data_offsets": [4, 7]},
       "c": {"dtype": "C64", "shape": [], "data_offsets": [7, 15]},
       "d": {"dtype": "F4", "shape": [2, 3], "data_offsets": [15, 18]},
       "e": {"dtype": "F32", "shape": [1], "data_offsets": [18, 22]}}
      """#
    try named(".safetensors", safetensors(header, data: 22)) { url in
      let (list, metadata) = try WeightFile.list(url)
      #expect(list.map(\.dtype) == ["U16", "F8_E4M3", "C64", "F4", "float32"])
      #expect(list.map(\.byteCount) == [4, 3, 8, 3, 4])
      #expect(list.map(\.count) == [2, 3, 1, 6, 1])
      #expect(metadata.isEmpty)
      #expect(
        sentence { _ = try WeightFile.read(url) }.contains(
          #""a" has the dtype U16, which is not computed with"#))
    }
  }

  @Test func wrappersOfPyTorchAreSeenThrough() throws {
    let store = try ParameterStore(contents: .random(Generator(seed: 1)))
    _ = try Linear(store.root / "layer", inputs: 2, outputs: 3)
    let own = try Dictionary(uniqueKeysWithValues: store.tensors())
    for prefix in ["module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module.model."] {
      let wrapped = Dictionary(uniqueKeysWithValues: own.map { (prefix + $0.key, $0.value) })
      let report = try store.load(wrapped)
      #expect(report.isComplete, "\(prefix)")
    }
    var mixed = Dictionary(uniqueKeysWithValues: own.map { ("module." + $0.key, $0.value) })
    mixed["other"] = try Tensor([1])
    #expect(throws: TorchError.self) { try store.load(mixed) }
  }

  @Test func aZipWithTwoPicklesIsRefused() throws {
    var bytes = try Data(contentsOf: fixture("checkpoints/plain.pt"))
    // An entry that is not needed becomes a second pickle.
    while let found = bytes.firstRange(of: Data("plain/byteorder".utf8)) {
      bytes.replaceSubrange(found, with: Data("other2/data.pkl".utf8))
    }
    try named(".pt", bytes) { url in
      let found = sentence { _ = try WeightFile.read(url) }
      #expect(found.contains("it has 2 entries data.pkl"), "\(found)")
    }
  }
}

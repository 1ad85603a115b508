import Foundation
import MultiModalModel
import MultiModalPipeline
import TestSupport
import Testing
import Torch

@testable import MultiModalTraining

/// Folders that PEFT itself wrote, see `Tests/Reference/adapter_fixtures.py`.
@Suite struct AdapterFolderTests {
  private let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent()
    .appendingPathComponent("Fixtures/adapters")

  /// The fixtures' layers with the weights that the adapters were made beside.
  private func store() throws -> ParameterStore {
    let store = ParameterStore(contents: .uninitialized)
    let block = store.root / "decoder" / "attn_layers" / "layers" / 0
    for name in ["to_q", "to_k"] { _ = try Linear(block / 1 / name, inputs: 4, outputs: 6, bias: false) }
    _ = try Linear(block / 2 / "ff" / 2, inputs: 6, outputs: 4)
    _ = try Linear(store.root / "decoder" / "to_logits", inputs: 4, outputs: 5)
    _ = try store.load(Safetensors.read(fixtures.appendingPathComponent("base.safetensors")).tensors)
    return store
  }

  private func settings(_ folder: URL) throws -> [String: Any] {
    let data = try Data(contentsOf: folder.appendingPathComponent("adapter_config.json"))
    return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
  }

  private func tensors(_ folder: URL) throws -> [String: [Float]] {
    try weights(folder.appendingPathComponent("adapter_model.safetensors"))
  }

  /// PEFT's own, one of PEFT's with short names of layers, and one as this library wrote them before.
  @Test(arguments: ["peft", "peft-short-names", "before"]) func adaptersAddUpToWhatPEFTMakesOfThem(
    name: String
  )
    throws
  {
    let store = try store()
    try AdapterFolder.merge(fixtures.appendingPathComponent(name), into: store)
    let expected = try weights(fixtures.appendingPathComponent("merged.safetensors"))
    #expect(largestDifference(try weights(store.parameters), expected) < 1e-6)
    #expect(
      largestDifference(expected, try weights(fixtures.appendingPathComponent("base.safetensors"))) > 0.1)
  }

  @Test func weightsThatAreNotFiniteAreNotMerged() throws {
    let (base, adapter, out) = (try TemporaryFolder(), try TemporaryFolder(), try TemporaryFolder())
    let small = try SmallBundle(vocabularySize: 272, width: 32)
    try small.write(to: base.url)
    let parameters = small.model.parameters
    let layer = try #require(parameters.parameters.first { $0.name.hasSuffix("to_q.weight") }).name
      .dropLast(".weight".count)
    try parameters.addAdapters(
      rank: 2, alpha: 4, layers: [String(layer)], contents: .random(Generator(seed: 1)))
    let matrix = try #require(parameters.adapterTensors.first { $0.0.hasSuffix("lora_B.weight") }).1
    try withoutGradients { _ = try matrix.fill_(.nan) }
    try AdapterFolder.write(parameters, rank: 2, alpha: 4, to: adapter.url)
    let sentence = refusal {
      try AdapterFolder.merge(adapter.url, into: ModelFolder(base.url), to: out.file("merged"))
    }
    #expect(
      sentence.hasPrefix(
        "\(out.file("merged").path) is not written: the weights hold numbers that are not finite"),
      "\(sentence)")
    #expect(!FileManager.default.fileExists(atPath: out.file("merged").path))
  }

  @Test func aFolderIsWhatPEFTWrites() throws {
    let store = try store()
    let layers = [
      "decoder.attn_layers.layers.0.1.to_q", "decoder.attn_layers.layers.0.2.ff.2", "decoder.to_logits",
    ]
    try store.addAdapters(rank: 2, alpha: 6, layers: layers, contents: .uninitialized)
    let peft = fixtures.appendingPathComponent("peft")
    let adapters = try Safetensors.read(peft.appendingPathComponent("adapter_model.safetensors")).tensors
    let values = Dictionary(
      uniqueKeysWithValues: try store.tensors().map { ($0, adapters["base_model.model." + $0] ?? $1) })
    _ = try store.load(values)

    let folder = try TemporaryFolder()
    try AdapterFolder.write(store, rank: 2, alpha: 6, to: folder.url)
    #expect(try tensors(folder.url) == tensors(peft))
    let (own, theirs) = (try settings(folder.url), try settings(peft))
    #expect(own.count == 8)
    for (key, value) in own {
      let other = try #require(theirs[key], "\(key)")
      if let names = value as? [String] {
        #expect(try Set(names) == Set(#require(other as? [String])) && Set(names) == Set(layers))
      } else {
        #expect((value as? NSObject) == (other as? NSObject), "\(key)")
      }
    }
    let again = try self.store()
    try AdapterFolder.merge(folder.url, into: again)
    #expect(
      largestDifference(
        try weights(again.parameters), try weights(fixtures.appendingPathComponent("merged.safetensors")))
        < 1e-6)
  }

  /// PEFT's own folder with one setting changed, or left out.
  private func folder(_ key: String, _ value: String?) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    let peft = fixtures.appendingPathComponent("peft")
    var settings = try settings(peft)
    settings[key] = try value.map {
      try JSONSerialization.jsonObject(with: Data($0.utf8), options: .fragmentsAllowed)
    }
    try JSONSerialization.data(withJSONObject: settings).write(to: folder.file("adapter_config.json"))
    try FileManager.default.copyItem(
      at: peft.appendingPathComponent("adapter_model.safetensors"),
      to: folder.file("adapter_model.safetensors"))
    return folder
  }

  @Test(arguments: [
    ("peft_type", #""LOHA""#), ("use_rslora", "true"), ("alpha_pattern", #"{"to_q": 3}"#),
    ("bias", #""all""#), ("rank_pattern", #"{"to_q": 3}"#), ("use_dora", "true"),
    ("init_lora_weights", #""pissa""#),
    // Of the wrong type.
    ("peft_type", "1"), ("use_rslora", #""no""#), ("alpha_pattern", "[]"), ("bias", "false"), ("r", #""2""#),
    ("r", "2.5"), ("r", "0"), ("r", nil), ("lora_alpha", "true"), ("lora_alpha", nil),
  ])
  func aKindThatIsNotReadIsRefused(key: String, value: String?) throws {
    let folder = try folder(key, value)
    let store = try store()
    let sentence = refusal { try AdapterFolder.merge(folder.url, into: store) }
    #expect(
      sentence.hasPrefix(
        "\(folder.file("adapter_config.json").path): \(key) \(value == nil ? "is missing" : "must be ")"),
      "\(sentence)")
    #expect(try weights(store.parameters) == weights(fixtures.appendingPathComponent("base.safetensors")))
  }

  /// The layers are known by the weights' names; PEFT also writes a pattern for them.
  @Test(arguments: [
    ("target_modules", #""all-linear""#), ("target_modules", nil), ("bias", "null"), ("peft_type", nil),
    ("a_setting_of_later_versions", #"{"on": true}"#), ("init_lora_weights", #""gaussian""#),
  ])
  func whatChangesNothingIsNoHindrance(key: String, value: String?) throws {
    let (folder, store) = (try folder(key, value), try store())
    try AdapterFolder.merge(folder.url, into: store)
    #expect(
      largestDifference(
        try weights(store.parameters), try weights(fixtures.appendingPathComponent("merged.safetensors")))
        < 1e-6)
  }

  @Test func adaptersOfLayersThatTheModelLacksAreRefused() throws {
    let store = ParameterStore(contents: .random(try Generator(seed: 1)))
    _ = try Linear(store.root / "decoder" / "to_logits", inputs: 4, outputs: 5)
    for name in ["peft", "before"] {
      let sentence = refusal { try AdapterFolder.merge(fixtures.appendingPathComponent(name), into: store) }
      #expect(sentence.contains("has adapters of other layers than the model"), "\(sentence)")
    }
    #expect(store.parameters.count == 2)
  }
}

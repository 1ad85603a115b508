import Foundation
import MultiModalModel
import Testing
import Torch

@testable import MultiModalPipeline

/// Folders of checkpoints that cannot be right: one sentence that names the field or tensor.
@Suite struct CheckpointRefusalTests {
  private static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Fixtures")

  /// A copy of a good folder with some changes.
  private func folder(of name: String = "vit-trocr-base", _ change: (URL) throws -> Void = { _ in }) throws
    -> URL
  {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("refused-\(UUID().uuidString)")
    try FileManager.default.copyItem(
      at: Self.fixtures.appendingPathComponent("families/\(name)"), to: url)
    try change(url)
    return url
  }

  private func message(of name: String = "vit-trocr-base", _ change: (URL) throws -> Void) throws -> String {
    let url = try folder(of: name, change)
    defer { try? FileManager.default.removeItem(at: url) }
    do {
      let folder = try ModelFolder(url)
      let model = try folder.model()
      _ = try folder.generation(model.configuration, nil)
      return "none"
    } catch { return "\(error)" }
  }

  /// Replaces fields of `config.json`; paths by dots.
  private func set(_ fields: [String: JSONValue]) -> (URL) throws -> Void {
    { url in
      let file = url.appendingPathComponent("config.json")
      var top = try JSONDecoder().decode([String: JSONValue].self, from: Data(contentsOf: file))
      for (path, value) in fields {
        let parts = path.split(separator: ".").map(String.init)
        if parts.count == 1 {
          top[path] = value
        } else if case .object(var inner)? = top[parts[0]] {
          inner[parts[1]] = value
          top[parts[0]] = .object(inner)
        }
      }
      try JSONEncoder().encode(top).write(to: file)
    }
  }

  @Test func theFolderItselfIsTaken() throws { #expect(try message { _ in } == "none") }

  @Test(arguments: [
    ("decoder.new_trick", JSONValue.int(3), "decoder.new_trick is not known here"),
    ("encoder.head_dim", .int(7), "encoder.head_dim must be "),
    ("encoder.model_type", .string("swin"), "encoder.model_type must be one of vit, deit, got \"swin\""),
    (
      "decoder.model_type", .string("mbart"),
      "decoder.model_type must be one of trocr, gpt2, bert, roberta, got \"mbart\""
    ),
    ("model_type", .string("llava"), "model_type is \"llava\", which is not known"),
    ("decoder.activation_function", .string("swish"), "decoder.activation_function must be gelu, gelu_new"),
    ("encoder.hidden_size", .int(0), "encoder.hidden_size must be a whole number from 1"),
    ("encoder.num_attention_heads", .int(5), "encoder.hidden_size must be a multiple"),
    ("encoder.image_size", .string("big"), "encoder.image_size must be"),
    ("decoder.pruned_heads", .object(["0": .array([.int(1)])]), "decoder.pruned_heads must be empty"),
    ("decoder.vocab_size", .int(63), "decoder.model.decoder.embed_tokens.weight"),
    ("decoder.decoder_layers", .int(2), "decoder.model.decoder.layers.1"),
    ("encoder.num_hidden_layers", .int(2), "encoder.encoder.layer.1"),
    ("encoder", .int(1), "encoder must be an object"),
  ])
  func aWrongConfigurationIsNamed(field: String, value: JSONValue, sentence: String) throws {
    let found = try message(set([field: value]))
    #expect(found.contains(sentence), "\(found.prefix(300))")
  }

  @Test func aModelWithMoreLayersThanWeightsIsRefused() throws {
    let folder = try ModelFolder(Self.fixtures.appendingPathComponent("families-refused/more-decoder-layers"))
    #expect(throws: TorchError.self) { try folder.model() }
  }

  @Test func aFolderThatNamesNoStartSaysSo() throws {
    // BERT's class has no start of its own.
    let found = try message(of: "vit-bert") { url in
      try set([
        "decoder_start_token_id": .null, "decoder.decoder_start_token_id": .null, "bos_token_id": .null,
        "decoder.bos_token_id": .null,
      ])(url)
      try Data(#"{"eos_token_id": 2}"#.utf8).write(to: url.appendingPathComponent("generation_config.json"))
    }
    #expect(found.contains("decoder_start_token_id"))
    let wrong = try message {
      try Data(#"{"decoder_start_token_id": 2, "penalty_alpha": 0.6}"#.utf8).write(
        to: $0.appendingPathComponent("generation_config.json"))
    }
    #expect(wrong.contains("penalty_alpha must be left out"))
  }

  @Test(arguments: ["config.json", "model.safetensors", "generation_config.json"])
  func aCutFileIsNamed(name: String) throws {
    let found = try message {
      let file = $0.appendingPathComponent(name)
      try Data(contentsOf: file).prefix(40).write(to: file)
    }
    #expect(found.contains(name), "\(found.prefix(300))")
    #expect(found.count < 400)
  }

  @Test(arguments: ["config.json", "model.safetensors"]) func aMissingFileIsNamed(name: String) throws {
    let found = try message { try FileManager.default.removeItem(at: $0.appendingPathComponent(name)) }
    #expect(found.contains(name), "\(found.prefix(300))")
  }

  @Test func picturesOfAnotherSizeNeedInterpolation() throws {
    let img = try Tensor.randn([1, 3, 16, 40], generator: Generator(seed: 1))
    let model = try ModelFolder(Self.fixtures.appendingPathComponent("families/vit-trocr-base")).model()
    let error = #expect(throws: ModelError.self) { try model.encode(img) }
    #expect(error?.description.contains("interpolate_pos_encoding") == true)
    let url = try folder(set(["interpolate_pos_encoding": .bool(true)]))
    defer { try? FileManager.default.removeItem(at: url) }
    let wide = try ModelFolder(url).model()
    #expect(try withoutGradients { try wide.encode(img) }.shape == [1, 1 + 4 * 10, 64])
  }
}

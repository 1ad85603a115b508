import Foundation
import Testing
import Torch

@testable import MultiModalModel
@testable import MultiModalPipeline

/// Agreement with transformers 4 and 5 on small random checkpoints of every kind; `Tests/Reference` says how they are made.
@Suite struct CheckpointFamilyTests {
  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Fixtures/families")

  private static let names: [String] = {
    let all = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    return all.filter { !$0.contains(".") }.sorted()
  }()

  private struct Expected: Decodable {
    struct Search: Decodable {
      let options: [String: JSONValue]
      let prompt: [[Int]]?
      let ids: [[Int]]
      let scores: [Double]?
    }
    let searches: [String: Search]
    let rules: [String: [String: JSONValue]]
    let loss: Double
    let gradientNorms: [String: Double]

    enum CodingKeys: String, CodingKey {
      case searches, rules, loss
      case gradientNorms = "gradient_norms"
    }
  }

  private struct Fixture {
    let url: URL
    let folder: ModelFolder
    let expected: Expected
    let tensors: [String: Tensor]

    init(_ name: String) throws {
      url = CheckpointFamilyTests.folder.appendingPathComponent(name)
      folder = try ModelFolder(url)
      expected = try JSONDecoder().decode(
        Expected.self, from: Data(contentsOf: url.appendingPathComponent("expected.json")))
      tensors = try Safetensors.read(url.appendingPathComponent("expected.safetensors")).tensors
    }

    func tensor(_ name: String) throws -> Tensor { try #require(tensors[name]) }

    /// The folder's settings with some of a call's own.
    func settings(_ model: any ImageToTextModel, _ own: [String: JSONValue]) throws -> GenerationSettings {
      let fields = try folder.generationFields(model.configuration) ?? [:]
      return try GenerationSettings(fields.merging(own) { $1 }, tokenizer: nil)
    }
  }

  private func difference(_ a: Tensor, _ b: Tensor) throws -> Float {
    #expect(a.shape == b.shape)
    return try (a - b).abs().amax().item()
  }

  @Test func thereAreAtLeastTwentyFour() { #expect(Self.names.count >= 24) }

  @Test(arguments: names, [false, true]) func logitsAgree(name: String, isPrepared: Bool) throws {
    let fixture = try Fixture(name)
    let model = try fixture.folder.model(precision: isPrepared ? .float32 : nil)
    let (img, text) = (try fixture.tensor("pixel_values"), try fixture.tensor("decoder_input_ids"))
    let hidden = try fixture.tensor("last_hidden_state")
    try withoutGradients {
      let encoder = try #require(model as? VisionEncoderDecoder).encoder
      #expect(try difference(encoder(img, interpolates: false), hidden) < 1e-4)
      #expect(try difference(model.forward(img: img, text: text), fixture.tensor("logits")) < 1e-4)
    }
  }

  @Test(arguments: names, [false, true]) func textsAgree(name: String, isPrepared: Bool) throws {
    let fixture = try Fixture(name)
    let model = try fixture.folder.model(precision: isPrepared ? .float32 : nil)
    let img = try fixture.tensor("pixel_values")
    for (search, expected) in fixture.expected.searches.sorted(by: { $0.key < $1.key }) {
      var settings = try fixture.settings(model, expected.options)
      // What transformers does where nothing says how long texts may be; here they may be as long as the model takes.
      if settings.options.maxNewTokens == nil, settings.options.maxLength == nil {
        settings.options.maxNewTokens = 20
      }
      let prompts = expected.prompt ?? [[settings.start], [settings.start]]
      let texts = try model.generate(img: img, prompts: prompts, options: settings.options)
      for (row, text) in texts.enumerated() {
        #expect(prompts[row] + text[0].tokens == expected.ids[row], "\(search), picture \(row)")
        if let score = expected.scores?[row] {
          #expect(abs((text[0].score ?? .nan) - score) < 1e-4, "\(search), picture \(row)")
        }
        let alone = try model.generate(
          img: img.narrow(0, start: row, length: 1), prompts: [prompts[row]], options: settings.options)
        #expect(alone[0][0].tokens == text[0].tokens, "\(search), picture \(row) alone")
      }
    }
  }

  @Test(arguments: names) func rulesAgree(name: String) throws {
    let fixture = try Fixture(name)
    let model = try fixture.folder.model()
    let text = try fixture.tensor("decoder_input_ids")
    let logits = try withoutGradients {
      try model.forward(img: fixture.tensor("pixel_values"), text: text)
    }
    let length = text.shape[1]
    for (rule, own) in fixture.expected.rules {
      let sampled = own.merging(["do_sample": .bool(true), "num_beams": .int(1)]) { $1 }
      let settings = try fixture.settings(model, sampled)
      let expected = try fixture.tensor("rules.\(rule)").array(of: Float.self)
      let vocabulary = model.decoder.limits.vocabulary
      for row in 0..<2 {
        var scores = try logits.select(0, row).select(0, length - 1).array(of: Float.self)
        let tokens = try text.select(0, row).array(of: Int.self)
        settings.options.process(&scores, tokens: tokens, promptLength: length, limit: 2)
        settings.options.warp(&scores)
        let found = try Tensor(scores).logSoftmax().array(of: Float.self)
        for (a, b) in zip(found, expected[row * vocabulary..<(row + 1) * vocabulary]) {
          #expect(a == b || abs(a - b) < 1e-3, "\(rule)")
        }
      }
    }
  }

  @Test(arguments: names) func gradientsAgree(name: String) throws {
    let fixture = try Fixture(name)
    let model = try fixture.folder.model()
    for parameter in model.parameters.trainable { try parameter.value.requiresGrad_() }
    let labels = try fixture.tensor("labels")
    let start = try fixture.settings(model, [:]).start
    let text = try Tensor.cat(
      [Tensor.full([labels.shape[0], 1], Double(start), dtype: .int64), labels], dim: 1)
    let loss = try model.loss(img: fixture.tensor("pixel_values"), text: text)
    #expect(abs(Double(try loss.item(Float.self)) - fixture.expected.loss) < 1e-4)
    try loss.backward()
    var norms: [(String, Tensor)] = []
    for parameter in model.parameters.trainable {
      if let gradient = try parameter.value.grad { norms.append((parameter.name, gradient)) }
    }
    let found = Dictionary(uniqueKeysWithValues: try model.checkpointTensors(of: norms))
    for (parameter, expected) in fixture.expected.gradientNorms where !parameter.contains("pooler") {
      guard let gradient = found[parameter] else { continue }
      let norm = Double(try (gradient * gradient).sum().sqrt().item(Float.self))
      #expect(abs(norm - expected) < 1e-3 * max(1, expected), "\(parameter)")
    }
    #expect(found.count > 20)
  }

  @Test(arguments: names) func attentionMapsAgree(name: String) throws {
    let fixture = try Fixture(name)
    guard fixture.tensors["attention.encoder.0"] != nil else { return }
    let model = try fixture.folder.model()
    let img = try fixture.tensor("pixel_values")
    try withoutGradients {
      for (layer, map) in try model.encoderAttentionMaps(img).enumerated() {
        #expect(try difference(map, fixture.tensor("attention.encoder.\(layer)")) < 1e-5)
      }
      let maps = try model.decoder.output(
        fixture.tensor("decoder_input_ids"), context: model.encode(img), wantsAttentionMaps: true
      ).attentionMaps
      for (place, map) in maps.enumerated() {
        let kind = place % 2 == 0 ? "self" : "cross"
        #expect(try difference(map, fixture.tensor("attention.\(kind).\(place / 2)")) < 1e-5)
      }
    }
  }

  @Test(arguments: names) func positionsBetweenTheLearnedOnesAgree(name: String) throws {
    let fixture = try Fixture(name)
    guard let img = fixture.tensors["interpolated.pixel_values"] else { return }
    // Before the projection to the decoder's width, which both have.
    let model = try #require(fixture.folder.model() as? VisionEncoderDecoder)
    let found = try withoutGradients { try model.encoder(img, interpolates: true) }
    #expect(try difference(found, fixture.tensor("interpolated.last_hidden_state")) < 1e-4)
  }

  /// Padding within a text, of which transformers makes one thing with its cache and another without, is left out.
  @Test(arguments: names) func paddingAtTheEndHasItsOwnPlace(name: String) throws {
    let fixture = try Fixture(name)
    guard let text = fixture.tensors["padded.decoder_input_ids"] else { return }
    let model = try fixture.folder.model()
    let logits = try withoutGradients {
      try model.forward(img: fixture.tensor("pixel_values"), text: text)
    }
    #expect(try difference(logits.select(0, 0), fixture.tensor("padded.logits").select(0, 0)) < 1e-4)
  }

  @Test(arguments: names) func aWrittenFolderIsTheSameModelByTheSameNames(name: String) throws {
    let fixture = try Fixture(name)
    let model = try fixture.folder.model()
    let other = FileManager.default.temporaryDirectory.appendingPathComponent("family-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: other) }
    try ModelFolder.write(model, to: other)
    let (img, text) = (try fixture.tensor("pixel_values"), try fixture.tensor("decoder_input_ids"))
    let again = try withoutGradients { try ModelFolder(other).model().forward(img: img, text: text) }
    #expect(try difference(again, fixture.tensor("logits")) < 1e-4)
    let all = try JSONDecoder().decode(
      [String: [String: [Int]]].self,
      from: Data(contentsOf: Self.folder.appendingPathComponent("names-4.json")))
    guard let names = all[name] else { return }
    let written = try Safetensors.read(other.appendingPathComponent(ModelFolder.weightsName)).tensors
    for (tensor, shape) in names where !tensor.contains("pooler") && !tensor.hasSuffix("_float_tensor") {
      #expect(written[tensor]?.shape == shape, "\(tensor)")
    }
  }
}

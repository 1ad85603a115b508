import Foundation
import Testing
import Torch

@testable import MultiModalModel

/// Agreement with zetascale 2.8.8 itself (`zetascale-*`) and with an independent statement of the documented
/// behaviour in plain PyTorch (`documented-*`); `Tests/Reference` says how the fixtures are made.
@Suite struct ParityTests {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/parity")

  static let fixtures: [String] = {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    return names.filter { $0.hasPrefix("zetascale-") || $0.hasPrefix("documented-") }.sorted()
  }()

  @Test func atLeastTwelveConfigurationsAreThereOfEachBehaviour() {
    #expect(Self.fixtures.filter { $0.hasPrefix("zetascale-") }.count >= 12)
    #expect(Self.fixtures.filter { $0.hasPrefix("documented-") }.count >= 12)
  }

  private struct Fixture {
    let model: GPT4MultiModal
    let tensors: [String: Tensor]
    var mask: Tensor? { tensors["mask"] }

    init(_ name: String) throws {
      let contents = try Safetensors.read(ParityTests.folder.appendingPathComponent(name))
      tensors = contents.tensors
      let json = try #require(contents.metadata["config"])
      var configuration = try JSONDecoder().decode(GPT4MultiModal.Configuration.self, from: Data(json.utf8))
      let behaviour = try #require(contents.metadata["behaviour"])
      configuration.compatibility = try #require(
        GPT4MultiModal.Configuration.Compatibility(rawValue: behaviour))
      model = try GPT4MultiModal(configuration, contents: .uninitialized)
      _ = try model.parameters.load(Self.strip("weights.", tensors))
    }

    static func strip(_ prefix: String, _ tensors: [String: Tensor]) -> [String: Tensor] {
      var result: [String: Tensor] = [:]
      for (name, tensor) in tensors where name.hasPrefix(prefix) {
        result[String(name.dropFirst(prefix.count))] = tensor
      }
      return result
    }

    func tensor(_ name: String) throws -> Tensor { try #require(tensors[name]) }
  }

  private func largestDifference(_ a: Tensor, _ b: Tensor) throws -> Double {
    #expect(a.shape == b.shape)
    return Double(try (a - b).abs().amax().item(Float.self))
  }

  @Test(arguments: fixtures) func logitsAgree(name: String) throws {
    let fixture = try Fixture(name)
    let logits = try withoutGradients {
      try fixture.model(fixture.tensor("img"), fixture.tensor("text"), mask: fixture.mask)
    }
    var expected = try fixture.tensor("logits")
    var actual = logits
    if let mask = fixture.mask {
      let padding = try mask.logicalNot().unsqueeze(2)
      actual = try actual.maskedFill(padding, 0)
      expected = try expected.maskedFill(padding, 0)
    }
    #expect(try largestDifference(actual, expected) < 2e-5)
  }

  @Test(arguments: fixtures) func preparedModelsAgreeWithUnpreparedOnes(name: String) throws {
    let fixture = try Fixture(name)
    func logits() throws -> Tensor {
      try withoutGradients {
        try fixture.model(fixture.tensor("img"), fixture.tensor("text"), mask: fixture.mask)
      }
    }
    let before = try logits()
    try fixture.model.prepareForInference(.float32)
    #expect(try largestDifference(logits(), before) < 2e-5)
  }

  @Test(arguments: fixtures) func lossAndGradientsAgree(name: String) throws {
    let fixture = try Fixture(name)
    for parameter in fixture.model.parameters.trainable { try parameter.value.requiresGrad_() }
    let loss = try fixture.model.loss(
      img: fixture.tensor("img"), text: fixture.tensor("text"), mask: fixture.mask)
    #expect(try largestDifference(loss, fixture.tensor("loss")) < 2e-5)
    try loss.backward()
    let expected = Fixture.strip("gradients.", fixture.tensors)
    var compared = 0
    for parameter in fixture.model.parameters.trainable {
      guard let gradient = try parameter.value.grad else {
        #expect(expected[parameter.name] == nil, "\(parameter.name) has no gradient")
        continue
      }
      let reference = try #require(expected[parameter.name], "\(parameter.name)")
      // Relative to the tensor's size, with a floor for gradients that are zero but for rounding.
      let difference = Double(try (gradient - reference).norm().item(Float.self))
      let size = Double(try reference.norm().item(Float.self))
      #expect(difference <= 1e-4 * size + 1e-6, "\(parameter.name): \(difference) of \(size)")
      compared += 1
    }
    #expect(compared == expected.count)
  }

  @Test(arguments: fixtures.filter { $0.hasPrefix("documented-") })
  func fusedAndPlainAttentionAgree(name: String) throws {
    let fixture = try Fixture(name)
    var other = fixture.model.configuration
    other.attnFlash.toggle()
    let model = try GPT4MultiModal(other, contents: .uninitialized)
    _ = try model.parameters.load(Fixture.strip("weights.", fixture.tensors))
    let (a, b) = try withoutGradients {
      (
        try fixture.model(fixture.tensor("img"), fixture.tensor("text"), mask: fixture.mask),
        try model(fixture.tensor("img"), fixture.tensor("text"), mask: fixture.mask)
      )
    }
    #expect(try largestDifference(a, b) < 2e-5)
  }
}

import Foundation
import Testing
import Torch

@testable import MultiModalModel

@Suite struct FullDefaultTests {
  /// zetascale draws its weights from LibTorch's generator; the same seed draws the same ones here, so the full model
  /// can be compared without 265 MB of fixtures.
  @Test(arguments: GPT4MultiModal.Configuration.Compatibility.allCases)
  func theDefaultModelWithZetascalesWeightsAgrees(compatibility: GPT4MultiModal.Configuration.Compatibility)
    throws
  {
    let fixture = try Safetensors.read(ParityTests.folder.appendingPathComponent("full-default.safetensors"))
    let number = { (name: String) in try #require(UInt64(fixture.metadata[name] ?? "")) }
    var configuration = GPT4MultiModal.Configuration()
    configuration.compatibility = compatibility
    let model = try GPT4MultiModal(configuration, contents: .random(Generator(seed: number("seed"))))

    let sums = try model.parameters.trainable.sorted { $0.name < $1.name }
      .map { try $0.value.to(dtype: .float64).sum().item(Double.self) }
    let expectedSums = try #require(fixture.tensors["weight_sums"]).array(of: Double.self)
    #expect(zip(sums, expectedSums).allSatisfy { abs($0 - $1) <= 1e-5 * max(1, abs($1)) })

    let img = try Tensor.randn([1, 3, 256, 256], generator: Generator(seed: number("image_seed")))
    let logits = try withoutGradients { try model(img, #require(fixture.tensors["text"])) }
    let sample = try logits.slice(2, step: Int(number("stride")))
    let expected = try #require(fixture.tensors[compatibility.rawValue])
    #expect(try (sample - expected).abs().amax().item(Float.self) < 2e-5)
  }
}

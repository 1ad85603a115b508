import Testing
import Torch

@testable import MultiModalModel

@Suite struct ModelTests {
  @Test func theDocumentedCallWorksAsWritten() throws {
    let model = try GPT4MultiModal(
      imageSize: 256, patchSize: 32, encoderDim: 512, encoderDepth: 6, encoderHeads: 8, numTokens: 20000,
      maxSeqLen: 1024, decoderDim: 512, decoderDepth: 6, decoderHeads: 8, alibiNumHeads: 4,
      useAbsPosEmb: false,
      crossAttend: true, alibiPosBias: true, rotaryXpos: true, attnFlash: true, qkNorm: true)
    let generator = try Generator(seed: 1)
    let img = try Tensor.randn([1, 256, 256, 3], generator: generator)
    let text = try (Tensor.rand([1, 50], generator: generator) * 20000).to(dtype: .int64)
    let output = try withoutGradients { try model(img, text) }
    #expect(output.shape == [1, 50, 20000])
    #expect(try output.isFinite().all().item(Bool.self))
    #expect(model.parameters.count == 66_216_992)
  }
}

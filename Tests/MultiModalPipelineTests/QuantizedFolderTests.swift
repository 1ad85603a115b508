import Foundation
import MultiModalModel
import MultiModalPipeline
import TestSupport
import Testing
import Torch

@Suite struct QuantizedFolderTests {
  /// Folders that are removed when the test is done with them.
  private final class Place {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("gpt4mm-\(UUID().uuidString)")
    init() throws { try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(at: url) }
    func callAsFunction(_ name: String) -> URL { url.appendingPathComponent(name) }
  }

  /// A model folder by the name of `original`, with everything that a captioner needs.
  private func place(dtype: DType = .float32) throws -> (place: Place, folder: ModelFolder) {
    let place = try Place()
    try SmallBundle(vocabularySize: 272, width: 64).write(
      to: place("original"), dtype: dtype, readme: "# A model\n")
    return (place, try ModelFolder(place("original")))
  }

  private func logits(_ model: any ImageToTextModel) throws -> Tensor {
    let img = try Tensor.randn([2, 3, 16, 16], generator: Generator(seed: 1))
    let text = try Tensor([1, 5, 9, 260, 3, 4, 80, 20], shape: [2, 4])
    return try withoutGradients { try model.forward(img: img, text: text) }
  }

  private func difference(_ a: Tensor, _ b: Tensor) throws -> Float { try (a - b).abs().amax().item() }

  private func size(_ url: URL) throws -> Int {
    let path = url.appendingPathComponent(ModelFolder.weightsName).path
    return try #require(FileManager.default.attributesOfItem(atPath: path)[.size] as? Int)
  }

  @Test(arguments: Precision.allCases)
  func aQuantisedFolderGivesTheLogitsOfTheOriginalPreparedInItsPrecision(precision: Precision) throws {
    // Vectors are stored in bfloat16, so only weights that it has come back to the last bit.
    for dtype in [DType.bfloat16, .float32] {
      let (place, folder) = try place(dtype: dtype)
      try folder.quantized(precision, to: place("small"))
      let small = try ModelFolder(place("small"))
      #expect(try small.precision() == precision)
      #expect(try folder.precision() == nil)
      let model = try small.model()
      #expect(model.precision == precision)
      let prepared = try logits(folder.model(precision: precision))
      let isExact = dtype == .bfloat16 || precision == .float32
      let allowed = try isExact ? 0 : 0.05 * prepared.abs().amax().item(Float.self)
      #expect(try difference(logits(model), prepared) <= allowed)
      let share = [.float32: 1.01, .bfloat16: 0.52, .int4WeightOnly: 0.35][precision] ?? 0.4
      let original = try ModelFolder(place("original"))
      if dtype == .float32 { #expect(try Double(size(small.url)) < share * Double(size(original.url))) }
    }
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity])
  func numbersThatAreNotFiniteAreNamedBeforeTheyAreRounded(value: Float) throws {
    let (place, folder) = try place()
    let contents = try Safetensors.read(place("original/model.safetensors"))
    let weight = try #require(contents.tensors.first { $0.key.hasSuffix("to_q.weight") })
    try withoutGradients { _ = try weight.value.narrow(0, start: 3, length: 1).fill_(Double(value)) }
    try Safetensors.write(
      contents.tensors.map { ($0.key, $0.value) }, to: place("original/model.safetensors"))
    let message = "the weights hold numbers that are not finite (NaN or infinity), in \(weight.key): "
    func sentence(_ body: () throws -> Void) -> String {
      do {
        try body()
        return "none"
      } catch { return "\(error)" }
    }
    for precision in Precision.allCases where precision.quantization != nil {
      #expect(sentence { _ = try folder.model(precision: precision) }.contains(message))
    }
    #expect(sentence { try folder.quantized(.bfloat16, to: place("small")) }.contains(message))
    #expect(!FileManager.default.fileExists(atPath: place("small").path))
  }

  @Test func aModelDoesNotChangeWithItsFile() async throws {
    for precision in [nil, Precision.float32, .int8] {
      let (place, folder) = try place()
      let file = place("original/model.safetensors")
      let model = try folder.model(precision: precision)
      let before = try logits(model)
      let bytes = try FileHandle(forUpdating: file)
      // Written over, then cut, where memory that lies in the file would be gone.
      try bytes.write(contentsOf: Data(repeating: 7, count: size(folder.url)))
      #expect(try difference(logits(model), before) == 0)
      try bytes.truncate(atOffset: 100)
      #expect(try difference(logits(model), before) == 0)
    }
  }

  @Test func whatBelongsToPicturesAndTextIsCopied() throws {
    let (place, folder) = try place()
    try folder.quantized(.int8, to: place("small"))
    for name in ["tokenizer.model", ModelFolder.processorName, ModelFolder.configurationName] {
      let (a, b) = (
        try Data(contentsOf: place("original").appendingPathComponent(name)),
        try Data(contentsOf: place("small").appendingPathComponent(name))
      )
      #expect(a == b, "\(name)")
    }
    let readme = try String(contentsOf: place("small").appendingPathComponent("README.md"), encoding: .utf8)
    #expect(readme == "# A model\n\nIts weights were quantised for int8 by `gpt4mm quantize`.\n")
    try FileManager.default.removeItem(at: place("original").appendingPathComponent("tokenizer.model"))
    try FileManager.default.removeItem(at: place("original").appendingPathComponent("README.md"))
    try folder.quantized(.int8, to: place("bare"))
    let files = try FileManager.default.contentsOfDirectory(atPath: place("bare").path).sorted()
    #expect(files == ["config.json", "model.safetensors", "preprocessor_config.json"])
  }

  @Test(arguments: [Precision.bfloat16, .int8, .int4WeightOnly])
  func aQuantisedFolderCanBeComputedInAnotherPrecision(stored: Precision) throws {
    let (place, folder) = try place()
    try folder.quantized(stored, to: place("small"))
    let small = try ModelFolder(place("small"))
    let plain = try logits(folder.model())
    let largest = try plain.abs().amax().item(Float.self)
    for precision in Precision.allCases {
      let model = try small.model(precision: precision)
      #expect(model.precision == precision)
      let isInt4 = precision == .int4WeightOnly || stored == .int4WeightOnly
      #expect(try difference(logits(model), plain) < (isInt4 ? 0.5 : 0.1) * largest, "\(precision)")
    }
  }

  @Test func anUnknownPrecisionIsNamed() throws {
    let (place, folder) = try place()
    let weights = place("original").appendingPathComponent(ModelFolder.weightsName)
    let tensors = try folder.model().parameters.tensors().map { ($0.0, try $0.1.clone()) }
    try Safetensors.write(tensors, metadata: ["precision": "int2"], to: weights)
    for read in [
      { _ = try folder.precision() }, { _ = try folder.model() }, { _ = try folder.partialModel(seed: 1) },
      { _ = try Captioner(contentsOf: folder.url) },
    ] {
      let error = #expect(throws: ModelError.self) { try read() }
      let text = error?.description ?? ""
      #expect(
        text.hasPrefix("the weights in ") && text.contains("have the precision \"int2\": known are float32"))
    }
  }

  @Test func nothingIsQuantisedTwiceOrIntoItself() throws {
    let (place, folder) = try place()
    var error: (any Error)? = #expect(throws: ModelError.self) { try folder.quantized(.int8, to: folder.url) }
    #expect("\(error as Any)".contains("is the folder to quantise: choose another to write"))
    let roundabout = place("original").appendingPathComponent("../original")
    #expect(throws: ModelError.self) { try folder.quantized(.int8, to: roundabout) }
    #expect(try folder.precision() == nil)
    try folder.quantized(.int8, to: place("small"))
    let small = try ModelFolder(place("small"))
    error = #expect(throws: (any Error).self) { try small.quantized(.int8, to: place("smaller")) }
    #expect("\(error as Any)".contains("prepared for inference"))
    #expect(!FileManager.default.fileExists(atPath: place("smaller").path))
    let partial = #expect(throws: ModelError.self) { try small.partialModel(seed: 1) }
    #expect(partial?.description.contains("is quantised, so it cannot be loaded in part") == true)
  }

  @Test func aLinkToTheFolderIsTheFolder() throws {
    let (place, folder) = try place()
    try FileManager.default.createSymbolicLink(at: place("link"), withDestinationURL: place("original"))
    #expect(throws: ModelError.self) { try folder.quantized(.int8, to: place("link")) }
  }

  @Test func aCaptionerComputesInThePrecisionOfItsFolder() async throws {
    let (place, folder) = try place(dtype: .bfloat16)
    for precision in Precision.allCases {
      try folder.quantized(precision, to: place(precision.rawValue))
      let captioner = try Captioner(contentsOf: place(precision.rawValue))
      let prepared = try Captioner(contentsOf: folder.url, precision: precision)
      let image = try captioner.processor(Fixture.url("rgb.png"))
      var request = Captioner.Request()
      request.options.maxNewTokens = 10
      let captions = try await captioner.caption([image, image], request)
      #expect(captions.count == 2 && captions[0][0].tokens == captions[1][0].tokens)
      #expect(try await prepared.caption([image, image], request) == captions, "\(precision)")
      var streamed = ""
      for try await piece in captioner.stream(image, request) { streamed += piece.text }
      #expect(try await captioner.caption([image], request)[0][0].text == streamed)
    }
  }

  @Test func damagedQuantisedWeightsAreRefused() throws {
    let (place, folder) = try place()
    try folder.quantized(.int8, to: place("small"))
    let weights = place("small").appendingPathComponent(ModelFolder.weightsName)
    let contents = try Safetensors.read(weights)
    let name = "decoder.to_logits.weight"
    func write(_ change: (inout [String: Tensor]) throws -> Void) throws -> String {
      var tensors = try contents.tensors.mapValues { try $0.clone() }
      try change(&tensors)
      try Safetensors.write(
        tensors.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }, metadata: contents.metadata,
        to: weights)
      do {
        _ = try ModelFolder(place("small")).model()
        return "none"
      } catch { return "\(error)" }
    }
    #expect(try write { _ in } == "none")
    #expect(try write { $0[name + "_scale"] = try .ones([3, 1]) }.contains("\(name): int8 "))
    #expect(try write { $0[name] = nil }.contains("missing: \(name); unexpected: \(name)_scale"))
    #expect(try write { $0[name + "_scale"] = nil }.contains("\(name)"))
  }
}

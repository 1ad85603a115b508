import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

@testable import MultiModalTraining

/// Every reader of files that come from elsewhere, with sound files to damage.
enum Readers {
  private static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent()
    .appendingPathComponent("Fixtures")

  private static func fixture(_ name: String) throws -> Data {
    try Data(contentsOf: fixtures.appendingPathComponent(name))
  }

  static func all() throws -> [FuzzTests.Reader] {
    try weights() + settings() + datasets() + [tokenizer(), pictures()]
  }

  // MARK: Weights

  @Sendable private static func readWeights(_ url: URL) throws {
    _ = try WeightFile.list(url)
    for tensor in try WeightFile.read(url).tensors.values { _ = try tensor.array(of: Double.self) }
  }

  private static func weights() throws -> [FuzzTests.Reader] {
    let one = try fixture("checkpoints/plain.safetensors")
    let index = Data(
      #"{"metadata": {"total_size": 16}, "weight_map": {"int64": "one.bin", "float32": "one.bin"}}"#.utf8)
    return [
      .init(
        name: "safetensors", file: "model.safetensors",
        seeds: [one, try fixture("checkpoints/nested.safetensors")],
        words: ["F32", "U16", "F4", "data_offsets"],
        read: readWeights),
      .init(
        name: "pytorch", file: "model.pt",
        seeds: try ["plain.pt", "legacy.pt", "nested.pt", "nested-legacy.bin"].map {
          try fixture("checkpoints/\($0)")
        },
        words: [
          "ctorch\nFloatStorage\n", "ccollections\nOrderedDict\n", "ctorch._utils\n_rebuild_tensor_v2\n", "R",
          "Q", "\u{85}",
        ],
        read: readWeights),
      .init(name: "index", file: "model.safetensors.index.json", seeds: [index], words: ["one.bin"]) { url in
        try one.write(to: url.deletingLastPathComponent().appendingPathComponent("one.bin"))
        try readWeights(url)
      },
      .init(
        name: "adapter-weights", file: "adapter_model.safetensors",
        seeds: [try fixture("adapters/peft/adapter_model.safetensors")]
      ) { url in
        try fixture("adapters/peft/adapter_config.json").write(
          to: url.deletingLastPathComponent().appendingPathComponent("adapter_config.json"))
        try AdapterFolder.merge(url.deletingLastPathComponent(), into: store())
      },
    ]
  }

  /// The layers that the adapters of the fixtures are for.
  private static func store() throws -> ParameterStore {
    let store = ParameterStore(contents: .uninitialized)
    let block = store.root / "decoder" / "attn_layers" / "layers" / 0
    for name in ["to_q", "to_k"] { _ = try Linear(block / 1 / name, inputs: 4, outputs: 6, bias: false) }
    _ = try Linear(block / 2 / "ff" / 2, inputs: 6, outputs: 4)
    _ = try Linear(store.root / "decoder" / "to_logits", inputs: 4, outputs: 5)
    return store
  }

  // MARK: Settings

  private static func settings() throws -> [FuzzTests.Reader] {
    let model = try JSONEncoder().encode(GPT4MultiModal.Configuration())
    let processor = try JSONEncoder().encode(ImageProcessor.Configuration())
    let training = Data(
      #"""
      {"model": {"image_size": 16, "patch_size": 8}, "image": {"size": {"height": 16, "width": 16}},
       "training": {"epochs": 2, "learning_rate": 0.002}, "tokenizer": {"vocabulary_size": 300}, "augmentation": {"size": [1, 2]}}
      """#.utf8)
    return [
      .init(name: "configuration", file: "config.json", seeds: [model]) {
        _ = try ModelFolder.configuration(contentsOf: $0)
      },
      .init(name: "preprocessor", file: "preprocessor_config.json", seeds: [processor]) {
        _ = try ImageProcessor.Configuration(contentsOf: $0)
      },
      .init(name: "training", file: "config.json", seeds: [training]) {
        _ = try TrainingConfiguration(contentsOf: $0)
      },
      .init(
        name: "adapter", file: "adapter_config.json",
        seeds: [try fixture("adapters/peft/adapter_config.json")],
        words: ["target_modules", "lora_alpha"]
      ) { url in
        try fixture("adapters/peft/adapter_model.safetensors").write(
          to: url.deletingLastPathComponent().appendingPathComponent("adapter_model.safetensors"))
        try AdapterFolder.merge(url.deletingLastPathComponent(), into: store())
      },
    ]
  }

  // MARK: Datasets

  @Sendable private static func readDataset(_ url: URL) throws {
    try Datasets.open(url).forEach { (sample: Sample) in
      do {
        _ = try sample.picture.decoded(longestSide: nil, limits: PictureLimits(maxBytes: 1 << 20))
      } catch is PictureError {}
    }
  }

  private static func datasets() throws -> [FuzzTests.Reader] {
    let lines = """
      {"file_name": "a.png", "text": "one"}
      {"file_name": "b/c.png", "text": ["one", "two"], "prompt": "what"}
      {"file_name": "a.png", "text": ["x", "y"], "prompt": ["p", "q"]}

      """
    return [
      .init(
        name: "metadata", file: "metadata.jsonl", seeds: [Data(lines.utf8)],
        words: ["file_name", "text", "prompt"]
      ) { try readDataset($0.deletingLastPathComponent()) },
      .init(
        name: "list", file: "a.tsv", seeds: [Data("a.png\tone\nb.png\twhat\ttwo\n".utf8)], words: ["\t"],
        read: readDataset),
      .init(
        name: "tar", file: "a.tar", seeds: try [tar("gnu"), tar("pax")],
        words: [
          "ustar", "GNU.sparse.map=0,5", "20 GNU.sparse.size=9\n", "path=", "size=", ".jpg", ".txt", ".json",
        ], read: readDataset),
    ]
  }

  /// Pictures and texts, long names, and a file with holes, by the system's tar.
  private static func tar(_ format: String) throws -> Data {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("gpt4mm-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let long = String(repeating: "folder/", count: 16)
    for (name, text) in [
      ("a.jpg", "1"), ("a.txt", "one"), ("\(long)b.png", "2"), ("\(long)b.json", #"{"text": "two"}"#),
    ] {
      let file = folder.appendingPathComponent(name)
      try FileManager.default.createDirectory(
        at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(text.utf8).write(to: file)
    }
    let holes = folder.appendingPathComponent("c.jpg")
    try Data("3".utf8).write(to: holes)
    _ = truncate(holes.path, 100_000)
    try Data("three".utf8).write(to: folder.appendingPathComponent("c.txt"))
    let tar = Process()
    tar.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    tar.arguments =
      ["tar", "--sparse", "--format=\(format)", "-cf", folder.path + "/out.tar", "-C", folder.path]
      + ["a.jpg", "a.txt", "\(long)b.png", "\(long)b.json", "c.jpg", "c.txt"]
    try tar.run()
    tar.waitUntilExit()
    return try Data(contentsOf: folder.appendingPathComponent("out.tar"))
  }

  // MARK: Text and pictures

  private static func tokenizer() throws -> FuzzTests.Reader {
    let text = ["a cat and a dog", "the hat on the mat"]
    let seeds = try [SentencePieceTokenizer.TrainingConfiguration.ModelType.unigram, .bpe].map {
      try SentencePieceTokenizer.train(on: text, configuration: .init(vocabularySize: 290, type: $0))
        .modelData
    }
    return .init(
      name: "tokenizer", file: "tokenizer.model", seeds: seeds,
      words: ["<0x41>", "<unk>", "\u{2581}", "nmt_nfkc"]
    ) { url in
      let tokenizer = try SentencePieceTokenizer(contentsOf: url)
      _ = try tokenizer.decode(tokenizer.encodeTarget("a cat \u{FF21}\u{2581} \u{1F600}"))
      for id in stride(from: 0, to: tokenizer.vocabularySize, by: 50) { _ = try tokenizer.piece(id) }
    }
  }

  private static func pictures() throws -> FuzzTests.Reader {
    let names = ["rgb.png", "orientation-1.jpg", "rgb.webp", "rgb.tif", "two-frames.gif"]
    return .init(
      name: "pictures", file: "a", seeds: try names.map { try fixture("pictures/\($0)") },
      words: ["Exif\0\0II*\0", "eXIf", "zTXt"]
    ) { url in _ = try Picture(contentsOf: url, longestSide: 64, limits: PictureLimits(maxPixels: 1_000_000))
    }
  }
}

import Foundation
import MultiModalModel
import MultiModalPipeline
import Testing
import Torch

@testable import MultiModalTraining

extension TrainerTests {
  /// Hugging Face's checkpoints are trained, written, quantised and captioned with like the documented class.
  @Suite struct CheckpointTrainingTests {
    private static let tokenizers = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Fixtures/tokenizers")

    private static let decoders = [
      "trocr": #""d_model": 32, "decoder_layers": 1, "decoder_attention_heads": 1, "decoder_ffn_dim": 48"#,
      "gpt2": #""n_embd": 32, "n_layer": 1, "n_head": 1, "n_positions": 32, "add_cross_attention": true"#,
      "bert":
        #""hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48"#,
    ]

    /// A folder as it lies on a hub, with random weights.
    /// - Parameter spare: rows of the head that belong to no token
    private func checkpoint(_ decoder: String, spare: Int = 0) throws -> TemporaryFolder {
      let folder = try TemporaryFolder()
      let names = ["vocab.json", "merges.txt", "special_tokens_map.json", "tokenizer_config.json"]
      for name in names {
        try FileManager.default.copyItem(
          at: Self.tokenizers.appendingPathComponent("roberta/\(name)"), to: folder.file(name))
      }
      let fields = try #require(Self.decoders[decoder])
      let vocabulary = try TokenizerFiles(contentsOf: folder.url).tokenizer(folder.url.path).vocabularySize
      try folder.write(
        """
        {"model_type": "vision-encoder-decoder",
         "encoder": {"model_type": "vit", "hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 1,
                     "intermediate_size": 64, "image_size": 16, "patch_size": 8},
         "decoder": {"model_type": "\(decoder)", "vocab_size": \(vocabulary + spare), \(fields)}}
        """, "config.json")
      try folder.write(
        #"{"decoder_start_token_id": 2, "eos_token_id": 2, "pad_token_id": 1, "num_beams": 2, "max_length": 16}"#,
        "generation_config.json")
      try folder.write(
        #"{"image_processor_type": "ViTImageProcessor", "size": {"height": 16, "width": 16}}"#,
        "preprocessor_config.json")
      let model = try ModelFolder(folder.url).configuration().makeModel(
        contents: .random(Generator(seed: 1)), dtype: .float32, device: .cpu)
      try Safetensors.write(
        model.checkpointTensors(of: model.parameters.tensors()), to: folder.file("model.safetensors"))
      return folder
    }

    private func settings(_ change: (inout TrainingConfiguration.Training) -> Void) -> TrainingConfiguration {
      var settings = TrainingConfiguration()
      settings.training = smallSettings().training
      settings.training.generatedSamples = 1
      change(&settings.training)
      return settings
    }

    @Test(arguments: decoders.keys.sorted()) func aCheckpointIsTrainedFurther(decoder: String) async throws {
      let (data, base, run) = (try squares(), try checkpoint(decoder), try TemporaryFolder())
      let settings = settings {
        $0.epochs = 150
        $0.learningRate = 3e-3
        $0.emaDecay = 0.5
        $0.validationEvery = 1000
      }
      try await train(data, run, settings, from: base.url, cancelAfter: 7)
      try await train(data, run, settings, resume: true)
      let captioner = try Captioner(contentsOf: run.url)
      #expect(captioner.defaultRequest.options.numBeams == 2)
      #expect(captioner.generation.start == 2)
      let evaluation = try await Evaluation.run(
        captioner, on: Datasets.open(data.url.appendingPathComponent("train")))
      #expect(evaluation.metrics.exactMatch == 1)
      let names = try Set(Safetensors.read(base.file("model.safetensors")).tensors.keys)
      #expect(try Set(Safetensors.read(run.file("model.safetensors")).tensors.keys) == names)

      try ModelFolder(run.url).quantized(.int8, to: run.file("int8"))
      let small = try Captioner(contentsOf: run.file("int8"))
      let again = try await Evaluation.run(
        small, on: Datasets.open(data.url.appendingPathComponent("train")))
      #expect(again.metrics.exactMatch > 0.7)
    }

    @Test func aHeadThatIsWiderThanTheTokenizerStaysAsItIs() async throws {
      let (data, base, run) = (try squares(), try checkpoint("trocr", spare: 3), try TemporaryFolder())
      try await train(data, run, settings { $0.epochs = 2 }, from: base.url)
      let (before, after) = (
        try ModelFolder(base.url).configuration(), try ModelFolder(run.url).configuration()
      )
      #expect(after.vocabularySize == before.vocabularySize)
      #expect(try Captioner(contentsOf: run.url).generation.start == 2)
    }

    @Test func adaptersAreLearnedBesideACheckpoint() async throws {
      let (data, base, run) = (try squares(), try checkpoint("trocr"), try TemporaryFolder())
      try await train(
        data, run,
        settings {
          $0.epochs = 2
          $0.lora.rank = 2
          $0.lora.layers = ["q_proj", "query"]
        }, from: base.url)
      let merged = try TemporaryFolder()
      try AdapterFolder.merge(
        run.file("adapter"), into: ModelFolder(base.url), to: merged.file("model"))
      let tensors = try Safetensors.read(merged.file("model/model.safetensors")).tensors
      for (name, tensor) in try Safetensors.read(run.file("model.safetensors")).tensors {
        let other = try #require(tensors[name])
        #expect(try (tensor - other).abs().amax().item(Float.self) < 1e-6, "\(name)")
      }
    }
  }
}

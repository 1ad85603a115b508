import Foundation
import MultiModalModel
import MultiModalPipeline

extension TrainingConfiguration {
  /// A setting that is a value of its own.
  public struct Setting: Sendable {
    /// By its path, such as `training.learning_rate`.
    public let name: String
    /// In JSON.
    public let value: String
    /// Empty for a parameter of a model that is documented elsewhere.
    public let meaning: String
  }

  /// All settings with their values, in the order of the documentation. Without augmentation there are those that it would have.
  public func settings() throws -> [Setting] {
    var whole = self
    whole.augmentation = augmentation ?? .init()
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    var values: [String: String] = [:]
    func collect(_ value: JSONValue, at path: String) throws {
      if case .object(let fields) = value {
        for (name, value) in fields { try collect(value, at: path.isEmpty ? name : "\(path).\(name)") }
      } else {
        values[path] = String(decoding: try encoder.encode(value), as: UTF8.self)
      }
    }
    try collect(JSONDecoder().decode(JSONValue.self, from: encoder.encode(whole)), at: "")
    let known = Self.meanings.compactMap { name, meaning in
      values.removeValue(forKey: name).map { Setting(name: name, value: $0, meaning: meaning) }
    }
    return values.sorted { $0.key < $1.key }.map { Setting(name: $0.key, value: $0.value, meaning: "") }
      + known
  }

  static let meanings: [(name: String, meaning: String)] = [
    ("model.image_size", "height and width of the largest square picture, in pixels"),
    ("model.patch_size", "height and width of a patch, in pixels"),
    ("model.encoder_dim", "width of the encoder's embeddings"),
    ("model.encoder_depth", "layers of the encoder"),
    ("model.encoder_heads", "attention heads of an encoder layer"),
    ("model.num_tokens", "the vocabulary's size; that of the tokenizer takes its place"),
    ("model.max_seq_len", "the longest text, in tokens"),
    ("model.decoder_dim", "width of the decoder's embeddings"),
    ("model.decoder_depth", "layers of the decoder"),
    ("model.decoder_heads", "attention heads of a decoder layer"),
    ("model.alibi_num_heads", "how many of the decoder's heads have an ALiBi slope"),
    ("model.use_abs_pos_emb", "add a learned vector per position"),
    ("model.cross_attend", "attend to the picture in blocks of its own; else it goes before the text"),
    ("model.alibi_pos_bias", "lower attention's logits by distance"),
    ("model.rotary_xpos", "turn queries and keys by their positions, scaled as xPos does"),
    ("model.attn_flash", "compute attention with the fused kernel"),
    ("model.qk_norm", "attend by cosine similarity in the decoder"),
    ("model.compatibility", "documented, or zetascale for the arithmetic of its version 2.8.8"),
    ("model.attn_dropout", "probability of zeroing an attention weight"),
    ("model.ff_dropout", "probability of zeroing a hidden unit of the feed-forward blocks"),
    ("model.emb_dropout", "probability of zeroing an element of the embeddings"),
    ("image.do_resize", "whether pictures are resized"),
    ("image.size.height", "after resizing, in pixels; the model's when image.size is left out"),
    ("image.size.width", "after resizing, in pixels"),
    ("image.resize_mode", "stretch, crop to what covers the size, or pad to it"),
    ("image.resample", "the filter: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic"),
    (
      "image.do_center_crop",
      "whether image.crop_size (height and width) is cut from the middle, where it is given"
    ),
    ("image.background", "red, green and blue, 0 to 255, behind transparency and around padded pictures"),
    ("image.do_rescale", "whether pixels are multiplied by image.rescale_factor"),
    ("image.rescale_factor", "what pixels, 0 to 255, are multiplied by"),
    ("image.do_normalize", "whether image.image_mean and image.image_std are heeded"),
    ("image.image_mean", "subtracted from the rescaled red, green and blue"),
    ("image.image_std", "what the result is divided by"),
    ("image.max_pixels", "pictures with more are refused before decoding"),
    ("image.max_bytes", "larger files are refused before reading"),
    ("augmentation.size", "the picture's longer side as a share of the view's, from least to most"),
    ("augmentation.degrees", "the largest rotation either way"),
    ("augmentation.white", "the share of views on white; the others have drawn colours"),
    ("augmentation.gradient", "the share of the others with a gradient behind them"),
    ("augmentation.contrast", "the largest change of a channel's contrast, as a share"),
    ("augmentation.brightness", "the largest change of brightness, of 255"),
    ("augmentation.blur_share", "the share of views that are blurred"),
    ("augmentation.blur", "the blur's standard deviation in pixels, from least to most"),
    ("augmentation.noise_share", "the share of views with noise"),
    ("augmentation.noise", "the noise's standard deviation of 255, from least to most"),
    ("augmentation.jpeg_share", "the share of views that went through JPEG"),
    ("augmentation.jpeg_quality", "its quality, 1 to 100, from least to most"),
    (
      "augmentation.flip_share", "the share of views that are mirrored; 0 where left and right mean something"
    ),
    ("tokenizer.vocabulary_size", "tokens of the vocabulary that is made of the training texts"),
    ("tokenizer.type", "unigram or bpe"),
    ("data.shuffle_buffer", "samples that wait to be drawn from; a dataset that fits is mixed perfectly"),
    ("data.bucket_batches", "batches that are cut from samples sorted by length; 1 leaves lengths mixed"),
    ("data.workers", "batches that are made at once, ahead of their use"),
    ("data.max_damaged_share", "the share of pictures that may be missing or damaged before the run ends"),
    ("data.validation", "a dataset to validate with, in the place of one beside the training data"),
    ("data.validation_share", "the share of pictures held out to validate with, where no others are given"),
    ("training.epochs", "rounds through the pictures"),
    ("training.batch_size", "samples of a batch, over all processes together"),
    ("training.gradient_accumulation_steps", "batches whose gradients one step adds up"),
    ("training.precision", "float32, or bfloat16 for products and attention"),
    ("training.activation_checkpointing", "less memory, a quarter more time"),
    ("training.learning_rate", "after the warm-up"),
    ("training.min_learning_rate", "at the end, unless the schedule is constant"),
    ("training.warmup_steps", "steps in which the learning rate rises"),
    ("training.schedule", "how it falls then: cosine, linear or constant"),
    ("training.label_smoothing", "the share of a target's probability that goes to all tokens alike"),
    ("training.weight_decay", "of matrices; norms, biases, embeddings and learned positions have none"),
    ("training.beta1", "AdamW's average of gradients"),
    ("training.beta2", "AdamW's average of their squares"),
    ("training.clip_norm", "the largest norm of all gradients together"),
    (
      "training.ema_decay",
      "validate and export the moving average of the weights, with such as 0.999; 0 for none"
    ),
    ("training.freeze", "beginnings of parameters' names that are not learned, such as [\"encoder\"]"),
    ("training.lora.rank", "of the adapters that are learned beside frozen weights; 0 for none"),
    ("training.lora.alpha", "adapters count alpha / rank"),
    ("training.lora.layers", "parts of layers' names, such as [\"to_q\"]; empty for all linear layers"),
    ("training.seed", "of weights, order, augmentation and dropout"),
    ("training.validation_every", "steps between two validations"),
    ("training.generated_samples", "held-out pictures for which a validation writes texts"),
    (
      "training.early_stop_patience",
      "validations without a better loss after which the run ends; 0 for never"
    ),
    ("training.checkpoint_every", "steps between two checkpoints"),
    ("training.keep_checkpoints", "how many are kept besides the best validation's"),
    ("training.max_skipped_steps", "steps in a row that may be left out as not finite before the run ends"),
    ("training.export", "the finished model has the last weights, or those of the best validation"),
    ("training.weights", "what they are stored as: float32 or bfloat16"),
    ("distributed.bucket_megabytes", "gradients are summed over processes in pieces of this size"),
    (
      "distributed.shard_optimizer",
      "each process keeps the optimizer's state of its share alone (ZeRO, stage 1)"
    ),
    ("distributed.timeout_seconds", "how long a process waits for the others before it gives up"),
  ]
}

import Torch

/// What transformers' checkpoints call a vision encoder-decoder's parameters, where that is not as ours: older and newer names,
/// GPT-2's joined and transposed matrices, tied heads, and buffers that are computed.
struct CheckpointNames {
  private let configuration: TextDecoderConfiguration
  private let encoder: VisionTransformer.Configuration

  init(_ configuration: VisionEncoderDecoder.Configuration) {
    self.configuration = configuration.decoder
    encoder = configuration.encoder
  }

  /// A convolution's, [width, channels, height, width], which is ours flat.
  private static let patches = "encoder.embeddings.patch_embeddings.projection.weight"

  /// - Throws: `ModelError` for a tensor of a shape that cannot be.
  func parameters(of checkpoint: [String: Tensor]) throws -> [String: Tensor] {
    var result: [String: Tensor] = [:]
    for (name, tensor) in checkpoint {
      let name = Self.current(name)
      if isLeftOut(name) { continue }
      if name == Self.patches, tensor.rank == 4 {
        result[name] = try tensor.reshape([tensor.shape[0], -1])
        continue
      }
      if configuration.kind == .gpt2, let parts = try Self.splitConv1D(name, tensor) {
        for (name, part) in parts { result[name] = part }
      } else {
        result[name] = tensor
      }
    }
    // In files of both versions of transformers the bias that acts is the last layer's own, where there is one.
    for head in ["decoder.cls.predictions", "decoder.lm_head"] {
      if let bias = result.removeValue(forKey: "\(head).decoder.bias") { result["\(head).bias"] = bias }
    }
    return result
  }

  /// As both versions of transformers read it.
  func checkpoint(of parameters: [(String, Tensor)]) throws -> [(String, Tensor)] {
    let parameters = try parameters.map { name, tensor in
      guard name == Self.patches else { return (name, tensor) }
      let shape = [encoder.width, encoder.channels, encoder.patchHeight, encoder.patchWidth]
      return (name, try tensor.reshape(shape))
    }
    switch configuration.kind {
    case .trocr: return parameters
    case .gpt2: return try Self.joinedConv1D(parameters)
    case .bert, .roberta:
      guard !configuration.hasTiedHead else { return parameters }
      // Version 5 reads the last layer's own bias, version 4 the head's.
      return parameters.flatMap { name, tensor in
        let head = ["decoder.cls.predictions", "decoder.lm_head"].first { name == "\($0).bias" }
        return [(name, tensor)] + (head.map { [("\($0).decoder.bias", tensor)] } ?? [])
      }
    }
  }

  private static func joinedConv1D(_ parameters: [(String, Tensor)]) throws -> [(String, Tensor)] {
    var joined: [String: [String: Tensor]] = [:]
    var result: [(String, Tensor)] = []
    for (name, tensor) in parameters {
      let parts = name.split(separator: ".").map(String.init)
      guard name.hasPrefix(blocks), parts.count == 7 else {
        result.append((name, tensor))
        continue
      }
      let (layer, kind) = (parts[5], parts[6])
      let stored = kind == "weight" ? try tensor.transpose(0, 1).contiguous() : tensor
      guard ["q", "k", "v"].contains(layer) else {
        result.append((name, stored))
        continue
      }
      let own = parts[4] == "crossattention" && layer == "q" ? "q_attn" : "c_attn"
      joined[(parts.prefix(5) + [own, kind]).joined(separator: "."), default: [:]][layer] = stored
    }
    for (name, parts) in joined.sorted(by: { $0.key < $1.key }) {
      let ordered = ["q", "k", "v"].compactMap { parts[$0] }
      result.append((name, try ordered.count == 1 ? ordered[0] : Tensor.cat(ordered, dim: -1)))
    }
    return result
  }

  private static let blocks = "decoder.transformer.h."

  /// The name that transformers 4 writes for one of another version.
  private static func current(_ name: String) -> String {
    if name.hasSuffix("LayerNorm.gamma") { return name.dropLast(5) + "weight" }
    if name.hasSuffix("LayerNorm.beta") { return name.dropLast(4) + "bias" }
    let layers = "encoder.layers."
    guard name.hasPrefix(layers) else { return name }
    // Version 5's own names of the vision transformer.
    let rest = name.dropFirst(layers.count).split(separator: ".", maxSplits: 1)
    guard rest.count == 2 else { return name }
    var inner = String(rest[1])
    for (new, old) in newNames where inner.hasPrefix(new + ".") {
      inner = old + inner.dropFirst(new.count)
      break
    }
    return "encoder.encoder.layer.\(rest[0]).\(inner)"
  }

  private static let newNames = [
    ("attention.q_proj", "attention.attention.query"), ("attention.k_proj", "attention.attention.key"),
    ("attention.v_proj", "attention.attention.value"), ("attention.o_proj", "attention.output.dense"),
    ("mlp.fc1", "intermediate.dense"), ("mlp.fc2", "output.dense"),
  ]

  /// What is in files and is no parameter: buffers, the pooler, and the second name of a tied head.
  private func isLeftOut(_ name: String) -> Bool {
    let buffers = [
      ".position_ids", ".token_type_ids", "._float_tensor", ".attn.bias", ".attn.masked_bias",
      ".crossattention.bias", ".crossattention.masked_bias",
    ]
    if buffers.contains(where: name.hasSuffix) || name.hasPrefix("encoder.pooler.") { return true }
    return configuration.hasTiedHead
      && [
        "decoder.output_projection.weight", "decoder.lm_head.weight",
        "decoder.cls.predictions.decoder.weight",
        "decoder.lm_head.decoder.weight",
      ].contains(name)
  }

  /// GPT-2's `Conv1D` has its weight as [inputs, outputs], and queries, keys and values in one.
  /// - Returns: nil for what is none
  private static func splitConv1D(_ name: String, _ tensor: Tensor) throws -> [(String, Tensor)]? {
    let parts = name.split(separator: ".").map(String.init)
    guard name.hasPrefix(blocks), parts.count == 7 else { return nil }
    let (layer, kind) = (parts[5], parts[6])
    let names: [String]
    switch (parts[4], layer) {
    case ("attn", "c_attn"): names = ["q", "k", "v"]
    case ("crossattention", "c_attn"): names = ["k", "v"]
    case ("crossattention", "q_attn"): names = ["q"]
    default: names = [layer]
    }
    guard tensor.rank == (kind == "weight" ? 2 : 1), let last = tensor.shape.last, last % names.count == 0
    else {
      throw ModelError("\(name) has shape \(tensor.shape), which no layer of GPT-2 has")
    }
    let pieces = try tensor.split(Array(repeating: last / names.count, count: names.count), dim: -1)
    return try zip(names, pieces).map { own, piece in
      (
        (parts.prefix(5) + [own, kind]).joined(separator: "."),
        kind == "weight" ? try piece.transpose(0, 1) : piece
      )
    }
  }
}

import MultiModalModel
import Torch

extension Trainer {
  /// Gives gradients to what is learned, adds adapters where these are, and gives every process the first one's weights.
  /// - Returns: what is learned
  /// - Throws: `TrainingError` for parts to freeze that there are not.
  static func prepare(
    _ parameters: ParameterStore, _ settings: TrainingConfiguration.Training, _ group: ProcessGroup?
  ) throws -> [Parameter] {
    for parameter in parameters.trainable { try parameter.value.requiresGrad_() }
    try freeze(settings.freeze, of: parameters)
    let lora = settings.lora
    if lora.rank > 0 {
      try parameters.addAdapters(
        rank: lora.rank, alpha: lora.alpha, layers: lora.layers,
        contents: .random(Generator(seed: settings.seed)))
    }
    try share(parameters, group)
    return parameters.trainable.filter(\.value.requiresGrad)
  }

  static func share(_ parameters: ParameterStore, _ group: ProcessGroup?) throws {
    try withoutGradients {
      for parameter in parameters.parameters { try group?.broadcast_(parameter.value.detach(), from: 0) }
    }
  }

  private static func freeze(_ parts: [String], of parameters: ParameterStore) throws {
    for part in parts {
      let frozen = parameters.trainable.filter { $0.name == part || $0.name.hasPrefix(part + ".") }
      guard !frozen.isEmpty else {
        let known = Set(parameters.parameters.compactMap { $0.name.split(separator: ".").first }).sorted()
        throw TrainingError(
          "training.freeze names \(part), which no parameter's name begins with: give \(known.joined(separator: ", ")) or "
            + "a longer name, as 'gpt4mm inspect' lists them")
      }
      for parameter in frozen { try parameter.value.requiresGrad_(false) }
    }
    guard parameters.trainable.contains(where: { $0.value.requiresGrad }) else {
      throw TrainingError("training.freeze leaves nothing to learn")
    }
  }

  /// Matrices decay; vectors, embeddings and learned positions do not.
  static func decayGroups(_ parameters: [Parameter]) -> (decayed: [Parameter], others: [Parameter]) {
    (parameters.filter { $0.role == .weight }, parameters.filter { $0.role != .weight })
  }
}

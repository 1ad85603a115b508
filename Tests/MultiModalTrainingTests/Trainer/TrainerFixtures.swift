import MultiModalModel
import Foundation
import MultiModalPipeline
import Testing
import Torch

@testable import MultiModalTraining

/// Coloured squares and their names, to train and to validate with.
func squares() throws -> TemporaryFolder {
  let folder = try TemporaryFolder()
  let colours: [(String, [UInt8])] = [
    ("red", [255, 0, 0]), ("green", [0, 160, 0]), ("blue", [0, 0, 255]), ("white", [255, 255, 255]),
  ]
  for split in ["train", "validation"] {
    var lines = ""
    for (name, colour) in colours {
      try folder.writePicture("\(split)/\(name).png", colour)
      lines += #"{"file_name": "\#(name).png", "text": "\#(name) square"}"# + "\n"
    }
    try folder.write(lines, "\(split)/metadata.jsonl")
  }
  return folder
}

extension TrainingConfiguration {
  /// Changes the settings of a model of the documented class.
  mutating func changeModel(_ change: (inout GPT4MultiModal.Configuration) -> Void) {
    guard var documented = model.family as? GPT4MultiModal.Configuration else { return }
    change(&documented)
    model.family = documented
  }
}

/// A run of 12 steps that takes little time.
func smallSettings(_ change: (inout TrainingConfiguration) -> Void = { _ in }) -> TrainingConfiguration {
  var settings = TrainingConfiguration()
  var model = GPT4MultiModal.Configuration()
  model.imageSize = 16
  model.patchSize = 8
  model.encoderDim = 32
  model.encoderDepth = 1
  model.encoderHeads = 1
  model.decoderDim = 32
  model.decoderDepth = 1
  model.decoderHeads = 1
  model.alibiNumHeads = 1
  model.maxSeqLen = 32
  model.ffDropout = 0.1
  settings.model = ModelConfiguration(model)
  settings.image.size = .init(height: 16, width: 16)
  settings.augmentation = .init()
  settings.tokenizer.vocabularySize = 280
  settings.training.batchSize = 2
  settings.training.epochs = 6
  settings.training.warmupSteps = 2
  settings.training.validationEvery = 4
  settings.training.checkpointEvery = 4
  change(&settings)
  return settings
}

/// Trains to the end or, where `cancelAfter` names a step, until one step later.
@discardableResult func train(
  _ data: TemporaryFolder, _ run: TemporaryFolder, _ settings: TrainingConfiguration, resume: Bool = false,
  from base: URL? = nil, cancelAfter: Int? = nil
) async throws -> [Trainer.Event] {
  let (data, run) = (data.url, run.url)
  return try await Task {
    var events: [Trainer.Event] = []
    do {
      _ = try await TrainingRun(data: data, folder: run, configuration: settings, resume: resume, from: base)
        .train {
          events.append($0)
          if case .step(let progress) = $0, progress.step == cancelAfter {
            withUnsafeCurrentTask { $0?.cancel() }
          }
        }
    } catch is CancellationError where cancelAfter != nil {}
    return events
  }.value
}

/// A file's tensors.
func weights(_ url: URL) throws -> [String: [Float]] {
  try Safetensors.read(url).tensors.mapValues { try $0.to(dtype: .float32).array(of: Float.self) }
}

func weights(_ parameters: [Parameter]) throws -> [String: [Float]] {
  try Dictionary(
    uniqueKeysWithValues: parameters.map { ($0.name, try $0.value.detach().array(of: Float.self)) })
}

func largestDifference(_ a: [String: [Float]], _ b: [String: [Float]]) -> Float {
  guard a.keys.sorted() == b.keys.sorted() else { return .infinity }
  return a.map { name, values in
    let other = b[name] ?? []
    return values.count == other.count
      ? zip(values, other).map { abs($0 - $1) }.max() ?? 0 : .infinity
  }.max() ?? .infinity
}

import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

/// What reading through a run's data gives, and what follows from it: tokenizer, how texts begin and end, and the state with
/// which the run begins.
struct RunData {
  let tokenizer: any Tokenizer
  let generation: GenerationSettings
  let training: DatasetSummary
  let validation: DatasetReader.Validation?
  let state: Checkpoint.State

  /// Samples whose texts a vocabulary is made from at most; more make it no better.
  private static let vocabularySamples = 1_000_000
  private typealias Text = (prompt: String?, text: String)

  /// Reads every sample once, makes a vocabulary where there is none, and checks that every text fits.
  init(
    _ data: TrainingData, _ start: RunStart, group: ProcessGroup?, progress: @escaping (Int) -> Void
  ) throws {
    var state = start.state
    let settings = state.configuration.training
    let known = try start.tokenizerFiles.map { try $0.tokenizer(start.name) }
    func encoder(_ tokenizer: any Tokenizer) throws -> ExampleEncoder {
      try ExampleEncoder(
        tokenizer: tokenizer, generation: Self.generation(start.state, tokenizer),
        configuration: start.state.configuration.model.family)
    }
    var reader = DatasetReader(group, progress: progress)
    var texts = Reservoir<Text>(count: Self.vocabularySamples, seed: settings.seed)
    let makesVocabulary = known == nil && group?.rank ?? 0 == 0
    // The texts of a run that goes on were seen to fit.
    training = try reader.read(data.training, by: start.isResumed ? nil : known.map(encoder)) {
      if makesVocabulary { texts.add(($0.prompt, $0.text)) }
    }
    guard training.count > 0 else { throw data.emptyTraining }
    guard training.count >= settings.batchSize || group == nil else {
      throw TrainingError(
        "\(data.training.name) has \(training.count) samples, fewer than training.batch_size \(settings.batchSize)"
      )
    }
    let check = FingerprintCheck(run: start.name, isResumed: start.isResumed, group: group)
    state.dataFingerprint = try check(data.training, training, against: state.dataFingerprint)
    tokenizer =
      try known
      ?? Self.vocabulary(of: data.training, texts, start.state, group: group).tokenizer(start.name)
    let family = state.configuration.model.family
    // A base model's head may have more rows than its tokenizer has tokens.
    if known == nil || !family.mayExceedTokenizer || tokenizer.vocabularySize > family.vocabularySize {
      state.configuration.model.family.vocabularySize = tokenizer.vocabularySize
    }
    generation = try Self.generation(state, tokenizer)
    try check.thatAllValidate(data, validated: state.validationFingerprint != nil)
    validation = try reader.readValidation(of: data, by: encoder(tokenizer), settings)
    if let dataset = data.validation, let summary = validation?.summary {
      state.validationFingerprint = try check(dataset, summary, against: state.validationFingerprint)
    }
    self.state = state
  }

  private static func generation(_ state: Checkpoint.State, _ tokenizer: any Tokenizer) throws
    -> GenerationSettings
  {
    try state.generation.map { try GenerationSettings($0, tokenizer: tokenizer) }
      ?? GenerationSettings(state.configuration.model.family, tokenizer)
  }

  /// A vocabulary of the texts, made by the first process, however long that takes.
  /// - Throws: `TrainingError` for a text that does not fit.
  private static func vocabulary(
    of dataset: any Dataset, _ texts: Reservoir<Text>, _ state: Checkpoint.State, group: ProcessGroup?
  ) throws -> TokenizerFiles {
    let make = { @Sendable in
      let settings = state.configuration.tokenizer
      let tokenizer = try SentencePieceTokenizer.train(
        on: texts.elements.flatMap { [$0.prompt, $0.text].compactMap { $0 } },
        configuration: .init(vocabularySize: settings.vocabularySize, type: settings.type))
      let encoder = try ExampleEncoder(
        tokenizer: tokenizer, generation: generation(state, tokenizer),
        configuration: state.configuration.model.family)
      // The samples are read again where not all texts are in memory, and to name the one whose text does not fit.
      if try !texts.isWhole
        || !texts.elements.allSatisfy({ try encoder.fits(prompt: $0.prompt, text: $0.text) })
      {
        try dataset.forEach { _ = try encoder($0) }
      }
      return tokenizer.files
    }
    return try group.map { try $0.shared(slow: make) } ?? make()
  }
}

/// Sees that all processes, and all sessions of a run, have the same data.
private struct FingerprintCheck {
  let run: String
  let isResumed: Bool
  let group: ProcessGroup?

  /// - Returns: the dataset's fingerprint
  /// - Throws: `TrainingError` where it is another one than the run began with, or than the first process reads.
  func callAsFunction(_ dataset: any Dataset, _ summary: DatasetSummary, against known: String?) throws
    -> String
  {
    let own = summary.fingerprint
    let expected = try group.map { try $0.shared(known ?? own) } ?? known ?? own
    guard expected == own else {
      throw TrainingError(
        "\(dataset.name) names other pictures or texts than "
          + (isResumed
            ? "the run in \(run) began with: resume with the same data, or begin a new run in another folder"
            : "on the first process's machine: all need the same data"))
    }
    return own
  }

  /// - Parameter validated: whether the run did before
  func thatAllValidate(_ data: TrainingData, validated: Bool) throws {
    let own = data.validation != nil
    let validates = try group.map { try $0.shared(own) } ?? own
    guard validates == own else {
      throw TrainingError(
        "\(data.training.name): there is something to validate with \(validates ? "" : "here, and not ")on the first "
          + "process's machine\(validates ? ", and nothing here" : ""): all need the same data")
    }
    guard validates || !validated else {
      throw TrainingError(
        "the run in \(run) validates, and there is nothing to validate with: give the data that it validated with before"
      )
    }
  }
}

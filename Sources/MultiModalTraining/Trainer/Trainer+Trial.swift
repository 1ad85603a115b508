import Foundation
import MultiModalModel
import MultiModalPipeline
import Torch

extension Trainer {
  /// What a run begins with.
  public struct Trial: Sendable {
    /// What is learned from.
    public let summary: Summary
    /// Those of the first batch, of this process.
    public let samples: [Sample]
    /// Of the first step, of all processes, but for those whose pictures cannot be used.
    public let sampleCount: Int
    /// Pictures of the first step that cannot be used, of this process.
    public let damaged: [String]
    /// The pictures of the first batch as the model sees them, beside each other, those of one size where there are several; nil
    /// where none can be used.
    public let picture: Picture?
    /// The longest text of the first step, of this process, in tokens, with its prompt, beginning and end.
    public let longestText: Int
    /// Of the first step.
    public let loss: Double
    /// What the loss of a model is that knows nothing: the logarithm of the vocabulary's size.
    public let lossOfChance: Double
    /// Seconds that the first step took, without reading.
    public let seconds: Double
    /// Bytes of this process that lay in memory after it.
    public let memory: Int
  }

  /// Takes the first step, and says what came of it. The trainer has learned from it, and is good for nothing more.
  /// - Throws: `TrainingError` where no picture of it can be used.
  public func tryFirstStep() async throws -> Trial {
    var loader = training.prefetch(
      0..<settings.gradientAccumulationSteps, workers: configuration.data.workers)
    var batches: [LoadedBatch] = []
    try await loader.forEach { batches.append($0) }
    var counts = [
      batches.reduce(0) { $0 + $1.targetCount }, batches.reduce(0) { $0 + $1.samples.count },
    ].map(Double.init)
    if let processes { counts = try processes.sum(counts) }
    let damaged = batches.flatMap(\.damaged)
    guard counts[0] > 0 else {
      let reason = try gathered(damaged).first.map { "none of its pictures can be used, such as \($0)" }
      throw TrainingError("the first step has nothing to learn from: \(reason ?? "its texts are empty")")
    }
    let began = ContinuousClock.now
    let (loss, _) = try take(0, batches, targetCount: Int(counts[0]))
    return Trial(
      summary: beginning, samples: batches.first?.samples ?? [], sampleCount: Int(counts[1]),
      damaged: damaged,
      picture: try batches.first?.parts.first.map { try sheet(of: $0.images) },
      longestText: batches.flatMap(\.parts).map { $0.text.shape[1] }.max() ?? 0, loss: loss,
      lossOfChance: log(Double(model.configuration.vocabularySize)),
      seconds: (.now - began) / .seconds(1), memory: ProcessMemory.residentBytes)
  }

  /// Pictures beside each other, about as many in a row as there are rows.
  /// - Parameter images: [batch, channels, height, width]
  private func sheet(of images: Tensor) throws -> Picture {
    let (count, channels, height, width) = (
      images.shape[0], images.shape[1], images.shape[2], images.shape[3]
    )
    let image = configuration.image
    let columns = Int(Double(count).squareRoot().rounded(.up))
    let rows = (count + columns - 1) / columns
    let values = try images.array(of: Float.self)
    var pixels = [UInt8](repeating: 255, count: rows * height * columns * width * 3)
    for (place, value) in values.enumerated() {
      let (plane, x) = (place / width, place % width)
      let (y, channel, index) = (plane % height, plane / height % channels, plane / height / channels)
      var light = Double(value)
      if image.doNormalize {
        light =
          light * image.imageStd[channel % image.imageStd.count]
          + image.imageMean[channel % image.imageMean.count]
      }
      if image.doRescale { light /= image.rescaleFactor }
      let line = index / columns * height + y
      let pixel = (line * columns + index % columns) * width + x
      let byte = UInt8(max(0, min(255, light.rounded())))
      // Grey has one channel.
      for part in channels == 1 ? 0..<3 : channel..<channel + 1 { pixels[3 * pixel + part] = byte }
    }
    return try Picture(height: rows * height, width: columns * width, channels: 3, pixels: pixels)
  }
}

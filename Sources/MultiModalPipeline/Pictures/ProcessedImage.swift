/// A picture as a model takes it: normalised, planar, channels first.
public struct ProcessedImage: Equatable, Sendable {
  /// Red, green and blue planes, one after the other: `[3, height, width]`, row by row. Batches are concatenations.
  public let values: [Float]
  public let height: Int
  public let width: Int
}

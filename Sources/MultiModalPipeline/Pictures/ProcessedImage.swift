/// A picture as a model takes it: normalised, planar, channels first.
public struct ProcessedImage: Equatable, Sendable {
  /// Planes of one channel each, one after the other: `[channels, height, width]`, row by row. Batches are concatenations.
  public let values: [Float]
  /// 3 for red, green and blue, 1 for grey.
  public let channels: Int
  /// Rows.
  public let height: Int
  /// Columns.
  public let width: Int

  /// Whether both have as many channels, rows and columns, so that they can make one batch.
  package func hasSize(of other: ProcessedImage) -> Bool {
    (channels, height, width) == (other.channels, other.height, other.width)
  }
}

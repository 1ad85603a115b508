/// What a model computes with once it is prepared for inference.
public enum Precision: String, Sendable, CaseIterable, Codable {
  /// Single precision.
  case float32
  /// Weights in bfloat16, and activations where they are multiplied.
  case bfloat16
  /// Weights in int8 with one scale per output, activations in int8 with one scale and zero point per row.
  case int8
  /// Weights in int8 with one scale per output, activations in float32.
  case int8WeightOnly = "int8_weight_only"
  /// Weights in 4 bits with a scale and a zero point per 32 of them, activations in float32.
  case int4WeightOnly = "int4_weight_only"

  /// The dtype of activations: on a CPU float32, because products round them as they read them.
  public func dtype(on device: Device) -> DType {
    self == .bfloat16 && device != .cpu ? .bfloat16 : .float32
  }

  /// The dtype in which embeddings, and whatever else is not quantised, are kept in memory or in a file.
  public var storageDType: DType { self == .float32 ? .float32 : .bfloat16 }

  /// Whether activations are rounded where they are multiplied with each other, as in attention.
  public var roundsActivations: Bool { self == .bfloat16 || self == .int8 }

  /// How a linear layer's weights are quantised; nil where they are not.
  public var quantization: QuantizedWeight.Scheme? {
    switch self {
    case .float32, .bfloat16: nil
    case .int8, .int8WeightOnly: .int8
    case .int4WeightOnly: .int4
    }
  }

  /// Whether LibTorch's kernel takes a weight [outputs, inputs] quantised; other weights are not.
  func quantizes(_ shape: [Int]) -> Bool {
    switch self {
    case .float32, .bfloat16: false
    case .int8, .int8WeightOnly: true
    case .int4WeightOnly: shape[1] % QuantizedWeight.groupSize == 0 && shape[0] % 16 == 0
    }
  }
}

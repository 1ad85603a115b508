/// What a model computes with once it is prepared for inference.
public enum Precision: String, Sendable, CaseIterable, Codable {
  case float32
  case bfloat16
  /// Weights in int8 with one scale per output, activations in int8 with one scale and zero point per call.
  case int8
  /// Weights in int8 with one scale per output, activations in bfloat16.
  case int8WeightOnly = "int8_weight_only"
  /// Weights in 4 bits with a scale and a zero point per 32 of them, activations in bfloat16.
  case int4WeightOnly = "int4_weight_only"

  /// The dtype of activations and of all parameters that are not a linear layer's weights.
  public var dtype: DType { self == .float32 ? .float32 : .bfloat16 }

  /// How a linear layer's weights are quantised; nil where they are not.
  public var quantization: QuantizedWeight.Scheme? {
    switch self {
    case .float32, .bfloat16: nil
    case .int8, .int8WeightOnly: .int8
    case .int4WeightOnly: .int4
    }
  }

  /// Whether LibTorch's kernel takes a weight [outputs, inputs] quantised; other weights stay in bfloat16.
  func quantizes(_ shape: [Int]) -> Bool {
    switch self {
    case .float32, .bfloat16: false
    case .int8: true
    // The kernel reads beyond rows that are no multiple of 32 long.
    case .int8WeightOnly: shape[1] % 32 == 0
    case .int4WeightOnly: shape[1] % QuantizedWeight.groupSize == 0 && shape[0] % 16 == 0
    }
  }
}

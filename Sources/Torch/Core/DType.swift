import CTorch

/// The type of a tensor's elements. Raw values are LibTorch's `c10::ScalarType`.
public enum DType: Int32, Sendable, CaseIterable {
  /// 0 to 255.
  case uint8 = 0
  /// -128 to 127.
  case int8 = 1
  /// Whole numbers of two bytes.
  case int16 = 2
  /// Whole numbers of four bytes.
  case int32 = 3
  /// Whole numbers of eight bytes: indices, tokens.
  case int64 = 4
  /// Half precision: 11 significant bits, at most 65504.
  case float16 = 5
  /// Single precision: 24 significant bits.
  case float32 = 6
  /// Double precision: 53 significant bits.
  case float64 = 7
  /// `true` or `false`: masks.
  case bool = 11
  /// 8 significant bits in the range of `float32`.
  case bfloat16 = 15

  /// Bytes per element.
  public var size: Int {
    switch self {
    case .uint8, .int8, .bool: 1
    case .int16, .float16, .bfloat16: 2
    case .int32, .float32: 4
    case .int64, .float64: 8
    }
  }

  /// Whether numbers have a point.
  public var isFloatingPoint: Bool {
    switch self {
    case .float16, .bfloat16, .float32, .float64: true
    default: false
    }
  }
}

extension DType: CustomStringConvertible {
  /// PyTorch's name, such as `float32`.
  public var description: String {
    switch self {
    case .uint8: "uint8"
    case .int8: "int8"
    case .int16: "int16"
    case .int32: "int32"
    case .int64: "int64"
    case .float16: "float16"
    case .float32: "float32"
    case .float64: "float64"
    case .bool: "bool"
    case .bfloat16: "bfloat16"
    }
  }
}

/// A Swift type whose memory layout is that of a tensor's elements, and whose values operators take as scalars.
public protocol TensorElement: BitwiseCopyable, Sendable {
  /// The elements' type.
  static var dtype: DType { get }
  /// This value as an operator's argument.
  var scalar: Argument { get }
}

extension TensorElement where Self: BinaryInteger {
  /// A whole number.
  public var scalar: Argument { .int(Int(truncatingIfNeeded: self)) }
}

extension TensorElement where Self: BinaryFloatingPoint {
  /// A number with a point.
  public var scalar: Argument { .double(Double(self)) }
}

extension Float: TensorElement {
  /// `float32`
  public static var dtype: DType { .float32 }
}
extension Double: TensorElement {
  /// `float64`
  public static var dtype: DType { .float64 }
}
extension Int: TensorElement {
  /// `int64`
  public static var dtype: DType { .int64 }
}
extension Int64: TensorElement {
  /// `int64`
  public static var dtype: DType { .int64 }
}
extension Int32: TensorElement {
  /// `int32`
  public static var dtype: DType { .int32 }
}
extension Int16: TensorElement {
  /// `int16`
  public static var dtype: DType { .int16 }
}
extension Int8: TensorElement {
  /// `int8`
  public static var dtype: DType { .int8 }
}
extension UInt8: TensorElement {
  /// `uint8`
  public static var dtype: DType { .uint8 }
}
extension Bool: TensorElement {
  /// `bool`
  public static var dtype: DType { .bool }
  /// `true` or `false`
  public var scalar: Argument { .bool(self) }
}

private enum Op {
  static let add = Operator("aten::add", overload: "Tensor")
  static let addScalar = Operator("aten::add", overload: "Scalar")
  static let sub = Operator("aten::sub", overload: "Tensor")
  static let subScalar = Operator("aten::sub", overload: "Scalar")
  static let rsubScalar = Operator("aten::rsub", overload: "Scalar")
  static let mul = Operator("aten::mul", overload: "Tensor")
  static let mulScalar = Operator("aten::mul", overload: "Scalar")
  static let div = Operator("aten::div", overload: "Tensor")
  static let divScalar = Operator("aten::div", overload: "Scalar")
  static let floorDivide = Operator("aten::floor_divide", overload: "Scalar")
  static let pow = Operator("aten::pow", overload: "Tensor_Tensor")
  static let powScalar = Operator("aten::pow", overload: "Tensor_Scalar")
  static let neg = Operator("aten::neg")
  static let abs = Operator("aten::abs")
  static let exp = Operator("aten::exp")
  static let log = Operator("aten::log")
  static let sqrt = Operator("aten::sqrt")
  static let rsqrt = Operator("aten::rsqrt")
  static let sin = Operator("aten::sin")
  static let cos = Operator("aten::cos")
  static let tanh = Operator("aten::tanh")
  static let sigmoid = Operator("aten::sigmoid")
  static let round = Operator("aten::round")
  static let clamp = Operator("aten::clamp")
  static let maximum = Operator("aten::maximum")
  static let minimum = Operator("aten::minimum")
  static let matmul = Operator("aten::matmul")
  static let addInPlace = Operator("aten::add_", overload: "Tensor")
  static let mulInPlace = Operator("aten::mul_", overload: "Tensor")
  static let mulScalarInPlace = Operator("aten::mul_", overload: "Scalar")
  static let copyInPlace = Operator("aten::copy_")
}

// Scalars are `Double`; LibTorch keeps the tensor's dtype, so an integer tensor plus 1.0 is a float tensor.
extension Tensor {
  public static func + (a: Tensor, b: Tensor) throws -> Tensor { try Op.add(.tensor(a), .tensor(b)) }
  public static func + (a: Tensor, b: Double) throws -> Tensor { try Op.addScalar(.tensor(a), .double(b)) }
  public static func + (a: Tensor, b: Int) throws -> Tensor { try Op.addScalar(.tensor(a), .int(b)) }
  public static func - (a: Tensor, b: Tensor) throws -> Tensor { try Op.sub(.tensor(a), .tensor(b)) }
  public static func - (a: Tensor, b: Double) throws -> Tensor { try Op.subScalar(.tensor(a), .double(b)) }
  public static func - (a: Tensor, b: Int) throws -> Tensor { try Op.subScalar(.tensor(a), .int(b)) }
  public static func - (a: Double, b: Tensor) throws -> Tensor { try Op.rsubScalar(.tensor(b), .double(a)) }
  public static func * (a: Tensor, b: Tensor) throws -> Tensor { try Op.mul(.tensor(a), .tensor(b)) }
  public static func * (a: Tensor, b: Double) throws -> Tensor { try Op.mulScalar(.tensor(a), .double(b)) }
  public static func * (a: Tensor, b: Int) throws -> Tensor { try Op.mulScalar(.tensor(a), .int(b)) }
  public static func / (a: Tensor, b: Tensor) throws -> Tensor { try Op.div(.tensor(a), .tensor(b)) }
  public static func / (a: Tensor, b: Double) throws -> Tensor { try Op.divScalar(.tensor(a), .double(b)) }
  public static prefix func - (a: Tensor) throws -> Tensor { try Op.neg(.tensor(a)) }

  /// The quotient rounded down.
  public func floorDivide(_ divisor: Int) throws -> Tensor {
    try Op.floorDivide(.tensor(self), .int(divisor))
  }

  public func pow(_ exponent: Tensor) throws -> Tensor { try Op.pow(.tensor(self), .tensor(exponent)) }
  public func pow(_ exponent: Double) throws -> Tensor { try Op.powScalar(.tensor(self), .double(exponent)) }
  public func abs() throws -> Tensor { try Op.abs(.tensor(self)) }
  public func exp() throws -> Tensor { try Op.exp(.tensor(self)) }
  public func log() throws -> Tensor { try Op.log(.tensor(self)) }
  public func sqrt() throws -> Tensor { try Op.sqrt(.tensor(self)) }
  public func rsqrt() throws -> Tensor { try Op.rsqrt(.tensor(self)) }
  public func sin() throws -> Tensor { try Op.sin(.tensor(self)) }
  public func cos() throws -> Tensor { try Op.cos(.tensor(self)) }
  public func tanh() throws -> Tensor { try Op.tanh(.tensor(self)) }
  public func sigmoid() throws -> Tensor { try Op.sigmoid(.tensor(self)) }

  /// To the nearest whole number, halves to the even one.
  public func round() throws -> Tensor { try Op.round(.tensor(self)) }
  public func clamp(min: Double? = nil, max: Double? = nil) throws -> Tensor {
    try Op.clamp(.tensor(self), .optional(min), .optional(max))
  }

  public func maximum(_ other: Tensor) throws -> Tensor { try Op.maximum(.tensor(self), .tensor(other)) }
  public func minimum(_ other: Tensor) throws -> Tensor { try Op.minimum(.tensor(self), .tensor(other)) }
  public func matmul(_ other: Tensor) throws -> Tensor { try Op.matmul(.tensor(self), .tensor(other)) }

  // MARK: In place

  @discardableResult
  public func add_(_ other: Tensor, alpha: Double = 1) throws -> Tensor {
    try Op.addInPlace(.tensor(self), .tensor(other), .double(alpha))
  }

  @discardableResult
  public func mul_(_ other: Tensor) throws -> Tensor { try Op.mulInPlace(.tensor(self), .tensor(other)) }

  @discardableResult
  public func mul_(_ factor: Double) throws -> Tensor {
    try Op.mulScalarInPlace(.tensor(self), .double(factor))
  }

  /// Copies another tensor's elements here, converting dtype and device and broadcasting the shape.
  @discardableResult
  public func copy_(_ source: Tensor) throws -> Tensor { try Op.copyInPlace(.tensor(self), .tensor(source)) }
}

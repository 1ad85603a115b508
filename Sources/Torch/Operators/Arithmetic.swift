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
  static let remainder = Operator("aten::remainder", overload: "Tensor")
  static let remainderScalar = Operator("aten::remainder", overload: "Scalar")
  static let floorDivide = Operator("aten::floor_divide", overload: "Scalar")
  static let pow = Operator("aten::pow", overload: "Tensor_Tensor")
  static let powScalar = Operator("aten::pow", overload: "Tensor_Scalar")
  static let neg = Operator("aten::neg")
  static let abs = Operator("aten::abs")
  static let sign = Operator("aten::sign")
  static let square = Operator("aten::square")
  static let reciprocal = Operator("aten::reciprocal")
  static let exp = Operator("aten::exp")
  static let log = Operator("aten::log")
  static let log2 = Operator("aten::log2")
  static let log10 = Operator("aten::log10")
  static let log1p = Operator("aten::log1p")
  static let sqrt = Operator("aten::sqrt")
  static let rsqrt = Operator("aten::rsqrt")
  static let sin = Operator("aten::sin")
  static let cos = Operator("aten::cos")
  static let tan = Operator("aten::tan")
  static let tanh = Operator("aten::tanh")
  static let erf = Operator("aten::erf")
  static let sigmoid = Operator("aten::sigmoid")
  static let round = Operator("aten::round")
  static let floor = Operator("aten::floor")
  static let ceil = Operator("aten::ceil")
  static let trunc = Operator("aten::trunc")
  static let clamp = Operator("aten::clamp")
  static let maximum = Operator("aten::maximum")
  static let minimum = Operator("aten::minimum")
  static let lerp = Operator("aten::lerp", overload: "Scalar")
  static let matmul = Operator("aten::matmul")
  static let outer = Operator("aten::outer")
  static let einsum = Operator("aten::einsum")
  static let addInPlace = Operator("aten::add_", overload: "Tensor")
  static let addScalarInPlace = Operator("aten::add_", overload: "Scalar")
  static let subInPlace = Operator("aten::sub_", overload: "Tensor")
  static let subScalarInPlace = Operator("aten::sub_", overload: "Scalar")
  static let mulInPlace = Operator("aten::mul_", overload: "Tensor")
  static let mulScalarInPlace = Operator("aten::mul_", overload: "Scalar")
  static let divInPlace = Operator("aten::div_", overload: "Tensor")
  static let divScalarInPlace = Operator("aten::div_", overload: "Scalar")
  static let copyInPlace = Operator("aten::copy_")
}

// Element by element, with shapes broadcast as NumPy's are: sizes are compared from the last on, and 1 goes with any. Dtypes are
// promoted as PyTorch does: a scalar changes a tensor's kind (integers plus 1.5 are float32), never its width.
extension Tensor {
  /// `a + b`, element by element.
  public static func + (a: Tensor, b: Tensor) throws -> Tensor { try Op.add(.tensor(a), .tensor(b)) }
  /// `a + b`, element by element.
  public static func + (a: Tensor, b: some TensorElement) throws -> Tensor {
    try Op.addScalar(.tensor(a), b.scalar)
  }
  /// `a + b`, element by element.
  public static func + (a: some TensorElement, b: Tensor) throws -> Tensor { try b + a }

  /// `a - b`, element by element.
  public static func - (a: Tensor, b: Tensor) throws -> Tensor { try Op.sub(.tensor(a), .tensor(b)) }
  /// `a - b`, element by element.
  public static func - (a: Tensor, b: some TensorElement) throws -> Tensor {
    try Op.subScalar(.tensor(a), b.scalar)
  }
  /// `a - b`, element by element.
  public static func - (a: some TensorElement, b: Tensor) throws -> Tensor {
    try Op.rsubScalar(.tensor(b), a.scalar)
  }

  /// `a * b`, element by element; the matrix product is `matmul`.
  public static func * (a: Tensor, b: Tensor) throws -> Tensor { try Op.mul(.tensor(a), .tensor(b)) }
  /// `a * b`, element by element.
  public static func * (a: Tensor, b: some TensorElement) throws -> Tensor {
    try Op.mulScalar(.tensor(a), b.scalar)
  }
  /// `a * b`, element by element.
  public static func * (a: some TensorElement, b: Tensor) throws -> Tensor { try b * a }

  /// `a / b`, element by element; of integers too a floating-point tensor.
  public static func / (a: Tensor, b: Tensor) throws -> Tensor { try Op.div(.tensor(a), .tensor(b)) }
  /// `a / b`, element by element.
  public static func / (a: Tensor, b: some TensorElement) throws -> Tensor {
    try Op.divScalar(.tensor(a), b.scalar)
  }
  /// `a / b`, element by element.
  public static func / (a: some TensorElement, b: Tensor) throws -> Tensor { try b.reciprocal() * a }

  /// What is left of `a` after division by `b`, with the sign of `b`: PyTorch's `remainder`.
  public static func % (a: Tensor, b: Tensor) throws -> Tensor { try Op.remainder(.tensor(a), .tensor(b)) }
  /// What is left of `a` after division by `b`, with the sign of `b`.
  public static func % (a: Tensor, b: some TensorElement) throws -> Tensor {
    try Op.remainderScalar(.tensor(a), b.scalar)
  }

  /// `-a`, element by element.
  public static prefix func - (a: Tensor) throws -> Tensor { try Op.neg(.tensor(a)) }

  // These put a new tensor in the variable's place; what shares the old one's memory stays. In place are `add_` and its like.

  /// `a = a + b`
  public static func += (a: inout Tensor, b: Tensor) throws { a = try a + b }
  /// `a = a + b`
  public static func += (a: inout Tensor, b: some TensorElement) throws { a = try a + b }
  /// `a = a - b`
  public static func -= (a: inout Tensor, b: Tensor) throws { a = try a - b }
  /// `a = a - b`
  public static func -= (a: inout Tensor, b: some TensorElement) throws { a = try a - b }
  /// `a = a * b`
  public static func *= (a: inout Tensor, b: Tensor) throws { a = try a * b }
  /// `a = a * b`
  public static func *= (a: inout Tensor, b: some TensorElement) throws { a = try a * b }
  /// `a = a / b`
  public static func /= (a: inout Tensor, b: Tensor) throws { a = try a / b }
  /// `a = a / b`
  public static func /= (a: inout Tensor, b: some TensorElement) throws { a = try a / b }

  /// The quotient rounded down.
  public func floorDivide(_ divisor: Int) throws -> Tensor {
    try Op.floorDivide(.tensor(self), .int(divisor))
  }

  /// Each element to the power of that in `exponent`.
  public func pow(_ exponent: Tensor) throws -> Tensor { try Op.pow(.tensor(self), .tensor(exponent)) }
  /// Each element to the power of `exponent`.
  public func pow(_ exponent: some TensorElement) throws -> Tensor {
    try Op.powScalar(.tensor(self), exponent.scalar)
  }
  /// `|x|`
  public func abs() throws -> Tensor { try Op.abs(.tensor(self)) }
  /// -1, 0 or 1.
  public func sign() throws -> Tensor { try Op.sign(.tensor(self)) }
  /// `x²`
  public func square() throws -> Tensor { try Op.square(.tensor(self)) }
  /// `1/x`
  public func reciprocal() throws -> Tensor { try Op.reciprocal(.tensor(self)) }
  /// `eˣ`
  public func exp() throws -> Tensor { try Op.exp(.tensor(self)) }
  /// The natural logarithm.
  public func log() throws -> Tensor { try Op.log(.tensor(self)) }
  /// The logarithm to base 2.
  public func log2() throws -> Tensor { try Op.log2(.tensor(self)) }
  /// The logarithm to base 10.
  public func log10() throws -> Tensor { try Op.log10(.tensor(self)) }
  /// `log(1 + x)`, exact near 0.
  public func log1p() throws -> Tensor { try Op.log1p(.tensor(self)) }
  /// `√x`
  public func sqrt() throws -> Tensor { try Op.sqrt(.tensor(self)) }
  /// `1/√x`
  public func rsqrt() throws -> Tensor { try Op.rsqrt(.tensor(self)) }
  /// The sine.
  public func sin() throws -> Tensor { try Op.sin(.tensor(self)) }
  /// The cosine.
  public func cos() throws -> Tensor { try Op.cos(.tensor(self)) }
  /// The tangent.
  public func tan() throws -> Tensor { try Op.tan(.tensor(self)) }
  /// The hyperbolic tangent.
  public func tanh() throws -> Tensor { try Op.tanh(.tensor(self)) }
  /// The error function.
  public func erf() throws -> Tensor { try Op.erf(.tensor(self)) }
  /// `1/(1 + e⁻ˣ)`
  public func sigmoid() throws -> Tensor { try Op.sigmoid(.tensor(self)) }

  /// To the nearest whole number, halves to the even one.
  public func round() throws -> Tensor { try Op.round(.tensor(self)) }
  /// To the next whole number below.
  public func floor() throws -> Tensor { try Op.floor(.tensor(self)) }
  /// To the next whole number above.
  public func ceil() throws -> Tensor { try Op.ceil(.tensor(self)) }
  /// To the next whole number towards 0.
  public func trunc() throws -> Tensor { try Op.trunc(.tensor(self)) }

  /// What is below `min` becomes `min`, and above `max`, `max`.
  public func clamp(min: some TensorElement, max: some TensorElement) throws -> Tensor {
    try Op.clamp(.tensor(self), min.scalar, max.scalar)
  }
  /// What is below `min` becomes `min`.
  public func clamp(min: some TensorElement) throws -> Tensor { try Op.clamp(.tensor(self), min.scalar) }
  /// What is above `max` becomes `max`.
  public func clamp(max: some TensorElement) throws -> Tensor {
    try Op.clamp(.tensor(self), .none, max.scalar)
  }

  /// The larger of both, element by element.
  public func maximum(_ other: Tensor) throws -> Tensor { try Op.maximum(.tensor(self), .tensor(other)) }
  /// The smaller of both, element by element.
  public func minimum(_ other: Tensor) throws -> Tensor { try Op.minimum(.tensor(self), .tensor(other)) }
  /// `self + weight (end - self)`
  public func lerp(_ end: Tensor, _ weight: Double) throws -> Tensor {
    try Op.lerp(.tensor(self), .tensor(end), .double(weight))
  }

  /// The matrix product of the last two dimensions: [..., n, k] · [..., k, m] → [..., n, m]. Of two vectors [k] their dot
  /// product; one of them is a row before a matrix, a column behind it.
  public func matmul(_ other: Tensor) throws -> Tensor { try Op.matmul(.tensor(self), .tensor(other)) }
  /// Every product of an element of this [n] and of `other` [m]: [n, m].
  public func outer(_ other: Tensor) throws -> Tensor { try Op.outer(.tensor(self), .tensor(other)) }
  /// Sums of products, in Einstein's notation: `einsum("bij,bjk->bik", a, b)` is a product of matrices.
  public static func einsum(_ equation: String, _ tensors: Tensor...) throws -> Tensor {
    try Op.einsum(.string(equation), .tensors(tensors))
  }

  // MARK: In place

  /// Adds `alpha * other`.
  @discardableResult
  public func add_(_ other: Tensor, alpha: Double = 1) throws -> Tensor {
    try Op.addInPlace(.tensor(self), .tensor(other), .double(alpha))
  }

  /// Subtracts `alpha * other`.
  @discardableResult
  public func sub_(_ other: Tensor, alpha: Double = 1) throws -> Tensor {
    try Op.subInPlace(.tensor(self), .tensor(other), .double(alpha))
  }

  /// Multiplies each element with that of `other`.
  @discardableResult
  public func mul_(_ other: Tensor) throws -> Tensor { try Op.mulInPlace(.tensor(self), .tensor(other)) }

  /// Adds `number` to each element.
  @discardableResult
  public func add_(_ number: some TensorElement) throws -> Tensor {
    try Op.addScalarInPlace(.tensor(self), number.scalar)
  }

  /// Subtracts `number` from each element.
  @discardableResult
  public func sub_(_ number: some TensorElement) throws -> Tensor {
    try Op.subScalarInPlace(.tensor(self), number.scalar)
  }

  /// Multiplies each element with `factor`.
  @discardableResult
  public func mul_(_ factor: some TensorElement) throws -> Tensor {
    try Op.mulScalarInPlace(.tensor(self), factor.scalar)
  }

  /// Divides each element by `divisor`.
  @discardableResult
  public func div_(_ divisor: some TensorElement) throws -> Tensor {
    try Op.divScalarInPlace(.tensor(self), divisor.scalar)
  }

  /// Divides each element by that of `other`.
  @discardableResult
  public func div_(_ other: Tensor) throws -> Tensor { try Op.divInPlace(.tensor(self), .tensor(other)) }

  /// Copies another tensor's elements here, converting dtype and device and broadcasting the shape.
  @discardableResult
  public func copy_(_ source: Tensor) throws -> Tensor { try Op.copyInPlace(.tensor(self), .tensor(source)) }
}

private enum Op {
  static let eq = Operator("aten::eq", overload: "Tensor")
  static let eqScalar = Operator("aten::eq", overload: "Scalar")
  static let ne = Operator("aten::ne", overload: "Tensor")
  static let neScalar = Operator("aten::ne", overload: "Scalar")
  static let lt = Operator("aten::lt", overload: "Tensor")
  static let ltScalar = Operator("aten::lt", overload: "Scalar")
  static let le = Operator("aten::le", overload: "Tensor")
  static let leScalar = Operator("aten::le", overload: "Scalar")
  static let gt = Operator("aten::gt", overload: "Tensor")
  static let gtScalar = Operator("aten::gt", overload: "Scalar")
  static let ge = Operator("aten::ge", overload: "Tensor")
  static let geScalar = Operator("aten::ge", overload: "Scalar")
  static let logicalNot = Operator("aten::logical_not")
  static let logicalAnd = Operator("aten::logical_and")
  static let not = Operator("aten::bitwise_not")
  static let and = Operator("aten::bitwise_and", overload: "Tensor")
  static let or = Operator("aten::bitwise_or", overload: "Tensor")
  static let xor = Operator("aten::bitwise_xor", overload: "Tensor")
  static let isFinite = Operator("aten::isfinite")
  static let isNaN = Operator("aten::isnan")
  static let isInf = Operator("aten::isinf")
  static let isClose = Operator("aten::isclose")
  static let whereSelf = Operator("aten::where", overload: "self")
  static let whereScalarOther = Operator("aten::where", overload: "ScalarOther")
  static let maskedFill = Operator("aten::masked_fill", overload: "Scalar")
}

// Comparisons are element by element and give bool tensors, as PyTorch's do; `all().item(Bool.self)` makes one answer of them.
extension Tensor {
  /// Where `a` and `b` are equal.
  public static func == (a: Tensor, b: Tensor) throws -> Tensor { try Op.eq(.tensor(a), .tensor(b)) }
  /// Where `a` is `b`.
  public static func == (a: Tensor, b: some TensorElement) throws -> Tensor {
    try Op.eqScalar(.tensor(a), b.scalar)
  }
  /// Where `a` and `b` differ.
  public static func != (a: Tensor, b: Tensor) throws -> Tensor { try Op.ne(.tensor(a), .tensor(b)) }
  /// Where `a` is not `b`.
  public static func != (a: Tensor, b: some TensorElement) throws -> Tensor {
    try Op.neScalar(.tensor(a), b.scalar)
  }
  /// Where `a` is below `b`.
  public static func < (a: Tensor, b: Tensor) throws -> Tensor { try Op.lt(.tensor(a), .tensor(b)) }
  /// Where `a` is below `b`.
  public static func < (a: Tensor, b: some TensorElement) throws -> Tensor {
    try Op.ltScalar(.tensor(a), b.scalar)
  }
  /// Where `a` is at most `b`.
  public static func <= (a: Tensor, b: Tensor) throws -> Tensor { try Op.le(.tensor(a), .tensor(b)) }
  /// Where `a` is at most `b`.
  public static func <= (a: Tensor, b: some TensorElement) throws -> Tensor {
    try Op.leScalar(.tensor(a), b.scalar)
  }
  /// Where `a` is above `b`.
  public static func > (a: Tensor, b: Tensor) throws -> Tensor { try Op.gt(.tensor(a), .tensor(b)) }
  /// Where `a` is above `b`.
  public static func > (a: Tensor, b: some TensorElement) throws -> Tensor {
    try Op.gtScalar(.tensor(a), b.scalar)
  }
  /// Where `a` is at least `b`.
  public static func >= (a: Tensor, b: Tensor) throws -> Tensor { try Op.ge(.tensor(a), .tensor(b)) }
  /// Where `a` is at least `b`.
  public static func >= (a: Tensor, b: some TensorElement) throws -> Tensor {
    try Op.geScalar(.tensor(a), b.scalar)
  }

  /// Where both masks are true; of integers, bit by bit.
  public static func & (a: Tensor, b: Tensor) throws -> Tensor { try Op.and(.tensor(a), .tensor(b)) }
  /// Where one mask or both are true; of integers, bit by bit.
  public static func | (a: Tensor, b: Tensor) throws -> Tensor { try Op.or(.tensor(a), .tensor(b)) }
  /// Where one mask alone is true; of integers, bit by bit.
  public static func ^ (a: Tensor, b: Tensor) throws -> Tensor { try Op.xor(.tensor(a), .tensor(b)) }
  /// Where a mask is false; of integers, bit by bit.
  public static prefix func ~ (a: Tensor) throws -> Tensor { try Op.not(.tensor(a)) }

  /// Where this is 0 or false, of any dtype.
  public func logicalNot() throws -> Tensor { try Op.logicalNot(.tensor(self)) }
  /// Where neither is 0 or false, of any dtype.
  public func logicalAnd(_ other: Tensor) throws -> Tensor {
    try Op.logicalAnd(.tensor(self), .tensor(other))
  }
  /// Where elements are neither infinite nor NaN.
  public func isFinite() throws -> Tensor { try Op.isFinite(.tensor(self)) }
  /// Where elements are NaN.
  public func isNaN() throws -> Tensor { try Op.isNaN(.tensor(self)) }
  /// Where elements are infinite.
  public func isInf() throws -> Tensor { try Op.isInf(.tensor(self)) }

  /// Where `|self - other| <= absoluteTolerance + relativeTolerance |other|`; NaN is near nothing.
  public func isClose(
    _ other: Tensor, relativeTolerance: Double = 1e-5, absoluteTolerance: Double = 1e-8
  ) throws -> Tensor {
    try Op.isClose(.tensor(self), .tensor(other), .double(relativeTolerance), .double(absoluteTolerance))
  }

  /// Whether `isClose` holds for every element.
  public func allClose(
    _ other: Tensor, relativeTolerance: Double = 1e-5, absoluteTolerance: Double = 1e-8
  ) throws -> Bool {
    try isClose(other, relativeTolerance: relativeTolerance, absoluteTolerance: absoluteTolerance).all()
      .item()
  }

  /// Whether there is neither NaN nor infinity.
  package func holdsFiniteNumbers() throws -> Bool {
    guard try dtype.isFloatingPoint else { return true }
    // A sum that is finite has finite parts, and is found without another tensor.
    if try sum().item(Float.self).isFinite { return true }
    return try isFinite().all().item(Bool.self)
  }

  /// Elements of `a` where `condition` is true, else of `b`.
  public static func `where`(_ condition: Tensor, _ a: Tensor, _ b: Tensor) throws -> Tensor {
    try Op.whereSelf(.tensor(condition), .tensor(a), .tensor(b))
  }

  /// Elements of `a` where `condition` is true, else `b`.
  public static func `where`(_ condition: Tensor, _ a: Tensor, _ b: some TensorElement) throws -> Tensor {
    try Op.whereScalarOther(.tensor(condition), .tensor(a), b.scalar)
  }

  /// `value` where `mask` is true.
  public func maskedFill(_ mask: Tensor, _ value: Double) throws -> Tensor {
    try Op.maskedFill(.tensor(self), .tensor(mask), .double(value))
  }
}

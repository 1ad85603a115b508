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
  static let not = Operator("aten::logical_not")
  static let and = Operator("aten::logical_and")
  static let or = Operator("aten::logical_or")
  static let isFinite = Operator("aten::isfinite")
  static let whereSelf = Operator("aten::where", overload: "self")
  static let maskedFill = Operator("aten::masked_fill", overload: "Scalar")
}

// Comparisons give bool tensors.
extension Tensor {
  public func eq(_ other: Tensor) throws -> Tensor { try Op.eq(.tensor(self), .tensor(other)) }
  public func eq(_ value: Double) throws -> Tensor { try Op.eqScalar(.tensor(self), .double(value)) }
  public func ne(_ other: Tensor) throws -> Tensor { try Op.ne(.tensor(self), .tensor(other)) }
  public func ne(_ value: Double) throws -> Tensor { try Op.neScalar(.tensor(self), .double(value)) }
  public func lt(_ other: Tensor) throws -> Tensor { try Op.lt(.tensor(self), .tensor(other)) }
  public func lt(_ value: Double) throws -> Tensor { try Op.ltScalar(.tensor(self), .double(value)) }
  public func le(_ other: Tensor) throws -> Tensor { try Op.le(.tensor(self), .tensor(other)) }
  public func le(_ value: Double) throws -> Tensor { try Op.leScalar(.tensor(self), .double(value)) }
  public func gt(_ other: Tensor) throws -> Tensor { try Op.gt(.tensor(self), .tensor(other)) }
  public func gt(_ value: Double) throws -> Tensor { try Op.gtScalar(.tensor(self), .double(value)) }
  public func ge(_ other: Tensor) throws -> Tensor { try Op.ge(.tensor(self), .tensor(other)) }
  public func ge(_ value: Double) throws -> Tensor { try Op.geScalar(.tensor(self), .double(value)) }
  public func logicalNot() throws -> Tensor { try Op.not(.tensor(self)) }
  public func logicalAnd(_ other: Tensor) throws -> Tensor { try Op.and(.tensor(self), .tensor(other)) }
  public func logicalOr(_ other: Tensor) throws -> Tensor { try Op.or(.tensor(self), .tensor(other)) }
  public func isFinite() throws -> Tensor { try Op.isFinite(.tensor(self)) }

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

  /// `value` where `mask` is true.
  public func maskedFill(_ mask: Tensor, _ value: Double) throws -> Tensor {
    try Op.maskedFill(.tensor(self), .tensor(mask), .double(value))
  }
}

private enum Op {
  static let indexSelect = Operator("aten::index_select")
  static let gather = Operator("aten::gather")
  static let scatter = Operator("aten::scatter", overload: "src")
  static let indexCopyInPlace = Operator("aten::index_copy_")
  static let index = Operator("aten::index", overload: "Tensor")
}

extension Tensor {
  /// The entries of `dim` that `indices` (int64 [n]) name.
  public func indexSelect(_ dim: Int, _ indices: Tensor) throws -> Tensor {
    try Op.indexSelect(.tensor(self), .int(dim), .tensor(indices))
  }

  /// `out[i][j] = self[i][indices[i][j]]` for `dim` 1, and so on.
  public func gather(_ dim: Int, _ indices: Tensor) throws -> Tensor {
    try Op.gather(.tensor(self), .int(dim), .tensor(indices))
  }

  /// A copy in which `out[i][indices[i][j]] = source[i][j]` for `dim` 1, and so on.
  public func scatter(_ dim: Int, _ indices: Tensor, _ source: Tensor) throws -> Tensor {
    try Op.scatter(.tensor(self), .int(dim), .tensor(indices), .tensor(source))
  }

  /// `self[indices[i]] = source[i]` for `dim` 0, and so on, in place.
  @discardableResult
  public func indexCopy_(_ dim: Int, _ indices: Tensor, _ source: Tensor) throws -> Tensor {
    try Op.indexCopyInPlace(.tensor(self), .int(dim), .tensor(indices), .tensor(source))
  }

  /// The elements where a bool mask is true, as one dimension; or the rows that int64 indices name.
  public func index(_ indices: [Tensor?]) throws -> Tensor {
    try Op.index(.tensor(self), .optionalTensors(indices))
  }
}

private enum Op {
  static let indexSelect = Operator("aten::index_select")
  static let gather = Operator("aten::gather")
  static let scatter = Operator("aten::scatter", overload: "src")
  static let scatterScalar = Operator("aten::scatter", overload: "value")
  static let scatterAdd = Operator("aten::scatter_add")
  static let indexCopyInPlace = Operator("aten::index_copy_")
  static let index = Operator("aten::index", overload: "Tensor")
  static let indexPutInPlace = Operator("aten::index_put_")
  static let nonzero = Operator("aten::nonzero")
}

/// What may stand in a tensor's subscript: integers, ranges, masks and indices as tensors, and the static members here.
/// Integers and ranges count from the end where negative, and ranges are cut to what is there.
public protocol TensorIndexing {
  /// This as a tensor's index.
  var tensorIndex: TensorIndex { get }
}

/// One index of a tensor's subscript.
public struct TensorIndex: TensorIndexing, Sendable {
  enum Kind {
    case at(Int)
    case slice(from: Int?, to: Int?, step: Int)
    case tensor(Tensor)
    case newAxis
    case ellipsis
  }

  let kind: Kind

  /// Itself.
  public var tensorIndex: TensorIndex { self }
}

extension TensorIndexing where Self == TensorIndex {
  /// The whole dimension: Python's `:`.
  public static var all: TensorIndex { .slice() }
  /// As many whole dimensions as are not named: Python's `...`.
  public static var ellipsis: TensorIndex { TensorIndex(kind: .ellipsis) }
  /// A new dimension of size 1: Python's `None`.
  public static var newAxis: TensorIndex { TensorIndex(kind: .newAxis) }
  /// Python's `from:to:step`, so that `.slice(from: 1, to: -1)` leaves out both ends and `.slice(step: 2)` every second.
  public static func slice(from: Int? = nil, to: Int? = nil, step: Int = 1) -> TensorIndex {
    TensorIndex(kind: .slice(from: from, to: to, step: step))
  }
}

extension Int: TensorIndexing {
  /// One entry of a dimension, which disappears.
  public var tensorIndex: TensorIndex { TensorIndex(kind: .at(self)) }
}

extension Range<Int>: TensorIndexing {
  /// These entries of a dimension.
  public var tensorIndex: TensorIndex { .slice(from: lowerBound, to: upperBound) }
}

extension ClosedRange<Int>: TensorIndexing {
  /// These entries of a dimension.
  public var tensorIndex: TensorIndex { .slice(from: lowerBound, to: end(after: upperBound)) }
}

extension PartialRangeFrom<Int>: TensorIndexing {
  /// These entries of a dimension, to its end.
  public var tensorIndex: TensorIndex { .slice(from: lowerBound) }
}

extension PartialRangeUpTo<Int>: TensorIndexing {
  /// The entries of a dimension before this one.
  public var tensorIndex: TensorIndex { .slice(to: upperBound) }
}

extension PartialRangeThrough<Int>: TensorIndexing {
  /// The entries of a dimension up to this one.
  public var tensorIndex: TensorIndex { .slice(to: end(after: upperBound)) }
}

extension Tensor: TensorIndexing {
  /// Where a bool mask is true, or the entries that int64 indices name.
  public var tensorIndex: TensorIndex { TensorIndex(kind: .tensor(self)) }
}

/// The end of a range whose last index this is; none behind -1, the last there is.
private func end(after last: Int) -> Int? { last == -1 || last == .max ? nil : last + 1 }

extension Tensor {
  /// The part that the indices name, as in PyTorch: an integer takes a dimension away, ranges share memory, and a bool mask or
  /// int64 indices copy.
  ///
  ///     try x[0]                 // the first row
  ///     try x[.ellipsis, 1..<3]  // columns 1 and 2, whatever dimensions are before
  ///     try x[.all, -1]          // the last column
  ///     try x[x > 0]             // where x is positive, as one dimension
  public subscript<each Index: TensorIndexing>(_ indices: repeat each Index) -> Tensor {
    get throws {
      let (view, tensors) = try part(repeat each indices)
      return try tensors.isEmpty ? view : view.index(tensors)
    }
  }

  /// Writes `source`, broadcast to its shape, in the place of the part that the indices name: Python's `x[indices] = source`. (A
  /// setter in Swift cannot throw, so there is none.)
  @discardableResult
  public func indexPut_<each Index: TensorIndexing>(_ indices: repeat each Index, to source: Tensor) throws
    -> Tensor
  {
    let (view, tensors) = try part(repeat each indices)
    if tensors.isEmpty {
      try view.copy_(source)
    } else {
      try Op.indexPutInPlace(
        .tensor(view), .optionalTensors(tensors), .tensor(source.to(device: device).to(dtype: dtype)))
    }
    return self
  }

  /// Writes `value` in the place of the part that the indices name: Python's `x[indices] = value`.
  @discardableResult
  public func indexPut_<each Index: TensorIndexing, Value: TensorElement>(
    _ indices: repeat each Index, to value: Value
  ) throws -> Tensor {
    try indexPut_(repeat each indices, to: Tensor(value))
  }

  /// What integers and ranges leave, sharing memory, and which of its dimensions masks and indices name.
  private func part<each Index: TensorIndexing>(_ indices: repeat each Index) throws -> (Tensor, [Tensor?]) {
    var list: [TensorIndex] = []
    for index in repeat each indices { list.append(index.tensorIndex) }
    var named = 0
    for index in list { named += try index.dimensions }
    guard named <= rank else {
      throw TorchError("\(named) indices are too many for a tensor of shape \(shape)")
    }
    var view = self
    var dim = 0
    var tensors: [Tensor?] = []
    /// How many dimensions `tensors` are about.
    var covered = 0
    for index in list {
      switch index.kind {
      case .at(let position):
        view = try view.select(dim, position)
      case .slice(let from, let to, let step):
        view = try view.slice(dim, from: from, to: to, step: step)
        dim += 1
      case .newAxis:
        view = try view.unsqueeze(dim)
        dim += 1
      case .ellipsis:
        dim += rank - named
        named = rank
      case .tensor(let tensor):
        tensors += Array(repeating: nil, count: dim - covered) + [tensor]
        dim += try index.dimensions
        covered = dim
      }
    }
    return (view, tensors)
  }
}

extension TensorIndex {
  /// How many of a tensor's dimensions it is about: as many as a mask has.
  fileprivate var dimensions: Int {
    get throws {
      switch kind {
      case .at, .slice: 1
      case .newAxis, .ellipsis: 0
      case .tensor(let tensor): try tensor.dtype == .bool ? tensor.rank : 1
      }
    }
  }
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

  /// A copy in which `out[i][indices[i][j]] = value` for `dim` 1, and so on.
  public func scatter(_ dim: Int, _ indices: Tensor, _ value: some TensorElement) throws -> Tensor {
    try Op.scatterScalar(.tensor(self), .int(dim), .tensor(indices), value.scalar)
  }

  /// A copy in which `out[i][indices[i][j]] += source[i][j]` for `dim` 1, and so on.
  public func scatterAdd(_ dim: Int, _ indices: Tensor, _ source: Tensor) throws -> Tensor {
    try Op.scatterAdd(.tensor(self), .int(dim), .tensor(indices), .tensor(source))
  }

  /// `self[indices[i]] = source[i]` for `dim` 0, and so on, in place.
  @discardableResult
  public func indexCopy_(_ dim: Int, _ indices: Tensor, _ source: Tensor) throws -> Tensor {
    try Op.indexCopyInPlace(.tensor(self), .int(dim), .tensor(indices), .tensor(source))
  }

  /// The elements where a bool mask is true, as one dimension; or the rows that int64 indices name.
  func index(_ indices: [Tensor?]) throws -> Tensor {
    try Op.index(.tensor(self), .optionalTensors(indices))
  }

  /// The places of what is not 0: int64 [n, rank].
  public func nonzero() throws -> Tensor { try Op.nonzero(.tensor(self)) }
}

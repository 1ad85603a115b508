private enum Op {
  static let sum = Operator("aten::sum", overload: "dim_IntList")
  static let mean = Operator("aten::mean", overload: "dim")
  static let amax = Operator("aten::amax")
  static let amin = Operator("aten::amin")
  static let maxDim = Operator("aten::max", overload: "dim")
  static let argmax = Operator("aten::argmax")
  static let any = Operator("aten::any")
  static let all = Operator("aten::all")
  static let anyDim = Operator("aten::any", overload: "dim")
  static let cumsum = Operator("aten::cumsum")
  static let logSumExp = Operator("aten::logsumexp")
  static let topk = Operator("aten::topk")
  static let sort = Operator("aten::sort")
  static let multinomial = Operator("aten::multinomial")
  static let norm = Operator("aten::linalg_vector_norm")
  static let foreachNorm = Operator("aten::_foreach_norm", overload: "Scalar")
}

extension Tensor {
  /// The sum over `dims`, over everything where nil.
  public func sum(_ dims: [Int]? = nil, keepDim: Bool = false) throws -> Tensor {
    try Op.sum(.tensor(self), dims.map { .ints($0) } ?? .none, .bool(keepDim))
  }

  public func mean(_ dims: [Int]? = nil, keepDim: Bool = false) throws -> Tensor {
    try Op.mean(.tensor(self), dims.map { .ints($0) } ?? .none, .bool(keepDim))
  }

  /// The largest element over `dims`, over everything where empty.
  public func amax(_ dims: [Int] = [], keepDim: Bool = false) throws -> Tensor {
    try Op.amax(.tensor(self), .ints(dims), .bool(keepDim))
  }

  public func amin(_ dims: [Int] = [], keepDim: Bool = false) throws -> Tensor {
    try Op.amin(.tensor(self), .ints(dims), .bool(keepDim))
  }

  /// The largest elements of `dim`, and where each is first, int64.
  public func max(_ dim: Int, keepDim: Bool = false) throws -> (values: Tensor, indices: Tensor) {
    let results = try Op.maxDim.call([.tensor(self), .int(dim), .bool(keepDim)], capacity: 2)
    return (results[0], results[1])
  }

  /// The index of the largest element, int64.
  public func argmax(_ dim: Int? = nil, keepDim: Bool = false) throws -> Tensor {
    try Op.argmax(.tensor(self), .optional(dim), .bool(keepDim))
  }

  public func any() throws -> Tensor { try Op.any(.tensor(self)) }
  public func any(_ dim: Int, keepDim: Bool = false) throws -> Tensor {
    try Op.anyDim(.tensor(self), .int(dim), .bool(keepDim))
  }
  public func all() throws -> Tensor { try Op.all(.tensor(self)) }
  public func cumsum(_ dim: Int) throws -> Tensor { try Op.cumsum(.tensor(self), .int(dim)) }

  public func logSumExp(_ dims: [Int], keepDim: Bool = false) throws -> Tensor {
    try Op.logSumExp(.tensor(self), .ints(dims), .bool(keepDim))
  }

  /// The `k` largest elements of `dim`, largest first, and their indices (int64).
  public func topK(_ k: Int, dim: Int = -1) throws -> (values: Tensor, indices: Tensor) {
    let results = try Op.topk.call([.tensor(self), .int(k), .int(dim)], capacity: 2)
    return (results[0], results[1])
  }

  public func sort(_ dim: Int = -1, descending: Bool = false) throws -> (values: Tensor, indices: Tensor) {
    let results = try Op.sort.call([.tensor(self), .int(dim), .bool(descending)], capacity: 2)
    return (results[0], results[1])
  }

  /// Draws `count` indices per row, with the rows' elements as weights.
  public func multinomial(_ count: Int, replacement: Bool = false, generator: Generator? = nil) throws
    -> Tensor
  {
    try Op.multinomial(.tensor(self), .int(count), .bool(replacement), .optional(generator))
  }

  /// The Euclidean norm over `dims`, over everything where nil.
  public func norm(_ dims: [Int]? = nil, keepDim: Bool = false) throws -> Tensor {
    try Op.norm(.tensor(self), .double(2), dims.map { .ints($0) } ?? .none, .bool(keepDim))
  }

  /// The Euclidean norm of all the tensors' elements together.
  public static func totalNorm(_ tensors: [Tensor]) throws -> Tensor {
    let norms = try Op.foreachNorm.call([.tensors(tensors), .double(2)], capacity: tensors.count)
    return try stack(norms).norm()
  }
}

private enum Op {
  static let sum = Operator("aten::sum", overload: "dim_IntList")
  static let mean = Operator("aten::mean", overload: "dim")
  static let std = Operator("aten::std", overload: "correction")
  static let variance = Operator("aten::var", overload: "correction")
  static let prod = Operator("aten::prod")
  static let prodDim = Operator("aten::prod", overload: "dim_int")
  static let amax = Operator("aten::amax")
  static let amin = Operator("aten::amin")
  static let max = Operator("aten::max")
  static let min = Operator("aten::min")
  static let maxDim = Operator("aten::max", overload: "dim")
  static let minDim = Operator("aten::min", overload: "dim")
  static let argmax = Operator("aten::argmax")
  static let argmin = Operator("aten::argmin")
  static let median = Operator("aten::median")
  static let quantile = Operator("aten::quantile", overload: "scalar")
  static let any = Operator("aten::any")
  static let all = Operator("aten::all")
  static let anyDim = Operator("aten::any", overload: "dim")
  static let allDim = Operator("aten::all", overload: "dim")
  static let cumsum = Operator("aten::cumsum")
  static let cumprod = Operator("aten::cumprod")
  static let logSumExp = Operator("aten::logsumexp")
  static let topk = Operator("aten::topk")
  static let sort = Operator("aten::sort")
  static let argsort = Operator("aten::argsort")
  static let unique = Operator("aten::_unique2")
  static let multinomial = Operator("aten::multinomial")
  static let norm = Operator("aten::linalg_vector_norm")
  static let foreachNorm = Operator("aten::_foreach_norm", overload: "Scalar")
}

// `keepDim` leaves a dimension that is reduced with size 1.
extension Tensor {
  /// The sum over `dims`, over everything where nil.
  public func sum(_ dims: [Int]? = nil, keepDim: Bool = false) throws -> Tensor {
    try Op.sum(.tensor(self), .optional(dims), .bool(keepDim))
  }
  /// The sum over one dimension.
  public func sum(_ dim: Int, keepDim: Bool = false) throws -> Tensor { try sum([dim], keepDim: keepDim) }

  /// The mean over `dims`, over everything where nil.
  public func mean(_ dims: [Int]? = nil, keepDim: Bool = false) throws -> Tensor {
    try Op.mean(.tensor(self), .optional(dims), .bool(keepDim))
  }
  /// The mean over one dimension.
  public func mean(_ dim: Int, keepDim: Bool = false) throws -> Tensor { try mean([dim], keepDim: keepDim) }

  /// The standard deviation over `dims`, over everything where nil.
  /// - Parameter correction: what is taken from the count in the divisor: 1 for a sample's, 0 for that of all there is
  public func std(_ dims: [Int]? = nil, correction: Int = 1, keepDim: Bool = false) throws -> Tensor {
    try Op.std(.tensor(self), .optional(dims), .int(correction), .bool(keepDim))
  }

  /// The variance over `dims`, over everything where nil.
  /// - Parameter correction: what is taken from the count in the divisor: 1 for a sample's, 0 for that of all there is
  public func `var`(_ dims: [Int]? = nil, correction: Int = 1, keepDim: Bool = false) throws -> Tensor {
    try Op.variance(.tensor(self), .optional(dims), .int(correction), .bool(keepDim))
  }

  /// The product of all elements.
  public func prod() throws -> Tensor { try Op.prod(.tensor(self)) }
  /// The product over one dimension.
  public func prod(_ dim: Int, keepDim: Bool = false) throws -> Tensor {
    try Op.prodDim(.tensor(self), .int(dim), .bool(keepDim))
  }

  /// The largest element over `dims`, over everything where empty.
  public func amax(_ dims: [Int] = [], keepDim: Bool = false) throws -> Tensor {
    try Op.amax(.tensor(self), .ints(dims), .bool(keepDim))
  }

  /// The smallest element over `dims`, over everything where empty.
  public func amin(_ dims: [Int] = [], keepDim: Bool = false) throws -> Tensor {
    try Op.amin(.tensor(self), .ints(dims), .bool(keepDim))
  }

  /// The largest element.
  public func max() throws -> Tensor { try Op.max(.tensor(self)) }
  /// The smallest element.
  public func min() throws -> Tensor { try Op.min(.tensor(self)) }

  /// The largest elements of `dim`, and where each is first, int64.
  public func max(_ dim: Int, keepDim: Bool = false) throws -> (values: Tensor, indices: Tensor) {
    let results = try Op.maxDim.call([.tensor(self), .int(dim), .bool(keepDim)], capacity: 2)
    return (results[0], results[1])
  }

  /// The smallest elements of `dim`, and where each is first, int64.
  public func min(_ dim: Int, keepDim: Bool = false) throws -> (values: Tensor, indices: Tensor) {
    let results = try Op.minDim.call([.tensor(self), .int(dim), .bool(keepDim)], capacity: 2)
    return (results[0], results[1])
  }

  /// The index of the largest element, int64; of all elements in order where `dim` is nil.
  public func argmax(_ dim: Int? = nil, keepDim: Bool = false) throws -> Tensor {
    try Op.argmax(.tensor(self), .optional(dim), .bool(keepDim))
  }

  /// The index of the smallest element, int64; of all elements in order where `dim` is nil.
  public func argmin(_ dim: Int? = nil, keepDim: Bool = false) throws -> Tensor {
    try Op.argmin(.tensor(self), .optional(dim), .bool(keepDim))
  }

  /// The element in the middle of all in order, the lower of two.
  public func median() throws -> Tensor { try Op.median(.tensor(self)) }
  /// What the part `q` (0 to 1) of the elements is below, between two of them by line.
  public func quantile(_ q: Double, _ dim: Int? = nil, keepDim: Bool = false) throws -> Tensor {
    try Op.quantile(.tensor(self), .double(q), .optional(dim), .bool(keepDim))
  }

  /// Whether any element is neither 0 nor false: a bool.
  public func any() throws -> Tensor { try Op.any(.tensor(self)) }
  /// Whether any element of `dim` is neither 0 nor false.
  public func any(_ dim: Int, keepDim: Bool = false) throws -> Tensor {
    try Op.anyDim(.tensor(self), .int(dim), .bool(keepDim))
  }
  /// Whether no element is 0 or false: a bool.
  public func all() throws -> Tensor { try Op.all(.tensor(self)) }
  /// Whether no element of `dim` is 0 or false.
  public func all(_ dim: Int, keepDim: Bool = false) throws -> Tensor {
    try Op.allDim(.tensor(self), .int(dim), .bool(keepDim))
  }

  /// The sums of the elements of `dim` up to each.
  public func cumsum(_ dim: Int) throws -> Tensor { try Op.cumsum(.tensor(self), .int(dim)) }
  /// The products of the elements of `dim` up to each.
  public func cumprod(_ dim: Int) throws -> Tensor { try Op.cumprod(.tensor(self), .int(dim)) }

  /// `log(sum(exp(x)))` over `dims`, without overflow.
  public func logSumExp(_ dims: [Int], keepDim: Bool = false) throws -> Tensor {
    try Op.logSumExp(.tensor(self), .ints(dims), .bool(keepDim))
  }

  /// The `k` largest elements of `dim`, largest first, and their indices (int64).
  public func topK(_ k: Int, dim: Int = -1) throws -> (values: Tensor, indices: Tensor) {
    let results = try Op.topk.call([.tensor(self), .int(k), .int(dim)], capacity: 2)
    return (results[0], results[1])
  }

  /// The elements of `dim` in order, and where each was, int64.
  public func sort(_ dim: Int = -1, descending: Bool = false) throws -> (values: Tensor, indices: Tensor) {
    let results = try Op.sort.call([.tensor(self), .int(dim), .bool(descending)], capacity: 2)
    return (results[0], results[1])
  }

  /// The indices (int64) that put the elements of `dim` in order.
  public func argsort(_ dim: Int = -1, descending: Bool = false) throws -> Tensor {
    try Op.argsort(.tensor(self), .int(dim), .bool(descending))
  }

  /// Each element that occurs, once, in order, and how often it does, int64.
  public func unique() throws -> (values: Tensor, counts: Tensor) {
    let results = try Op.unique.call([.tensor(self), .bool(true), .bool(false), .bool(true)], capacity: 3)
    return (results[0], results[2])
  }

  /// Draws `count` indices per row, with the rows' elements as weights.
  public func multinomial(_ count: Int, replacement: Bool = false, generator: Generator? = nil) throws
    -> Tensor
  {
    try Op.multinomial(.tensor(self), .int(count), .bool(replacement), .optional(generator))
  }

  /// `(Σ |x|ᵖ)^(1/p)` over `dims`, over everything where nil: the Euclidean norm for `p` 2.
  public func norm(_ dims: [Int]? = nil, p: Double = 2, keepDim: Bool = false) throws -> Tensor {
    try Op.norm(.tensor(self), .double(p), .optional(dims), .bool(keepDim))
  }

  /// The Euclidean norm of all the tensors' elements together.
  public static func totalNorm(_ tensors: [Tensor]) throws -> Tensor {
    let norms = try Op.foreachNorm.call([.tensors(tensors), .double(2)], capacity: tensors.count)
    return try stack(norms).norm()
  }
}

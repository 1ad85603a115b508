private enum Op {
  static let reshape = Operator("aten::reshape")
  static let permute = Operator("aten::permute")
  static let transpose = Operator("aten::transpose", overload: "int")
  static let contiguous = Operator("aten::contiguous")
  static let expand = Operator("aten::expand")
  static let flatten = Operator("aten::flatten", overload: "using_ints")
  static let squeezeAll = Operator("aten::squeeze")
  static let squeeze = Operator("aten::squeeze", overload: "dim")
  static let unsqueeze = Operator("aten::unsqueeze")
  static let cat = Operator("aten::cat")
  static let stack = Operator("aten::stack")
  static let split = Operator("aten::split_with_sizes")
  static let splitEvenly = Operator("aten::split", overload: "Tensor")
  static let chunk = Operator("aten::chunk")
  static let unbind = Operator("aten::unbind", overload: "int")
  static let narrow = Operator("aten::narrow")
  static let select = Operator("aten::select", overload: "int")
  static let slice = Operator("aten::slice", overload: "Tensor")
  static let flip = Operator("aten::flip")
  static let roll = Operator("aten::roll")
  static let repetition = Operator("aten::repeat")
  static let repeatInterleave = Operator("aten::repeat_interleave", overload: "self_int")
  static let detach = Operator("aten::detach")
  static let clone = Operator("aten::clone")
  static let toDtype = Operator("aten::to", overload: "dtype")
  static let toDevice = Operator("aten::to", overload: "device")
  static let diagonal = Operator("aten::diagonal")
  static let diag = Operator("aten::diag")
  static let triu = Operator("aten::triu")
  static let tril = Operator("aten::tril")
}

extension Tensor {
  /// The same elements in order as another shape. At most one size may be -1: it takes what is left. PyTorch's `reshape` and
  /// `view`: memory is shared where that is possible.
  public func reshape(_ shape: [Int]) throws -> Tensor { try Op.reshape(.tensor(self), .ints(shape)) }
  /// The dimensions from `start` to `end` as one.
  public func flatten(_ start: Int = 0, _ end: Int = -1) throws -> Tensor {
    try Op.flatten(.tensor(self), .int(start), .int(end))
  }
  /// The dimensions in this order; shares memory.
  public func permute(_ dims: [Int]) throws -> Tensor { try Op.permute(.tensor(self), .ints(dims)) }
  /// Two dimensions exchanged; shares memory.
  public func transpose(_ a: Int, _ b: Int) throws -> Tensor {
    try Op.transpose(.tensor(self), .int(a), .int(b))
  }
  /// The elements in order in memory; itself where they are.
  public func contiguous() throws -> Tensor { try Op.contiguous(.tensor(self)) }
  /// Dimensions of size 1 as if repeated to `shape`, and new ones in front, without a copy; -1 keeps a size.
  public func expand(_ shape: [Int]) throws -> Tensor { try Op.expand(.tensor(self), .ints(shape)) }
  /// Without all dimensions of size 1; shares memory.
  public func squeeze() throws -> Tensor { try Op.squeezeAll(.tensor(self)) }
  /// Without `dim`, if its size is 1; shares memory.
  public func squeeze(_ dim: Int) throws -> Tensor { try Op.squeeze(.tensor(self), .int(dim)) }
  /// With a new dimension of size 1 at `dim`; shares memory.
  public func unsqueeze(_ dim: Int) throws -> Tensor { try Op.unsqueeze(.tensor(self), .int(dim)) }
  /// The entries of `dims` from last to first.
  public func flip(_ dims: [Int]) throws -> Tensor { try Op.flip(.tensor(self), .ints(dims)) }
  /// The entries of `dim` moved on by `shift`; those that fall out come in at the other end.
  public func roll(_ shift: Int, _ dim: Int) throws -> Tensor {
    try Op.roll(.tensor(self), .ints([shift]), .ints([dim]))
  }
  /// The whole tensor so many times along each dimension.
  public func `repeat`(_ times: [Int]) throws -> Tensor { try Op.repetition(.tensor(self), .ints(times)) }

  /// Tensors one after the other along a dimension that they have.
  public static func cat(_ tensors: [Tensor], dim: Int = 0) throws -> Tensor {
    try Op.cat(.tensors(tensors), .int(dim))
  }

  /// Tensors of one shape one after the other along a new dimension.
  public static func stack(_ tensors: [Tensor], dim: Int = 0) throws -> Tensor {
    try Op.stack(.tensors(tensors), .int(dim))
  }

  /// Parts of these sizes of `dim`, which add up to its size; they share memory.
  public func split(_ sizes: [Int], dim: Int) throws -> [Tensor] {
    try Op.split.call([.tensor(self), .ints(sizes), .int(dim)], capacity: sizes.count)
  }

  /// Parts of `size` entries of `dim`, the last one smaller if need be; they share memory.
  public func split(_ size: Int, dim: Int = 0) throws -> [Tensor] {
    try Op.splitEvenly.call([.tensor(self), .int(size), .int(dim)], capacity: parts(dim))
  }

  /// `dim` in at most `count` parts of one size, the last one smaller if need be; they share memory.
  public func chunk(_ count: Int, dim: Int = 0) throws -> [Tensor] {
    try Op.chunk.call([.tensor(self), .int(count), .int(dim)], capacity: parts(dim))
  }

  /// Every entry of `dim`, which disappears; shares memory.
  public func unbind(_ dim: Int) throws -> [Tensor] {
    try Op.unbind.call([.tensor(self), .int(dim)], capacity: parts(dim))
  }

  /// How many parts of `dim` there can be. A dimension that is not there is LibTorch's to refuse.
  private func parts(_ dim: Int) -> Int {
    let shape = shape
    let index = dim < 0 ? dim + shape.count : dim
    return shape.indices.contains(index) ? Swift.max(shape[index], 1) : 1
  }

  /// `length` entries of `dim` from `start` on, sharing memory.
  public func narrow(_ dim: Int, start: Int, length: Int) throws -> Tensor {
    try Op.narrow(.tensor(self), .int(dim), .int(start), .int(length))
  }

  /// One entry of `dim`, which disappears; shares memory.
  public func select(_ dim: Int, _ index: Int) throws -> Tensor {
    try Op.select(.tensor(self), .int(dim), .int(index))
  }

  /// Entries `start ..< end` of `dim`, counted from the end where negative, cut to what is there.
  public func slice(_ dim: Int, from start: Int? = nil, to end: Int? = nil, step: Int = 1) throws -> Tensor {
    try Op.slice(.tensor(self), .int(dim), .optional(start), .optional(end), .int(step))
  }

  /// Each entry of `dim` `repeats` times in a row.
  public func repeatInterleave(_ repeats: Int, dim: Int) throws -> Tensor {
    try Op.repeatInterleave(.tensor(self), .int(repeats), .int(dim))
  }

  /// The elements on a diagonal of the first two dimensions, as the last dimension; shares memory.
  public func diagonal(offset: Int = 0) throws -> Tensor {
    try Op.diagonal(.tensor(self), .int(offset))
  }
  /// A matrix with this vector on a diagonal and zero elsewhere; a copy of the diagonal of a matrix.
  public func diag(_ diagonal: Int = 0) throws -> Tensor { try Op.diag(.tensor(self), .int(diagonal)) }
  /// The part on and above a diagonal, zero elsewhere.
  public func triu(diagonal: Int = 0) throws -> Tensor { try Op.triu(.tensor(self), .int(diagonal)) }
  /// The part on and below a diagonal, zero elsewhere.
  public func tril(diagonal: Int = 0) throws -> Tensor { try Op.tril(.tensor(self), .int(diagonal)) }

  /// The same elements, outside of the recorded gradients.
  public func detach() throws -> Tensor { try Op.detach(.tensor(self)) }
  /// A copy with memory of its own.
  public func clone() throws -> Tensor { try Op.clone(.tensor(self)) }

  /// The elements as another dtype; itself where the dtype is that already.
  public func to(dtype: DType) throws -> Tensor {
    try self.dtype == dtype ? self : Op.toDtype(.tensor(self), .dtype(dtype))
  }

  /// A copy on another device; itself where it is there already.
  public func to(device: Device) throws -> Tensor {
    try self.device == device
      ? self : Op.toDevice(.tensor(self), .device(device), .int(Int(dtype.rawValue)))
  }
}

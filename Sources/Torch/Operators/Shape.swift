private enum Op {
  static let reshape = Operator("aten::reshape")
  static let permute = Operator("aten::permute")
  static let transpose = Operator("aten::transpose", overload: "int")
  static let contiguous = Operator("aten::contiguous")
  static let expand = Operator("aten::expand")
  static let squeeze = Operator("aten::squeeze", overload: "dim")
  static let unsqueeze = Operator("aten::unsqueeze")
  static let cat = Operator("aten::cat")
  static let stack = Operator("aten::stack")
  static let split = Operator("aten::split_with_sizes")
  static let unbind = Operator("aten::unbind", overload: "int")
  static let narrow = Operator("aten::narrow")
  static let select = Operator("aten::select", overload: "int")
  static let slice = Operator("aten::slice", overload: "Tensor")
  static let flip = Operator("aten::flip")
  static let repeatInterleave = Operator("aten::repeat_interleave", overload: "self_int")
  static let detach = Operator("aten::detach")
  static let clone = Operator("aten::clone")
  static let toDtype = Operator("aten::to", overload: "dtype")
  static let toDevice = Operator("aten::to", overload: "device")
  static let triu = Operator("aten::triu")
  static let tril = Operator("aten::tril")
}

extension Tensor {
  /// At most one size may be -1: it takes what is left.
  public func reshape(_ shape: [Int]) throws -> Tensor { try Op.reshape(.tensor(self), .ints(shape)) }
  public func permute(_ dims: [Int]) throws -> Tensor { try Op.permute(.tensor(self), .ints(dims)) }
  public func transpose(_ a: Int, _ b: Int) throws -> Tensor {
    try Op.transpose(.tensor(self), .int(a), .int(b))
  }
  public func contiguous() throws -> Tensor { try Op.contiguous(.tensor(self)) }
  public func expand(_ shape: [Int]) throws -> Tensor { try Op.expand(.tensor(self), .ints(shape)) }
  public func squeeze(_ dim: Int) throws -> Tensor { try Op.squeeze(.tensor(self), .int(dim)) }
  public func unsqueeze(_ dim: Int) throws -> Tensor { try Op.unsqueeze(.tensor(self), .int(dim)) }
  public func flip(_ dims: [Int]) throws -> Tensor { try Op.flip(.tensor(self), .ints(dims)) }

  public static func cat(_ tensors: [Tensor], dim: Int = 0) throws -> Tensor {
    try Op.cat(.tensors(tensors), .int(dim))
  }

  public static func stack(_ tensors: [Tensor], dim: Int = 0) throws -> Tensor {
    try Op.stack(.tensors(tensors), .int(dim))
  }

  public func split(_ sizes: [Int], dim: Int) throws -> [Tensor] {
    try Op.split.call([.tensor(self), .ints(sizes), .int(dim)], capacity: sizes.count)
  }

  /// Every entry of `dim`, which disappears; shares memory.
  public func unbind(_ dim: Int) throws -> [Tensor] {
    let shape = shape
    let index = dim < 0 ? dim + shape.count : dim
    // A dimension that is not there is LibTorch's to refuse.
    return try Op.unbind.call(
      [.tensor(self), .int(dim)], capacity: shape.indices.contains(index) ? shape[index] : 0)
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

  /// The part on and above a diagonal, zero elsewhere.
  public func triu(diagonal: Int = 0) throws -> Tensor { try Op.triu(.tensor(self), .int(diagonal)) }
  /// The part on and below a diagonal, zero elsewhere.
  public func tril(diagonal: Int = 0) throws -> Tensor { try Op.tril(.tensor(self), .int(diagonal)) }

  /// The same elements, outside of the recorded gradients.
  public func detach() throws -> Tensor { try Op.detach(.tensor(self)) }
  public func clone() throws -> Tensor { try Op.clone(.tensor(self)) }

  /// Itself where the dtype is that already.
  public func to(dtype: DType) throws -> Tensor {
    try self.dtype == dtype ? self : Op.toDtype(.tensor(self), .dtype(dtype))
  }

  /// Itself where it is on the device already.
  public func to(device: Device) throws -> Tensor {
    try self.device == device
      ? self : Op.toDevice(.tensor(self), .device(device), .int(Int(dtype.rawValue)))
  }
}

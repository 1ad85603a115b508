private enum Op {
  static let arange = Operator("aten::arange", overload: "start_step")
  static let full = Operator("aten::full")
  static let uniform = Operator("aten::uniform_")
  static let normal = Operator("aten::normal_")
  static let fill = Operator("aten::fill_", overload: "Scalar")
}

extension Tensor {
  public static func zeros(_ shape: [Int], dtype: DType = .float32, device: Device = .cpu) throws -> Tensor {
    try full(shape, 0, dtype: dtype, device: device)
  }

  public static func ones(_ shape: [Int], dtype: DType = .float32, device: Device = .cpu) throws -> Tensor {
    try full(shape, 1, dtype: dtype, device: device)
  }

  public static func full(
    _ shape: [Int], _ value: Double, dtype: DType = .float32, device: Device = .cpu
  ) throws -> Tensor {
    try Op.full(.ints(shape), .double(value), .dtype(dtype), .none, .device(device))
  }

  /// 0, 1, ... below `end`.
  public static func arange(_ end: Int, dtype: DType = .int64, device: Device = .cpu) throws -> Tensor {
    try arange(0, end, dtype: dtype, device: device)
  }

  /// `start`, `start + step`, ... below `end`, or above it with a negative step.
  public static func arange(
    _ start: Int, _ end: Int, step: Int = 1, dtype: DType = .int64, device: Device = .cpu
  ) throws -> Tensor {
    try Op.arange(.int(start), .int(end), .int(step), .dtype(dtype), .none, .device(device))
  }

  /// Independent draws from the normal distribution of mean 0 and standard deviation 1.
  public static func randn(
    _ shape: [Int], dtype: DType = .float32, device: Device = .cpu, generator: Generator? = nil
  ) throws -> Tensor {
    try Tensor(uninitialized: shape, dtype: dtype, device: device).normal_(generator: generator)
  }

  /// Independent draws from the uniform distribution over [0, 1).
  public static func rand(
    _ shape: [Int], dtype: DType = .float32, device: Device = .cpu, generator: Generator? = nil
  ) throws -> Tensor {
    try Tensor(uninitialized: shape, dtype: dtype, device: device).uniform_(0, 1, generator: generator)
  }

  @discardableResult
  public func normal_(mean: Double = 0, std: Double = 1, generator: Generator? = nil) throws -> Tensor {
    try Op.normal(.tensor(self), .double(mean), .double(std), .optional(generator))
  }

  @discardableResult
  public func uniform_(_ low: Double, _ high: Double, generator: Generator? = nil) throws -> Tensor {
    try Op.uniform(.tensor(self), .double(low), .double(high), .optional(generator))
  }

  @discardableResult
  public func fill_(_ value: Double) throws -> Tensor { try Op.fill(.tensor(self), .double(value)) }
}

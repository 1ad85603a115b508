private enum Op {
  static let arange = Operator("aten::arange", overload: "start_step")
  static let linspace = Operator("aten::linspace")
  static let full = Operator("aten::full")
  static let eye = Operator("aten::eye")
  static let zerosLike = Operator("aten::zeros_like")
  static let onesLike = Operator("aten::ones_like")
  static let randint = Operator("aten::randint", overload: "low_generator")
  static let randperm = Operator("aten::randperm", overload: "generator")
  static let oneHot = Operator("aten::one_hot")
  static let uniform = Operator("aten::uniform_")
  static let normal = Operator("aten::normal_")
  static let fill = Operator("aten::fill_", overload: "Scalar")
}

extension Tensor {
  /// Zeros, float32 where no dtype is given.
  public static func zeros(_ shape: [Int], dtype: DType = .float32, device: Device = .cpu) throws -> Tensor {
    try full(shape, 0, dtype: dtype, device: device)
  }

  /// Ones, float32 where no dtype is given.
  public static func ones(_ shape: [Int], dtype: DType = .float32, device: Device = .cpu) throws -> Tensor {
    try full(shape, 1, dtype: dtype, device: device)
  }

  /// Zeros of another tensor's shape, dtype and device.
  public static func zeros(like other: Tensor) throws -> Tensor { try Op.zerosLike(.tensor(other)) }
  /// Ones of another tensor's shape, dtype and device.
  public static func ones(like other: Tensor) throws -> Tensor { try Op.onesLike(.tensor(other)) }

  /// `value` everywhere, float32 where no dtype is given.
  public static func full(
    _ shape: [Int], _ value: Double, dtype: DType = .float32, device: Device = .cpu
  ) throws -> Tensor {
    try Op.full(.ints(shape), .double(value), .dtype(dtype), .none, .device(device))
  }

  /// The identity matrix [n, n].
  public static func eye(_ n: Int, dtype: DType = .float32, device: Device = .cpu) throws -> Tensor {
    try Op.eye(.int(n), .dtype(dtype), .none, .device(device))
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

  /// `start`, `start + step`, ... below `end`, or above it with a negative step.
  public static func arange(
    _ start: Double, _ end: Double, step: Double, dtype: DType = .float32, device: Device = .cpu
  ) throws -> Tensor {
    try Op.arange(.double(start), .double(end), .double(step), .dtype(dtype), .none, .device(device))
  }

  /// `count` numbers at equal distances from `start` to `end`, both among them.
  public static func linspace(
    _ start: Double, _ end: Double, _ count: Int, dtype: DType = .float32, device: Device = .cpu
  ) throws -> Tensor {
    try Op.linspace(.double(start), .double(end), .int(count), .dtype(dtype), .none, .device(device))
  }

  /// These classes (int64, from 0 on) as vectors with a 1 at the class and 0 elsewhere: one dimension more.
  /// - Parameter classes: how many there are; nil for those up to the largest here
  public func oneHot(_ classes: Int? = nil) throws -> Tensor {
    try Op.oneHot(.tensor(self), .int(classes ?? -1))
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

  /// Independent draws of whole numbers from `low` to below `high`.
  public static func randint(
    _ low: Int = 0, _ high: Int, _ shape: [Int], dtype: DType = .int64, device: Device = .cpu,
    generator: Generator? = nil
  ) throws -> Tensor {
    try Op.randint(
      .int(low), .int(high), .ints(shape), .optional(generator), .dtype(dtype), .none, .device(device))
  }

  /// 0 to below `n` in random order, int64 [n].
  public static func randperm(_ n: Int, device: Device = .cpu, generator: Generator? = nil) throws -> Tensor {
    try Op.randperm(.int(n), .optional(generator), .dtype(.int64), .none, .device(device))
  }

  // MARK: In place

  /// Independent draws from a normal distribution.
  @discardableResult
  public func normal_(mean: Double = 0, std: Double = 1, generator: Generator? = nil) throws -> Tensor {
    try Op.normal(.tensor(self), .double(mean), .double(std), .optional(generator))
  }

  /// Independent draws from the uniform distribution over [low, high).
  @discardableResult
  public func uniform_(_ low: Double, _ high: Double, generator: Generator? = nil) throws -> Tensor {
    try Op.uniform(.tensor(self), .double(low), .double(high), .optional(generator))
  }

  /// `value` everywhere.
  @discardableResult
  public func fill_(_ value: Double) throws -> Tensor { try Op.fill(.tensor(self), .double(value)) }

  /// 0 everywhere.
  @discardableResult
  public func zero_() throws -> Tensor { try fill_(0) }
}

import CTorch

/// An n-dimensional array of LibTorch: PyTorch's `torch.Tensor`.
///
///     let x = try Tensor([[1, 2], [3, 4]], dtype: .float32)
///     let y = try (x * 2 + 1).softmax(-1)
///     print(try y[0], try y.mean().item(Double.self))
///
/// Whatever LibTorch may refuse throws a `TorchError`, of one sentence with shapes and dtypes; nothing traps. Dimensions and
/// indices count from the end where negative.
///
/// Tensors are immutable by convention: operators return new tensors, and the few that change one in place end
/// in an underscore and are meant for optimizers, caches and initialisation. That is what makes sharing them
/// between tasks safe. Operators that are not here can be called by their names, through `Operator`.
public final class Tensor: @unchecked Sendable {
  let handle: OpaquePointer

  init(owning handle: OpaquePointer) { self.handle = handle }

  /// Keeps the tensor alive until the bridge function that borrows its handle has returned: Swift may release
  /// an object right after its last use.
  func withHandle<Result>(_ body: (OpaquePointer) throws -> Result) rethrows -> Result {
    try withExtendedLifetime(self) { try body(handle) }
  }

  deinit { ct_tensor_release(handle) }

  /// How many tensors this process holds at the moment; for tests of leaks.
  public static var liveCount: Int { Int(ct_tensor_live_count()) }

  // MARK: Description

  /// The number of dimensions.
  public var rank: Int { withHandle { Int(ct_tensor_rank($0)) } }

  /// The size of each dimension.
  public var shape: [Int] {
    let rank = rank
    return [Int](unsafeUninitializedCapacity: rank) { buffer, count in
      withHandle { handle in
        buffer.withMemoryRebound(to: Int64.self) { ct_tensor_shape(handle, $0.baseAddress) }
      }
      count = rank
    }
  }

  /// The number of elements.
  public var count: Int { shape.reduce(1, *) }

  /// The elements' type.
  /// - Throws: `TorchError` for one that this library does not handle.
  public var dtype: DType {
    get throws {
      let code = withHandle { ct_tensor_dtype($0) }
      guard let dtype = DType(rawValue: code) else {
        throw TorchError("a tensor has the element type number \(code), which this library does not handle")
      }
      return dtype
    }
  }

  /// Where it lies.
  public var device: Device {
    var kind: Int32 = 0
    var index: Int32 = 0
    withHandle { ct_tensor_device($0, &kind, &index) }
    return Device(Device.Kind(rawValue: kind), index: Int(Swift.max(index, 0)))
  }

  var summary: String {
    let type = (try? dtype).map { "\($0)" } ?? "unknown dtype"
    return "\(type) \(shape)\(device.kind == .cpu ? "" : " on \(device)")"
  }

  // MARK: From memory

  /// A tensor whose elements are not set.
  public convenience init(uninitialized shape: [Int], dtype: DType = .float32, device: Device = .cpu) throws {
    var result: OpaquePointer?
    try check(
      shape.withUnsafeBufferPointer { sizes in
        sizes.withMemoryRebound(to: Int64.self) {
          ct_tensor_empty(
            $0.baseAddress, Int64(shape.count), dtype.rawValue, device.kind.rawValue, device.bridgeIndex,
            &result)
        }
      }, "empty", ["\(shape)", "\(dtype)", "\(device)"])
    guard let result else { throw TorchError("LibTorch returned no tensor for shape \(shape)") }
    self.init(owning: result)
  }

  // Literals go to `init(_: TensorLiteral)`, arrays of Swift's types here.

  /// Copies an array into a tensor.
  /// - Parameters:
  ///   - shape: nil for one dimension
  ///   - dtype: nil for the elements' own
  /// - Throws: `TorchError` when `shape` does not hold exactly the array's elements.
  @_disfavoredOverload
  public convenience init<Element: TensorElement>(
    _ values: [Element], shape: [Int]? = nil, dtype: DType? = nil
  ) throws {
    let shape = shape ?? [values.count]
    guard elementCount(of: shape) == values.count else {
      throw TorchError(
        "shape \(shape) does not hold \(values.count) elements: their product must be that number")
    }
    let tensor = try Tensor(uninitialized: shape, dtype: Element.dtype)
    try tensor.withUnsafeMutableBytes { target in
      values.withUnsafeBytes { target.copyMemory(from: $0) }
    }
    self.init(owning: try tensor.to(dtype: dtype ?? Element.dtype).withHandle { ct_tensor_retain($0) })
  }

  /// Copies an array of rows into a tensor of two dimensions.
  /// - Parameter dtype: nil for the elements' own
  /// - Throws: `TorchError` when the rows differ in length.
  @_disfavoredOverload
  public convenience init<Element: TensorElement>(_ rows: [[Element]], dtype: DType? = nil) throws {
    let length = rows.first?.count ?? 0
    guard let other = rows.first(where: { $0.count != length }) else {
      try self.init(rows.flatMap(\.self), shape: [rows.count, length], dtype: dtype)
      return
    }
    throw TorchError("a tensor's rows must be of one length, got \(length) and \(other.count)")
  }

  /// A tensor of no dimensions.
  /// - Parameter dtype: nil for the value's own
  @_disfavoredOverload
  public convenience init<Element: TensorElement>(_ value: Element, dtype: DType? = nil) throws {
    try self.init([value], shape: [], dtype: dtype)
  }

  /// A tensor over memory that `owner` keeps alive, without a copy.
  /// - Parameters:
  ///   - memory: at least the bytes that `shape`, `strides` and `dtype` reach, suitably aligned.
  ///   - strides: in elements; contiguous when nil.
  public convenience init(
    memory: UnsafeMutableRawPointer, shape: [Int], strides: [Int]? = nil, dtype: DType,
    owner: AnyObject & Sendable
  ) throws {
    guard elementCount(of: shape) != nil, strides?.count ?? shape.count == shape.count else {
      throw TorchError("shape \(shape) with strides \(strides ?? []) is none of a tensor")
    }
    var result: OpaquePointer?
    let context = Unmanaged.passRetained(owner as AnyObject)
    func make(_ strides: UnsafePointer<Int64>?) -> CTError? {
      shape.withUnsafeBufferPointer { sizes in
        sizes.withMemoryRebound(to: Int64.self) {
          ct_tensor_from_memory(
            memory, $0.baseAddress, Int64(shape.count), strides, dtype.rawValue,
            { if let context = $0 { Unmanaged<AnyObject>.fromOpaque(context).release() } },
            context.toOpaque(), &result)
        }
      }
    }
    let error =
      strides.map {
        $0.withUnsafeBufferPointer { $0.withMemoryRebound(to: Int64.self) { make($0.baseAddress) } }
      }
      ?? make(nil)
    try check(error, "from_blob", ["\(shape)", "\(dtype)"])
    guard let result else { throw TorchError("LibTorch returned no tensor for shape \(shape)") }
    self.init(owning: result)
  }

  // MARK: To memory

  /// Calls `body` with the elements' bytes, in order; those of a contiguous copy on the CPU where this tensor
  /// is elsewhere or not contiguous.
  public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
    let tensor = try to(device: .cpu).contiguous()
    return try tensor.withUnsafeMutableBytes { try body(UnsafeRawBufferPointer($0)) }
  }

  /// Calls `body` with this tensor's own bytes. The tensor must be contiguous and on the CPU.
  func withUnsafeMutableBytes<Result>(_ body: (UnsafeMutableRawBufferPointer) throws -> Result) throws
    -> Result
  {
    var data: UnsafeMutableRawPointer?
    return try withHandle { handle in
      try check(ct_tensor_data(handle, &data), "data_ptr", [summary])
      return try body(UnsafeMutableRawBufferPointer(start: data, count: count * (try dtype.size)))
    }
  }

  /// The elements in order, converted to `Element`'s dtype.
  public func array<Element: TensorElement>(of type: Element.Type = Element.self) throws -> [Element] {
    try to(dtype: Element.dtype).withUnsafeBytes { bytes in
      [Element](unsafeUninitializedCapacity: bytes.count / MemoryLayout<Element>.size) { buffer, count in
        UnsafeMutableRawBufferPointer(buffer).copyMemory(from: bytes)
        count = bytes.count / MemoryLayout<Element>.size
      }
    }
  }

  /// The only element.
  /// - Throws: `TorchError` when there is not exactly one.
  public func item<Element: TensorElement>(_ type: Element.Type = Element.self) throws -> Element {
    let values = try array(of: type)
    guard let value = values.first, values.count == 1 else {
      throw TorchError(
        "a tensor of shape \(shape) has \(values.count) elements, but item() needs exactly one")
    }
    return value
  }
}

/// The number of elements of a shape; nil where a size is negative or no number is large enough.
func elementCount(of shape: [Int]) -> Int? {
  guard shape.allSatisfy({ $0 >= 0 }) else { return nil }
  if shape.contains(0) { return 0 }
  var count = 1
  for size in shape {
    let (product, overflow) = count.multipliedReportingOverflow(by: size)
    guard !overflow else { return nil }
    count = product
  }
  return count
}

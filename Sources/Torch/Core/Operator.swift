import CTorch

/// One argument of an operator, by its type in the schema.
public enum Argument: Sendable {
  /// `None`
  case none
  /// `Tensor`, and `Tensor?` that is there.
  case tensor(Tensor)
  /// `Tensor[]`
  case tensors([Tensor])
  /// `Tensor?[]`
  case optionalTensors([Tensor?])
  /// `int`, `SymInt`, `Scalar`; a `ScalarType` as the raw value of `DType`.
  case int(Int)
  /// `int[]`, `SymInt[]`
  case ints([Int])
  /// `float`, `Scalar`
  case double(Double)
  /// `float[]`
  case doubles([Double])
  /// `Scalar?[]`
  case optionalDoubles([Double])
  /// `bool`
  case bool(Bool)
  /// `str`
  case string(String)
  /// `Device`
  case device(Device)
  /// `Generator`
  case generator(Generator)

  static func optional(_ tensor: Tensor?) -> Argument { tensor.map { .tensor($0) } ?? .none }
  static func optional(_ value: Double?) -> Argument { value.map { .double($0) } ?? .none }
  static func optional(_ value: Int?) -> Argument { value.map { .int($0) } ?? .none }
  static func optional(_ values: [Int]?) -> Argument { values.map { .ints($0) } ?? .none }
  static func optional(_ generator: Generator?) -> Argument { generator.map { .generator($0) } ?? .none }
  static func dtype(_ dtype: DType?) -> Argument { dtype.map { .int(Int($0.rawValue)) } ?? .none }
}

/// A LibTorch operator, looked up once by its schema name and kept.
///
/// Every operator that LibTorch has can be called this way, gradients included:
/// `try Operator("aten::mm")(.tensor(a), .tensor(b))`.
public final class Operator: @unchecked Sendable {
  /// With namespace and overload.
  public let name: String
  /// LibTorch's handle is immutable and lives as long as the process, hence the unchecked conformance.
  private let handle: Result<OpaquePointer, TorchError>

  /// - Parameters:
  ///   - name: the schema's name with its namespace, such as `aten::add`.
  ///   - overload: the schema's overload, such as `Tensor`.
  public init(_ name: String, overload: String = "") {
    self.name = overload.isEmpty ? name : "\(name).\(overload)"
    var found: OpaquePointer?
    do {
      try check(ct_operator_find(name, overload, &found), self.name)
      guard let found else { throw TorchError("is not in this LibTorch", operatorName: self.name) }
      handle = .success(found)
    } catch {
      handle = .failure(error as? TorchError ?? TorchError("\(error)", operatorName: name))
    }
  }

  /// Whether this LibTorch has it; an operator that it lacks throws when called.
  public var isAvailable: Bool {
    if case .success = handle { true } else { false }
  }

  /// Calls an operator that returns one tensor.
  /// - Throws: `TorchError` with the operator's name, its arguments and LibTorch's sentence.
  @discardableResult
  public func callAsFunction(_ arguments: Argument...) throws -> Tensor {
    let results = try call(arguments, capacity: 1)
    guard let result = results.first else {
      throw TorchError("returned no tensor", operatorName: name)
    }
    return result
  }

  /// Calls an operator that returns any number of tensors, at most `capacity`.
  @discardableResult
  public func call(_ arguments: [Argument], capacity: Int) throws -> [Tensor] {
    let handle = try handle.get()
    let words = arguments.reduce(0) { $0 + $1.wordCount }
    // The arguments own what the values point to, so they must outlive the call.
    return try withExtendedLifetime(arguments) {
      try withUnsafeTemporaryAllocation(of: CTValue.self, capacity: arguments.count) { values in
        try withUnsafeTemporaryAllocation(of: Int.self, capacity: words) { storage in
          try withUnsafeTemporaryAllocation(of: OpaquePointer?.self, capacity: capacity) { results in
            var next = storage.baseAddress
            for (index, argument) in arguments.enumerated() {
              values.initializeElement(at: index, to: argument.encode(into: &next))
            }
            results.initialize(repeating: nil)
            var count: Int64 = 0
            try check(
              ct_operator_call(
                handle, values.baseAddress, Int64(arguments.count), results.baseAddress, Int64(capacity),
                &count),
              name, arguments.map(\.description))
            return results.prefix(Int(count)).compactMap { $0.map(Tensor.init(owning:)) }
          }
        }
      }
    }
  }
}

extension Argument {
  /// Machine words of list storage that `encode` needs.
  fileprivate var wordCount: Int {
    switch self {
    case .tensors(let list): list.count
    case .optionalTensors(let list): list.count
    case .ints(let list): list.count
    case .doubles(let list), .optionalDoubles(let list): list.count
    case .string(let text): text.utf8.count / MemoryLayout<Int>.size + 1
    default: 0
    }
  }

  fileprivate func encode(into storage: inout UnsafeMutablePointer<Int>?) -> CTValue {
    var value = CTValue()
    func store<Element, Stored: BitwiseCopyable>(_ list: [Element], _ transform: (Element) -> Stored) {
      value.count = Int64(list.count)
      guard let base = storage else { return }
      let raw = UnsafeMutableRawPointer(base)
      for (index, element) in list.enumerated() {
        raw.storeBytes(of: transform(element), toByteOffset: index * MemoryLayout<Int>.size, as: Stored.self)
      }
      value.pointer = UnsafeRawPointer(base)
      storage = base + list.count
    }
    switch self {
    case .none:
      value.tag = CT_NONE
    case .tensor(let tensor):
      value.tag = CT_TENSOR
      value.pointer = UnsafeRawPointer(tensor.handle)
    case .tensors(let list):
      value.tag = CT_TENSORS
      store(list) { Int(bitPattern: $0.handle) }
    case .optionalTensors(let list):
      value.tag = CT_OPTIONAL_TENSORS
      store(list) { $0.map { Int(bitPattern: $0.handle) } ?? 0 }
    case .int(let number):
      value.tag = CT_INTEGER
      value.integer = Int64(number)
    case .ints(let list):
      value.tag = CT_INTEGERS
      store(list) { $0 }
    case .double(let number):
      value.tag = CT_NUMBER
      value.number = number
    case .doubles(let list):
      value.tag = CT_NUMBERS
      store(list) { $0 }
    case .optionalDoubles(let list):
      value.tag = CT_OPTIONAL_NUMBERS
      store(list) { $0 }
    case .bool(let flag):
      value.tag = CT_BOOLEAN
      value.integer = flag ? 1 : 0
    case .string(let text):
      value.tag = CT_STRING
      guard let base = storage else { break }
      let raw = UnsafeMutableRawPointer(base)
      for (offset, byte) in text.utf8.enumerated() {
        raw.storeBytes(of: byte, toByteOffset: offset, as: UInt8.self)
      }
      raw.storeBytes(of: 0, toByteOffset: text.utf8.count, as: UInt8.self)
      value.pointer = UnsafeRawPointer(base)
      storage = base + wordCount
    case .device(let device):
      value.tag = CT_DEVICE
      value.integer = Int64(device.kind.rawValue)
      value.count = Int64(device.bridgeIndex)
    case .generator(let generator):
      value.tag = CT_GENERATOR
      value.pointer = UnsafeRawPointer(generator.handle)
    }
    return value
  }
}

extension Argument: CustomStringConvertible {
  /// As errors show it: tensors by dtype and shape.
  public var description: String {
    switch self {
    case .none: "none"
    case .tensor(let tensor): tensor.summary
    case .tensors(let list): "[\(list.map(\.summary).joined(separator: ", "))]"
    case .optionalTensors(let list): "[\(list.map { $0?.summary ?? "none" }.joined(separator: ", "))]"
    case .int(let value): "\(value)"
    case .ints(let values): "\(values)"
    case .double(let value): "\(value)"
    case .doubles(let values), .optionalDoubles(let values): "\(values)"
    case .bool(let value): "\(value)"
    case .string(let value): "\"\(value)\""
    case .device(let value): "\(value)"
    case .generator: "generator"
    }
  }
}

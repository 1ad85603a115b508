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
            var storage = ArgumentStorage(storage.baseAddress)
            for (index, argument) in arguments.enumerated() {
              values.initializeElement(at: index, to: argument.encode(into: &storage))
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
    case .string(let text): text.utf8.count / MemoryLayout<Int>.size + 1
    default: 0
    }
  }

  fileprivate func encode(into storage: inout ArgumentStorage) -> CTValue {
    func value(
      _ tag: CTTag, _ pointer: UnsafeRawPointer? = nil, count: Int = 0, integer: Int = 0, number: Double = 0
    ) -> CTValue {
      CTValue(tag: tag, count: Int64(count), integer: Int64(integer), number: number, pointer: pointer)
    }
    return switch self {
    case .none: value(CT_NONE)
    case .tensor(let tensor): value(CT_TENSOR, UnsafeRawPointer(tensor.handle))
    case .tensors(let list):
      value(CT_TENSORS, storage.store(list) { Int(bitPattern: $0.handle) }, count: list.count)
    case .optionalTensors(let list):
      value(
        CT_OPTIONAL_TENSORS, storage.store(list) { $0.map { Int(bitPattern: $0.handle) } ?? 0 },
        count: list.count)
    case .int(let number): value(CT_INTEGER, integer: number)
    case .ints(let list): value(CT_INTEGERS, storage.store(list) { $0 }, count: list.count)
    case .double(let number): value(CT_NUMBER, number: number)
    case .bool(let flag): value(CT_BOOLEAN, integer: flag ? 1 : 0)
    case .string(let text): value(CT_STRING, storage.store(text, words: wordCount))
    case .device(let device):
      value(CT_DEVICE, count: Int(device.bridgeIndex), integer: Int(device.kind.rawValue))
    case .generator(let generator): value(CT_GENERATOR, UnsafeRawPointer(generator.handle))
    }
  }
}

/// Memory for what arguments point to, given out word by word.
private struct ArgumentStorage {
  private var next: UnsafeMutablePointer<Int>?

  init(_ base: UnsafeMutablePointer<Int>?) { next = base }

  mutating func store<Element>(_ list: [Element], _ word: (Element) -> Int) -> UnsafeRawPointer? {
    guard let base = next else { return nil }
    for (index, element) in list.enumerated() { (base + index).initialize(to: word(element)) }
    next = base + list.count
    return UnsafeRawPointer(base)
  }

  /// UTF-8 that ends with a zero.
  mutating func store(_ text: String, words: Int) -> UnsafeRawPointer? {
    guard let base = next else { return nil }
    let bytes = UnsafeMutableRawPointer(base)
    for (offset, byte) in text.utf8.enumerated() {
      bytes.storeBytes(of: byte, toByteOffset: offset, as: UInt8.self)
    }
    bytes.storeBytes(of: 0, toByteOffset: text.utf8.count, as: UInt8.self)
    next = base + words
    return UnsafeRawPointer(bytes)
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
    case .bool(let value): "\(value)"
    case .string(let value): "\"\(value)\""
    case .device(let value): "\(value)"
    case .generator: "generator"
    }
  }
}

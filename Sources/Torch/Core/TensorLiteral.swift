/// A number, or a list of them nested as deep as the tensor has dimensions, as it stands in the source.
public enum TensorLiteral: Sendable {
  /// `true` or `false`
  case bool(Bool)
  /// A whole number.
  case integer(Int)
  /// A number with a point.
  case number(Double)
  /// `[...]`
  case list([TensorLiteral])
}

extension TensorLiteral: ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByArrayLiteral
{
  /// `true` or `false`
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  /// A whole number.
  public init(integerLiteral value: Int) { self = .integer(value) }
  /// A number with a point.
  public init(floatLiteral value: Double) { self = .number(value) }
  /// A list.
  public init(arrayLiteral elements: TensorLiteral...) { self = .list(elements) }
}

extension Tensor {
  /// A tensor of what stands in the source: `Tensor([[1, 2], [3, 4]])`, `Tensor(0.5)`.
  /// - Parameters:
  ///   - shape: nil for that of the literal
  ///   - dtype: nil for PyTorch's choice: float32 where any number has a point, int64 where none has, bool for `true` and
  ///     `false`. (An array of `Double` that is no literal keeps its type.)
  /// - Throws: `TorchError` when lists of one depth differ in length, or `shape` does not hold the numbers.
  public convenience init(_ literal: TensorLiteral, shape: [Int]? = nil, dtype: DType? = nil) throws {
    let shape = try shape ?? literal.shape()
    let elements = literal.elements
    if elements.isEmpty || elements.contains(where: { if case .number = $0 { true } else { false } }) {
      try self.init(elements.map(\.double), shape: shape, dtype: dtype ?? .float32)
    } else if elements.contains(where: { if case .integer = $0 { true } else { false } }) {
      try self.init(elements.map(\.int), shape: shape, dtype: dtype)
    } else {
      try self.init(elements.map { $0.int != 0 }, shape: shape, dtype: dtype)
    }
  }
}

extension TensorLiteral {
  fileprivate func shape() throws -> [Int] {
    guard case .list(let list) = self else { return [] }
    let shapes = try list.map { try $0.shape() }
    guard let other = shapes.first(where: { $0 != shapes[0] }) else {
      return [list.count] + (shapes.first ?? [])
    }
    throw TorchError("lists of one depth must be of one shape, got \(shapes[0]) and \(other)")
  }

  fileprivate var elements: [TensorLiteral] {
    if case .list(let list) = self { list.flatMap(\.elements) } else { [self] }
  }

  fileprivate var int: Int {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .integer(let value): value
    case .number, .list: 0
    }
  }

  fileprivate var double: Double {
    if case .number(let value) = self { value } else { Double(int) }
  }
}

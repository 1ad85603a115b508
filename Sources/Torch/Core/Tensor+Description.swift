import Foundation

extension Tensor: CustomStringConvertible {
  /// The elements as PyTorch prints them, four digits behind the point, then dtype and shape. Of more than 1000 elements the
  /// first and last three of each dimension.
  public var description: String {
    guard let elements = try? PrintedElements(self) else { return "Tensor(\(summary))" }
    let text = "Tensor(" + elements.text(indent: 7)
    let lastLine = text.split(separator: "\n").last?.count ?? 0
    return text + (lastLine + summary.count + 3 > PrintedElements.lineWidth ? ",\n       " : ", ") + summary
      + ")"
  }
}

/// What PyTorch's `_tensor_str.py` makes of elements.
private struct PrintedElements {
  static let lineWidth = 80
  private static let threshold = 1000
  private static let edge = 3

  /// Of what is printed.
  private let shape: [Int]
  private let isCut: [Bool]
  private let texts: [String]
  private let width: Int

  init(_ tensor: Tensor) throws {
    let isLong = tensor.count > Self.threshold
    isCut = tensor.shape.map { isLong && $0 > 2 * Self.edge }
    var printed = try tensor.detach()
    for (dim, size) in tensor.shape.enumerated() where isCut[dim] {
      printed = try .cat(
        [
          printed.narrow(dim, start: 0, length: Self.edge),
          printed.narrow(dim, start: size - Self.edge, length: Self.edge),
        ],
        dim: dim)
    }
    shape = printed.shape
    let dtype = try printed.dtype
    let plain: [String]
    // What is 0, infinite or NaN has no say in how wide the others are.
    let wide: [String]
    if dtype.isFloatingPoint {
      let values = try printed.array(of: Double.self)
      let format = Self.format(of: values)
      plain = values.map { value in
        if value.isFinite { return String(format: format, value) }
        return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf"
      }
      wide = zip(values, plain).compactMap { $0.isFinite && $0 != 0 ? $1 : nil }
    } else {
      plain =
        dtype == .bool
        ? try printed.array(of: Bool.self).map(\.description)
        : try printed.array(of: Int.self).map(\.description)
      wide = plain
    }
    let width = wide.reduce(1) { max($0, $1.utf8.count) }
    texts = plain.map { String(repeating: " ", count: max(0, width - $0.utf8.count)) + $0 }
    self.width = width
  }

  /// Whole numbers with a point, or four digits, or powers of ten, as the numbers that are neither 0 nor infinite want it.
  private static func format(of values: [Double]) -> String {
    let sizes = values.filter { $0.isFinite && $0 != 0 }.map(abs)
    let (least, most) = (sizes.min() ?? 1, sizes.max() ?? 1)
    if most / least > 1000 || most > 1e8 || least < 1e-4 { return "%.4e" }
    return sizes.allSatisfy { $0 == $0.rounded() } ? "%.0f." : "%.4f"
  }

  func text(indent: Int) -> String { texts.isEmpty ? "[]" : text(dim: 0, from: 0, indent: indent) }

  private func text(dim: Int, from start: Int, indent: Int) -> String {
    guard dim < shape.count else { return texts[start] }
    let isLast = dim == shape.count - 1
    let size = shape[(dim + 1)...].reduce(1, *)
    var parts = (0..<shape[dim]).map { text(dim: dim + 1, from: start + $0 * size, indent: indent + 1) }
    if isCut[dim] { parts.insert(isLast ? " ..." : "...", at: Self.edge) }
    let newLine =
      String(repeating: "\n", count: max(1, shape.count - dim - 1))
      + String(repeating: " ", count: indent + 1)
    guard isLast else { return "[" + parts.joined(separator: "," + newLine) + "]" }
    let perLine = max(1, (Self.lineWidth - indent) / (width + 2))
    let lines = stride(from: 0, to: parts.count, by: perLine).map {
      parts[$0..<min($0 + perLine, parts.count)].joined(separator: ", ")
    }
    return "[" + lines.joined(separator: "," + newLine) + "]"
  }
}

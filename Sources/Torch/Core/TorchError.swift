import CTorch
import Foundation

/// An error that is one sentence for people: its description, which is also its `localizedDescription`.
public protocol SentenceError: LocalizedError, CustomStringConvertible, Equatable, Sendable {}

extension SentenceError {
  /// The sentence, for those who show errors by Foundation: one line, without control characters, of bounded length
  /// whatever names in it come from files.
  public var errorDescription: String? { description.sentence() }
}

/// What went wrong in an operator or a tensor function.
public struct TorchError: SentenceError {
  /// The operator's schema name, such as `aten::mm`; nil outside operators.
  public let operatorName: String?
  /// Shapes and dtypes of the arguments, in order.
  public let arguments: [String]
  /// LibTorch's own sentence, or ours.
  public let message: String

  /// One sentence, and what it is about.
  public init(_ message: String, operatorName: String? = nil, arguments: [String] = []) {
    self.message = message
    self.operatorName = operatorName
    self.arguments = arguments
  }
}

extension TorchError {
  /// The sentence behind the operator and its arguments.
  public var description: String {
    guard let operatorName else { return message }
    return "\(operatorName)(\(arguments.joined(separator: ", "))): \(message)"
  }
}

/// Throws a bridge function's message, if it has one.
func check(_ error: CTError?, _ name: String? = nil, _ arguments: @autoclosure () -> [String] = []) throws {
  guard let error else { return }
  defer { ct_free(error) }
  throw TorchError(firstSentence(String(cString: error)), operatorName: name, arguments: arguments())
}

/// LibTorch adds lists of all its backends and hints to its own developers.
private func firstSentence(_ text: String) -> String {
  let line = text.split(whereSeparator: \.isNewline).first.map(String.init) ?? text
  return line.components(separatedBy: ". This could be because")[0]
}

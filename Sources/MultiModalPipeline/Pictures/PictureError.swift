import Torch

/// Why a picture, or the configuration that says what to do with it, was refused. The description is one sentence for
/// the person who gave it.
public struct PictureError: SentenceError {
  /// What is wrong, for a program.
  public enum Reason: Sendable {
    /// There is no such file, or it is a folder, or may not be read.
    case unreadable
    /// The file or the bytes hold nothing.
    case empty
    /// More bytes or more pixels than the limits allow.
    case tooLarge
    /// Not a picture, or of a format that is not read.
    case unsupportedFormat
    /// A picture of a known format whose content is broken or cut off.
    case damaged
    /// A field of `preprocessor_config.json` or of the augmentation, or an argument, that makes no sense.
    case invalidArgument
    /// The picture could not be written.
    case unwritable
  }

  /// What is wrong, for a program.
  public let reason: Reason
  /// What is wrong, for people.
  public let description: String

  package init(_ reason: Reason, _ description: String) {
    self.reason = reason
    self.description = description
  }

  /// A field that is not what it must be.
  static func field(_ path: String, _ problem: String) -> PictureError {
    PictureError(.invalidArgument, "\(path) \(problem)")
  }
}

/// No picture can be read or drawn, because libvips cannot be loaded or does not start: the machine's fault, and not the
/// picture's.
public struct PictureLibraryError: SentenceError {
  /// One sentence, for people.
  public let description: String

  init(_ detail: String) {
    description =
      "cannot read pictures: libvips does not start (\(detail)): install it, as 'scripts/setup' does"
  }
}

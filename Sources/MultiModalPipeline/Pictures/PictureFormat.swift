import CVips
import Foundation

/// A picture format, told by the first bytes of a file, never by its name.
public enum PictureFormat: String, CaseIterable, Sendable {
  /// What is read.
  case jpeg, png, webp, gif, tiff, heic, avif

  /// The formats that the libvips and libheif on this machine decode.
  public static let supported: [PictureFormat] = allCases.filter { format in
    guard (try? VipsPicture.start()) != nil, cvips_has_operation(format.loader) else { return false }
    // libheif opens both formats, but decodes only those that a codec is installed for: trying is the way to know.
    guard let sample = format.sample else { return true }
    return (try? sample.withUnsafeBytes { try VipsPicture.load($0, with: format.loader).sRGB().bytes() })
      != nil
  }

  /// Sees that libvips, which reads all of them, starts.
  /// - Throws: `PictureLibraryError` where it does not, with its reason.
  public static func checkLibrary() throws { try VipsPicture.start() }

  /// The names of the supported formats, as a sentence lists them.
  static var supportedNames: String { supported.map { $0.rawValue.uppercased() }.joined(separator: ", ") }

  var loader: String {
    switch self {
    case .heic, .avif: "heifload_buffer"
    default: "\(rawValue)load_buffer"
    }
  }

  /// The format that the bytes claim to be in.
  init?(of bytes: Data) {
    func has(_ signature: [UInt8], at offset: Int = 0) -> Bool {
      bytes.dropFirst(offset).starts(with: signature)
    }
    func has(_ text: String, at offset: Int) -> Bool { has(Array(text.utf8), at: offset) }
    if has([0xFF, 0xD8, 0xFF]) {
      self = .jpeg
    } else if has([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) {
      self = .png
    } else if has("GIF87a", at: 0) || has("GIF89a", at: 0) {
      self = .gif
    } else if has("RIFF", at: 0), has("WEBP", at: 8) {
      self = .webp
    } else if has([0x49, 0x49, 0x2A, 0]) || has([0x4D, 0x4D, 0, 0x2A]) || has([0x49, 0x49, 0x2B, 0])
      || has([0x4D, 0x4D, 0, 0x2B])
    {
      self = .tiff
    } else if has("ftyp", at: 4), ["avif", "avis"].contains(where: { has($0, at: 8) }) {
      self = .avif
    } else if has("ftyp", at: 4),
      ["heic", "heix", "hevc", "hevx", "mif1", "msf1"].contains(where: { has($0, at: 8) })
    {
      self = .heic
    } else {
      return nil
    }
  }
}

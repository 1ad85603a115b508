import CVips
import Foundation

/// A picture that cannot be used; names it, says what is wrong and what is allowed.
public struct PictureError: Error, Sendable, Equatable, CustomStringConvertible {
  public let description: String

  public init(_ description: String) { self.description = description }
}

/// libvips, started once for the process.
enum Vips {
  private static let failure: String? = {
    guard let error = cv_start() else { return nil }
    defer { cv_free(error) }
    return String(cString: error)
  }()

  static func start() throws {
    if let failure { throw PictureError("libvips cannot be started: \(failure)") }
  }

  /// Runs a function of the library that fills in pixels.
  static func pixels(_ context: String, _ body: (inout CVPixels) -> CVError?) throws -> CVPixels {
    try start()
    var result = CVPixels()
    if let error = body(&result) {
      defer { cv_free(error) }
      throw PictureError("\(context): \(String(cString: error))")
    }
    return result
  }
}

/// A decoded picture: sRGB, 8 bits a channel, upright, with or without alpha.
public final class Picture: @unchecked Sendable {
  let pixels: CVPixels  // never changed

  init(owning pixels: CVPixels) { self.pixels = pixels }

  /// A picture of rows of pixels, red, green and blue a byte each.
  /// - Throws: `PictureError` when the bytes do not fill exactly this width and height.
  public convenience init(rgb: [UInt8], width: Int, height: Int) throws {
    guard width > 0, height > 0, width <= 16384, height <= 16384, rgb.count == 3 * width * height else {
      throw PictureError("\(rgb.count) bytes are no picture of \(width) x \(height) pixels of 3 bytes each")
    }
    self.init(
      owning: try Vips.pixels("the picture cannot be kept") { result in
        cv_copy(rgb, Int32(width), Int32(height), 3, &result)
      })
  }

  deinit { cv_free(pixels.data) }

  public var width: Int { Int(pixels.width) }
  public var height: Int { Int(pixels.height) }
  public var hasAlpha: Bool { pixels.bands == 4 }

  /// Rows of pixels of 3 bytes, or 4 with alpha.
  public var bytes: Data {
    Data(bytes: pixels.data, count: width * height * Int(pixels.bands))
  }

  /// What may be read, so that no file takes the machine's memory.
  public struct Limits: Sendable, Equatable {
    public var maxBytes: Int
    public var maxPixels: Int

    public init(maxBytes: Int = 64 << 20, maxPixels: Int = 64_000_000) {
      self.maxBytes = maxBytes
      self.maxPixels = maxPixels
    }
  }

  /// Decodes JPEG, PNG, WebP, GIF (its first picture), TIFF, HEIC or AVIF.
  /// - Parameter name: what errors call the picture
  /// - Throws: `PictureError` for bytes that are damaged, too large or no picture.
  public static func decode(_ bytes: Data, name: String = "the picture", limits: Limits = Limits()) throws
    -> Picture
  {
    guard !bytes.isEmpty else { throw PictureError("\(name) cannot be read: it is empty") }
    guard bytes.count <= limits.maxBytes else {
      throw PictureError(
        "\(name) cannot be read: it has \(bytes.count) bytes, but at most \(limits.maxBytes) are allowed")
    }
    return Picture(
      owning: try Vips.pixels("\(name) cannot be read") { result in
        bytes.withUnsafeBytes { cv_decode($0.baseAddress, $0.count, Int64(limits.maxPixels), &result) }
      })
  }

  public static func decode(contentsOf url: URL, limits: Limits = Limits()) throws -> Picture {
    let values = try? url.resourceValues(forKeys: [.isRegularFileKey, .fileSizeKey])
    guard let values, let size = values.fileSize else {
      throw PictureError("there is no picture \(url.path)")
    }
    guard values.isRegularFile == true else { throw PictureError("\(url.path) is not a file") }
    guard size <= limits.maxBytes else {
      throw PictureError(
        "\(url.path) cannot be read: it has \(size) bytes, but at most \(limits.maxBytes) are allowed")
    }
    let bytes: Data
    do {
      bytes = try Data(contentsOf: url)
    } catch {
      throw PictureError("\(url.path) cannot be read: \(error.localizedDescription)")
    }
    return try decode(bytes, name: url.path, limits: limits)
  }

  /// Encodes as PNG (`.png`) or JPEG (`.jpg`), or whatever else libvips writes by that suffix.
  public func encoded(suffix: String = ".png") throws -> Data {
    var bytes: UnsafeMutableRawPointer?
    var size = 0
    var pixels = pixels
    if let error = withExtendedLifetime(self, { cv_encode(&pixels, suffix, &bytes, &size) }) {
      defer { cv_free(error) }
      throw PictureError("the picture cannot be written as \(suffix): \(String(cString: error))")
    }
    defer { cv_free(bytes) }
    return Data(UnsafeRawBufferPointer(start: bytes, count: size))
  }

  /// Formats that this machine's libvips can read.
  public static var supportedFormats: [String] {
    guard (try? Vips.start()) != nil else { return [] }
    return ["jpeg", "png", "webp", "gif", "tiff", "heif"].filter { cv_can_read($0) }
  }

  public static var libraryVersion: String { String(cString: cv_version()) }
}

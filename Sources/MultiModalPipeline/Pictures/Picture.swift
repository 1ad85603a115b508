import CVips
import Foundation

/// A decoded picture: upright, 8-bit sRGB, with alpha if the file has it.
public struct Picture: Equatable, Sendable {
  /// Rows.
  public let height: Int
  /// Columns.
  public let width: Int
  /// 3, or 4 where the last is alpha (not premultiplied).
  public let channels: Int
  /// Interleaved: `[height, width, channels]`.
  public let pixels: [UInt8]

  /// - Throws: `PictureError` unless there are `height * width * channels` pixels, 3 or 4 channels, and a size above 0.
  public init(height: Int, width: Int, channels: Int, pixels: [UInt8]) throws {
    guard height > 0, width > 0, channels == 3 || channels == 4 else {
      throw PictureError(
        .invalidArgument,
        "a picture needs a height and width above 0 and 3 or 4 channels, got \(height) x \(width) x \(channels)"
      )
    }
    let (area, overflow) = height.multipliedReportingOverflow(by: width)
    guard !overflow, area <= Int(Int32.max), pixels.count == area * channels else {
      throw PictureError(
        .invalidArgument,
        "a picture of \(height) x \(width) x \(channels) cannot have \(pixels.count) values")
    }
    self.height = height
    self.width = width
    self.channels = channels
    self.pixels = pixels
  }

  /// Decodes a file.
  ///
  /// - Parameter longestSide: Larger pictures are reduced to this height or width, whichever is longer; nil keeps the size.
  /// - Throws: `PictureError` for a file that is missing, empty, too large, damaged, or no picture of a supported format,
  ///   `PictureLibraryError` where none can be read.
  public init(contentsOf url: URL, longestSide: Int? = nil, limits: PictureLimits = PictureLimits()) throws {
    try self.init(EncodedPicture(contentsOf: url, limits: limits), longestSide: longestSide)
  }

  /// Decodes a file's bytes.
  ///
  /// - Parameters:
  ///   - longestSide: Larger pictures are reduced to this height or width, whichever is longer; nil keeps the size.
  ///   - name: What error messages call the picture.
  public init(
    bytes: Data, name: String = "given as bytes", longestSide: Int? = nil,
    limits: PictureLimits = PictureLimits()
  ) throws {
    try self.init(EncodedPicture(bytes, name: name, limits: limits), longestSide: longestSide)
  }

  private init(_ encoded: EncodedPicture, longestSide: Int?) throws {
    if let longestSide, longestSide < 1 {
      throw PictureError(.invalidArgument, "longestSide must be above 0, got \(longestSide)")
    }
    func scale(_ header: CVipsHeader) -> Double {
      longestSide.map { min(1, Double($0) / Double(max(header.height, header.width))) } ?? 1
    }
    // Decoding at twice the size or more leaves the filter enough to work with.
    func shrink(_ header: CVipsHeader) -> Double { 1 / scale(header) / 2 }
    self = try encoded.open(shrinkingBy: shrink) { image, header in
      func reduced(_ side: Int32) -> Int { max(1, Int((Double(side) * scale(header)).rounded())) }
      let image = try image.resized(
        height: reduced(header.height), width: reduced(header.width), kernel: CVIPS_CUBIC
      ).sRGB()
      let orientation = Int(header.orientation)
      return try Picture(orientation == 1 ? image : image.inMemory().upright(from: orientation))
    }
  }

  /// Computes an 8-bit sRGB image.
  init(_ image: VipsPicture) throws {
    let header = image.header
    try self.init(
      height: Int(header.height), width: Int(header.width), channels: Int(header.bands), pixels: image.bytes()
    )
  }

  /// Calls `body` with the picture as a libvips image, which ends with the call.
  func withImage<Result>(_ body: (VipsPicture) throws -> Result) throws -> Result {
    try pixels.withUnsafeBufferPointer {
      try body(VipsPicture.wrapping($0, height: height, width: width, channels: channels))
    }
  }

  // MARK: - Writing

  /// The picture as a PNG file's bytes.
  public func png() throws -> Data {
    try encoding("PNG") { try $0.png() }
  }

  /// The picture as a JPEG file's bytes; alpha is laid over black.
  ///
  /// - Parameter quality: 1 to 100.
  public func jpeg(quality: Int = 90) throws -> Data {
    guard (1...100).contains(quality) else {
      throw PictureError(.invalidArgument, "JPEG quality must be in 1...100, got \(quality)")
    }
    return try encoding("JPEG") { try $0.jpeg(quality: quality) }
  }

  private func encoding(_ format: String, _ body: (VipsPicture) throws -> Data) throws -> Data {
    do { return try withImage(body) } catch let error as VipsError {
      throw PictureError(.unwritable, "cannot write the picture as \(format) (\(error.detail))")
    }
  }
}

import CVips
import Foundation

/// How large a picture may be. Both limits hold before anything is decoded.
public struct PictureLimits: Equatable, Sendable {
  /// Width times height, as the header gives them.
  public var maxPixels: Int
  /// The length of the encoded file.
  public var maxBytes: Int

  /// A hundred million pixels and 64 MiB where nothing else is said.
  public init(maxPixels: Int = 100_000_000, maxBytes: Int = 64 << 20) {
    self.maxPixels = maxPixels
    self.maxBytes = maxBytes
  }
}

/// The bytes of a picture file, known to be within the byte limit and to start like a supported format.
struct EncodedPicture {
  private let bytes: Data
  /// What error messages call it: a path, or where the bytes came from.
  private let name: String
  private let format: PictureFormat
  private let limits: PictureLimits

  /// Scans of a progressive JPEG, each of which costs as much time as a whole picture; encoders write about ten.
  private static let maxScans = 100
  /// CMYK with alpha has the most channels of any picture.
  private static let maxChannels = 5

  init(contentsOf url: URL, limits: PictureLimits) throws {
    let path = url.isFileURL ? url.path : url.absoluteString
    var status = stat()
    guard url.isFileURL, stat(path, &status) == 0 else {
      throw PictureError(.unreadable, "cannot read picture \(path): there is no such file")
    }
    // A pipe that nobody writes to would never end.
    guard status.st_mode & S_IFMT == S_IFREG else {
      let kind = status.st_mode & S_IFMT == S_IFDIR ? "a folder" : "no regular file"
      throw PictureError(.unreadable, "cannot read picture \(path): it is \(kind); give a picture file")
    }
    let bytes: Data
    do {
      let file = try FileHandle(forReadingFrom: url)
      defer { try? file.close() }
      // One byte more than allowed tells a file that is too large, whatever its size is said to be.
      bytes = try file.read(upToCount: min(max(limits.maxBytes, 0), .max - 1) + 1) ?? Data()
    } catch {
      throw PictureError(.unreadable, "cannot read picture \(path): \(error.localizedDescription)")
    }
    try self.init(bytes, name: path, limits: limits)
  }

  init(_ bytes: Data, name: String, limits: PictureLimits) throws {
    guard !bytes.isEmpty else { throw PictureError(.empty, "cannot read picture \(name): it is empty") }
    guard bytes.count <= limits.maxBytes else {
      throw PictureError(
        .tooLarge,
        "cannot read picture \(name): it has more than \(limits.maxBytes) bytes, the limit (max_bytes)")
    }
    try VipsPicture.start()
    guard let format = PictureFormat(of: bytes), PictureFormat.supported.contains(format) else {
      let claim = PictureFormat(of: bytes).map {
        "\($0.rawValue.uppercased()), which this machine cannot decode"
      }
      throw PictureError(
        .unsupportedFormat,
        "cannot read picture \(name): it is \(claim ?? "no picture of a known format"); supported are "
          + PictureFormat.supportedNames)
    }
    guard !PictureMetadata.hasTooManyEntries(bytes, format) else {
      throw PictureError(
        .tooLarge,
        "cannot read picture \(name): its EXIF data have more than \(PictureMetadata.maxExifEntries) entries, or lead in "
          + "a circle")
    }
    self.bytes = format == .png ? PictureMetadata.withoutTexts(png: bytes) : bytes
    self.name = name
    self.format = format
    self.limits = limits
  }

  /// Opens the picture, checks its size, and calls `body` with its pixels still to be decoded, once and in order.
  ///
  /// - Parameter shrink: Given the header, how many times smaller the picture may be decoded. Only JPEG honours it, by
  ///   2, 4 or 8.
  /// - Throws: `PictureError`, also for what libvips throws in `body`: that is where decoding happens.
  func open<Result>(
    shrinkingBy shrink: (CVipsHeader) -> Double, _ body: (VipsPicture, CVipsHeader) throws -> Result
  ) throws -> Result {
    do {
      return try bytes.withUnsafeBytes { bytes in
        if format == .jpeg { try checkScans(bytes) }
        let whole = try VipsPicture.load(bytes, with: format.loader)
        let header = whole.header
        try check(header)
        let times = format == .jpeg ? [8, 4, 2].first { Double($0) <= shrink(header) } : nil
        guard let times else { return try body(whole, header) }
        return try body(VipsPicture.load(bytes, with: format.loader, shrink: times), header)
      }
    } catch let error as VipsError {
      throw PictureError(.damaged, "cannot read picture \(name): it is damaged (\(error.detail))")
    }
  }

  private func check(_ header: CVipsHeader) throws {
    let (width, height) = (Int(header.width), Int(header.height))
    guard width * height <= limits.maxPixels else {
      throw PictureError(
        .tooLarge,
        "cannot read picture \(name): it is \(width) x \(height) pixels, more than the limit of "
          + "\(limits.maxPixels) in all (max_pixels)")
    }
    guard header.bands <= Self.maxChannels else {
      throw PictureError(
        .unsupportedFormat,
        "cannot read picture \(name): it has \(header.bands) channels, and a picture has at most \(Self.maxChannels)"
      )
    }
  }

  private func checkScans(_ bytes: UnsafeRawBufferPointer) throws {
    let scans = jpegScanCount(bytes)
    guard scans <= Self.maxScans else {
      throw PictureError(
        .tooLarge,
        "cannot read picture \(name): it is a JPEG of \(scans) scans, more than the limit of \(Self.maxScans)"
      )
    }
  }
}

/// The number of scans up to the end of a JPEG picture (ITU-T T.81, annex B), without decoding it.
func jpegScanCount(_ bytes: UnsafeRawBufferPointer) -> Int {
  guard let start = bytes.baseAddress else { return 0 }
  var scans = 0
  var position = 0
  while position < bytes.count, let found = memchr(start + position, 0xFF, bytes.count - position) {
    position = UnsafeRawPointer(found) - start + 1
    guard position < bytes.count else { break }
    switch bytes[position] {
    case 0xFF: continue  // Fill.
    case 0x00, 0x01, 0xD0...0xD8: position += 1  // A stuffed byte, or a marker that stands alone.
    case 0xD9: return scans
    case let marker:
      if marker == 0xDA { scans += 1 }
      guard position + 2 < bytes.count else { return scans }
      position += 1 + max(2, Int(bytes[position + 1]) << 8 | Int(bytes[position + 2]))
    }
  }
  return scans
}

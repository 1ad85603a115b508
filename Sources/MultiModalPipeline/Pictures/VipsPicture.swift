import CVips
import Foundation

/// What libvips said when an operation failed.
struct VipsError: Error {
  let detail: String

  /// Takes the last of the process's pending messages and leaves none. Those before it may be of attempts that succeeded.
  static func taken() -> VipsError {
    guard let text = cvips_take_error() else { return VipsError(detail: "no reason given") }
    defer { free(text) }
    let last = String(cString: text).split(separator: "\n").last ?? "no reason given"
    return VipsError(detail: String(last.prefix(200)))
  }
}

/// A libvips image: a recipe whose pixels are computed when they are asked for.
final class VipsPicture {
  private let handle: OpaquePointer

  private init(_ handle: OpaquePointer?) throws {
    guard let handle else { throw VipsError.taken() }
    self.handle = handle
  }

  deinit { cvips_release(handle) }

  private func applying(_ operation: (OpaquePointer) -> OpaquePointer?) throws -> VipsPicture {
    try withExtendedLifetime(self) { try VipsPicture(operation(handle)) }
  }

  private static let startFailure: PictureLibraryError? =
    cvips_start() ? nil : PictureLibraryError(VipsError.taken().detail)

  /// Starts libvips if this is its first use.
  /// - Throws: `PictureLibraryError`
  static func start() throws {
    if let startFailure { throw startFailure }
  }

  // MARK: - Reading and writing

  /// Opens the first frame with the named loader, which reads the header alone; pixels can be read once, in order.
  /// `bytes` must outlive every image made from this one. `shrink` (1, 2, 4 or 8) is for JPEG.
  static func load(_ bytes: UnsafeRawBufferPointer, with loader: String, shrink: Int = 1) throws
    -> VipsPicture
  {
    try start()
    return try VipsPicture(cvips_load(loader, bytes.baseAddress, bytes.count, Int32(shrink)))
  }

  /// Interleaved 8-bit sRGB with 3 channels, or 4 where the last is alpha. `bytes` must outlive the image.
  static func wrapping(
    _ bytes: UnsafeBufferPointer<UInt8>, height: Int, width: Int, channels: Int
  ) throws -> VipsPicture {
    try start()
    return try VipsPicture(
      cvips_from_memory(bytes.baseAddress, bytes.count, Int32(width), Int32(height), Int32(channels)))
  }

  var header: CVipsHeader { withExtendedLifetime(self) { cvips_header(handle) } }

  /// Computes every pixel now.
  func inMemory() throws -> VipsPicture { try applying { cvips_copy_memory($0) } }

  /// The pixels, interleaved, of an 8-bit image.
  /// - Parameter isSmall: so that what it is made of can be in memory as well
  func bytes(isSmall: Bool = false) throws -> [UInt8] {
    try collecting {
      isSmall ? cvips_fetch($0, $1) : cvips_to_memory($0, $1)
    } into: {
      [UInt8]($0)
    }
  }

  func png() throws -> Data {
    try collecting {
      cvips_to_png($0, $1)
    } into: {
      Data($0)
    }
  }

  /// Encodes as JPEG of quality 1 to 100.
  func jpeg(quality: Int) throws -> Data {
    try collecting {
      cvips_to_jpeg($0, Int32(quality), $1)
    } into: {
      Data($0)
    }
  }

  private func collecting<Result>(
    _ produce: (OpaquePointer, UnsafeMutablePointer<Int>) -> UnsafeMutableRawPointer?,
    into result: (UnsafeRawBufferPointer) -> Result
  ) throws -> Result {
    var count = 0
    guard let memory = withExtendedLifetime(self, { produce(handle, &count) }) else {
      throw VipsError.taken()
    }
    defer { cvips_free(memory) }
    return result(UnsafeRawBufferPointer(start: memory, count: count))
  }

  // MARK: - Samples and colour

  /// 8-bit sRGB, with 8-bit alpha after it where the image has alpha, from whatever space and depth the image is in.
  func sRGB() throws -> VipsPicture {
    let header = header
    guard header.has_alpha else { return try opaqueToSRGB() }
    let alpha = try applying { cvips_bands($0, header.bands - 1, 1) }
    let colour = try applying { cvips_bands($0, 0, header.bands - 1) }.opaqueToSRGB()
    let alpha8 = try alpha.applying {
      header.bytes_per_sample == 2 ? cvips_upper_byte($0) : cvips_to_uint8($0)
    }
    return try colour.applying { colour in alpha8.borrowing { cvips_join(colour, $0) } }
  }

  private func opaqueToSRGB() throws -> VipsPicture {
    let header = header
    if header.has_profile || header.is_cmyk,
      let converted = try? applying({ cvips_profile_to_srgb($0, header.is_cmyk) })
    {
      return try converted.firstThreeBands()
    }
    // A profile that cannot be used is no reason to refuse the picture.
    return try applying { cvips_to_srgb($0) }.firstThreeBands()
  }

  private func firstThreeBands() throws -> VipsPicture {
    let picture = header.bands > 3 ? try applying { cvips_bands($0, 0, 3) } : self
    return picture.header.bytes_per_sample == 1 ? picture : try picture.applying { cvips_to_uint8($0) }
  }

  /// The samples as Pillow's `convert("RGB")` makes them: the upper 8 of 16 bits, colours as they are whatever their profile, no
  /// alpha. What Pillow has no such conversion for (CIELAB, floating point) becomes sRGB.
  ///
  /// - Parameter background: the colour that shows through transparency; nil drops alpha as Pillow does
  func raster(over background: [Double]?) throws -> Raster {
    let header = header
    guard !header.is_packed, !header.is_float, header.bytes_per_sample <= 2 else {
      return try sRGB().raster(over: background)
    }
    let (bands, area) = (Int(header.bands), Int(header.height) * Int(header.width))
    let samples = try (header.bytes_per_sample == 2 ? applying { cvips_upper_byte($0) } : self)
      .bytes(isSmall: area <= 1 << 18)
    func raster(_ channels: Int, _ samples: [UInt8]) -> Raster {
      Raster(height: Int(header.height), width: Int(header.width), channels: channels, samples: samples)
    }
    if let background, header.has_alpha, !header.is_cmyk {
      return Raster(
        height: Int(header.height), width: Int(header.width), bands: bands, samples: samples, over: background
      )
    }
    let channels = header.is_cmyk || bands > 2 ? 3 : 1
    if bands == channels { return raster(channels, samples) }
    return raster(
      channels,
      [UInt8](unsafeUninitializedCapacity: area * channels) { out, count in
        samples.withUnsafeBufferPointer { samples in
          for index in 0..<area {
            for channel in 0..<channels {
              let sample = samples[index * bands + channel]
              out[index * channels + channel] =
                header.is_cmyk ? VipsPicture.light(sample, samples[index * bands + 3]) : sample
            }
          }
        }
        count = area * channels
      })
  }

  /// What is left of white under an ink and black, with Pillow's rounded product.
  private static func light(_ ink: UInt8, _ black: UInt8) -> UInt8 {
    let white = 255 - Int(black)
    let product = Int(ink) * white + 128
    return UInt8(max(0, white - ((product >> 8) + product) >> 8))
  }

  private func borrowing<Result>(_ body: (OpaquePointer) -> Result) -> Result {
    withExtendedLifetime(self) { body(handle) }
  }

  func flattened(over background: [Double]) throws -> VipsPicture {
    try applying { cvips_flatten($0, background) }
  }

  // MARK: - Geometry

  /// Scaled, each side on its own; low-pass filtered where it shrinks.
  func resized(height: Int, width: Int, kernel: CVipsKernel) throws -> VipsPicture {
    let header = header
    if height == Int(header.height) && width == Int(header.width) { return self }
    if header.is_packed { return try sRGB().resized(height: height, width: width, kernel: kernel) }
    func resize(_ picture: VipsPicture) throws -> VipsPicture {
      try picture.applying { cvips_resize($0, Int32(width), Int32(height), kernel) }
    }
    guard header.has_alpha else { return try resize(self) }
    // Colour under transparency must not bleed into what is visible.
    let divided = try resize(applying { cvips_premultiply($0) }).applying { cvips_unpremultiply($0) }
    switch header.bytes_per_sample {
    case 1: return try divided.applying { cvips_to_uint8($0) }
    case 2: return try divided.applying { cvips_to_uint16($0) }
    default: return divided
    }
  }

  func cropped(left: Int, top: Int, height: Int, width: Int) throws -> VipsPicture {
    try applying { cvips_crop($0, Int32(left), Int32(top), Int32(width), Int32(height)) }
  }

  /// Placed on a canvas of one colour, given as one value per channel.
  func embedded(left: Int, top: Int, height: Int, width: Int, background: [Double]) throws -> VipsPicture {
    try applying {
      cvips_embed(
        $0, Int32(left), Int32(top), Int32(width), Int32(height), background, Int32(background.count))
    }
  }

  /// Turned and mirrored by an EXIF orientation, 1 to 8. Needs pixels in memory.
  func upright(from orientation: Int) throws -> VipsPicture {
    try applying { cvips_upright($0, Int32(orientation)) }
  }

  /// Blurred by a Gaussian of this standard deviation in pixels.
  func blurred(sigma: Double) throws -> VipsPicture { try applying { cvips_blur($0, sigma) } }
}

import CVips
import Foundation
import Torch

/// Turns pictures into what a model takes: one size, three channels, normalised.
public struct ImageProcessor: Sendable {
  /// `preprocessor_config.json`, with Hugging Face's names where they exist.
  public struct Configuration: Codable, Sendable, Equatable {
    public struct Size: Codable, Sendable, Equatable {
      public var height: Int
      public var width: Int

      public init(height: Int, width: Int) {
        self.height = height
        self.width = width
      }
    }

    public enum ResizeMode: String, Codable, Sendable, CaseIterable {
      /// Height and width each to their own; shapes change.
      case stretch
      /// Fill, and cut off what stands out on two sides.
      case crop
      /// Fit in, and fill two sides with the background.
      case pad
    }

    public var size = Size(height: 256, width: 256)
    public var resizeMode = ResizeMode.stretch
    /// Red, green and blue from 0 to 255: behind transparent pixels, and beside a padded picture.
    public var background = [255.0, 255.0, 255.0]
    /// Per channel, of values from 0 to 1: normalised = (value - mean) / std.
    public var imageMean = [0.5, 0.5, 0.5]
    public var imageStd = [0.5, 0.5, 0.5]
    /// The largest file, and the most pixels, that are read.
    public var maxBytes = Picture.Limits().maxBytes
    public var maxPixels = Picture.Limits().maxPixels

    enum CodingKeys: String, CodingKey {
      case size, background
      case resizeMode = "resize_mode"
      case imageMean = "image_mean"
      case imageStd = "image_std"
      case maxBytes = "max_bytes"
      case maxPixels = "max_pixels"
    }

    public init() {}

    /// - Throws: `PictureError` that names the first field out of range.
    public func validate() throws {
      guard (1...16384).contains(size.height), (1...16384).contains(size.width) else {
        throw PictureError("size must be from 1 to 16384 each way, got \(size.height) x \(size.width)")
      }
      guard background.count == 3, background.allSatisfy({ (0...255).contains($0) }) else {
        throw PictureError("background must be three numbers from 0 to 255, got \(background)")
      }
      guard imageMean.count == 3, imageMean.allSatisfy(\.isFinite) else {
        throw PictureError("image_mean must be three finite numbers, got \(imageMean)")
      }
      guard imageStd.count == 3, imageStd.allSatisfy({ $0.isFinite && $0 > 0 }) else {
        throw PictureError("image_std must be three numbers above 0, got \(imageStd)")
      }
      guard maxBytes > 0, maxPixels > 0 else {
        throw PictureError("max_bytes and max_pixels must be above 0, got \(maxBytes) and \(maxPixels)")
      }
    }
  }

  /// A picture as the model takes it.
  public struct Pixels: Sendable {
    /// Planes of red, green and blue, [3, height, width], normalised.
    public let values: [Float]
    public let height: Int
    public let width: Int
  }

  public let configuration: Configuration

  public init(_ configuration: Configuration) throws {
    try configuration.validate()
    self.configuration = configuration
  }

  /// - Throws: `PictureError` for a file that is missing or says what is not allowed.
  public init(contentsOf url: URL) throws {
    let data: Data
    do {
      data = try Data(contentsOf: url)
    } catch {
      throw PictureError("\(url.path) cannot be read: \(error.localizedDescription)")
    }
    do {
      try self.init(JSONDecoder().decode(Configuration.self, from: data))
    } catch let error as PictureError {
      throw PictureError("\(url.path): \(error.description)")
    } catch DecodingError.keyNotFound(let key, _) {
      throw PictureError("\(url.path) lacks \"\(key.stringValue)\"")
    } catch let DecodingError.typeMismatch(_, context), let DecodingError.dataCorrupted(context) {
      let path = context.codingPath.map(\.stringValue).joined(separator: ".")
      throw PictureError(
        "\(url.path): \"\(path)\" has a value that is not allowed: \(context.debugDescription)")
    }
  }

  private var limits: Picture.Limits {
    Picture.Limits(maxBytes: configuration.maxBytes, maxPixels: configuration.maxPixels)
  }

  /// Decodes a picture within the configuration's limits.
  public func decode(contentsOf url: URL) throws -> Picture { try .decode(contentsOf: url, limits: limits) }

  public func decode(_ bytes: Data, name: String = "the picture") throws -> Picture {
    try .decode(bytes, name: name, limits: limits)
  }

  /// Resizes and normalises a picture.
  public func callAsFunction(_ picture: Picture) throws -> Pixels {
    let (height, width) = (configuration.size.height, configuration.size.width)
    var resized = picture
    if picture.hasAlpha || picture.width != width || picture.height != height {
      let mode: CVResizeMode =
        switch configuration.resizeMode {
        case .stretch: CV_STRETCH
        case .crop: CV_CROP
        case .pad: CV_PAD
        }
      resized = Picture(
        owning: try Vips.pixels("the picture cannot be resized") { result in
          var source = picture.pixels
          return withExtendedLifetime(picture) {
            cv_resize(&source, Int32(width), Int32(height), mode, configuration.background, &result)
          }
        })
    }
    let plane = height * width
    let values = [Float](unsafeUninitializedCapacity: 3 * plane) { buffer, count in
      withExtendedLifetime(resized) {
        for channel in 0..<3 {
          let scale = Float(1 / (255 * configuration.imageStd[channel]))
          let offset = Float(-configuration.imageMean[channel] / configuration.imageStd[channel])
          for index in 0..<plane {
            buffer[channel * plane + index] = Float(resized.pixels.data[3 * index + channel]) * scale + offset
          }
        }
      }
      count = 3 * plane
    }
    return Pixels(values: values, height: height, width: width)
  }
}

extension Tensor {
  /// One picture as a batch, [1, 3, height, width].
  public convenience init(_ pixels: ImageProcessor.Pixels) throws {
    try self.init(pixels.values, shape: [1, 3, pixels.height, pixels.width])
  }
}

/// A rectangle of pixels.
struct PixelArea: Equatable {
  var left: Int
  var top: Int
  var height: Int
  var width: Int
}

extension ImageProcessor {
  /// Where a picture lands: it is resized, and its upper left corner put at (left, top) of a canvas of height x width.
  /// All is counted with the picture upright.
  struct Layout: Equatable {
    let resizedHeight: Int
    let resizedWidth: Int
    /// Below 0 where the picture is cut, above where it is padded.
    let left: Int
    let top: Int
    let height: Int
    let width: Int
    /// How many times smaller the picture becomes, along the side where it shrinks least.
    let shrink: Double

    init(height: Int, width: Int, configuration: Configuration) {
      var canvas = configuration.doResize ? configuration.size : .init(height: height, width: width)
      let down = Double(canvas.height) / Double(height)
      let across = Double(canvas.width) / Double(width)
      let (scaleDown, scaleAcross) =
        switch configuration.resizeMode {
        case .stretch: (down, across)
        case .crop: (max(down, across), max(down, across))
        case .pad: (min(down, across), min(down, across))
        }
      resizedHeight = max(1, Int((Double(height) * scaleDown).rounded()))
      resizedWidth = max(1, Int((Double(width) * scaleAcross).rounded()))
      shrink = 1 / max(scaleDown, scaleAcross)
      if configuration.doCenterCrop, let middle = configuration.cropSize { canvas = middle }
      top = (canvas.height - resizedHeight) / 2
      left = (canvas.width - resizedWidth) / 2
      self.height = canvas.height
      self.width = canvas.width
    }

    /// The part of the resized picture that is on the canvas.
    var visible: PixelArea {
      let (x, y) = (max(0, -left), max(0, -top))
      return PixelArea(
        left: x, top: y, height: min(resizedHeight, height - top) - y,
        width: min(resizedWidth, width - left) - x)
    }

    func isIdentity(height: Int, width: Int) -> Bool {
      resizedHeight == height && resizedWidth == width && self.height == height && self.width == width
    }
  }
}

/// How a file stores a picture, by its EXIF orientation: turned and mirrored against how it is to be seen.
struct Orientation {
  /// Whether rows are stored as columns.
  let isTransposed: Bool
  /// Whether left and right, or top and bottom, of the picture as seen are the wrong way round in the file.
  private let isMirroredAcross: Bool
  private let isMirroredDown: Bool

  init(exif: Int) {
    isTransposed = (5...8).contains(exif)
    isMirroredAcross = [2, 3, 6, 7].contains(exif)
    isMirroredDown = [3, 4, 7, 8].contains(exif)
  }

  /// The area in the file that is `area` of the upright picture of height x width.
  func stored(_ area: PixelArea, height: Int, width: Int) -> PixelArea {
    let x = isMirroredAcross ? width - area.left - area.width : area.left
    let y = isMirroredDown ? height - area.top - area.height : area.top
    return isTransposed
      ? PixelArea(left: y, top: x, height: area.width, width: area.height)
      : PixelArea(left: x, top: y, height: area.height, width: area.width)
  }
}

import Foundation

/// Where the bytes of a file lie that is stored without its holes, which are zeros.
struct SparseMap: Sendable {
  struct Piece: Sendable {
    /// In the file.
    let offset: Int
    let count: Int
  }

  /// Of the file with its holes.
  let size: Int
  private let pieces: [Piece]

  /// - Parameter packed: how many bytes are stored
  /// - Returns: nil unless the pieces follow each other, are within the file, and are what is stored
  init?(size: Int, pieces: [Piece], packed: Int) {
    var end = 0
    var sum = 0
    for piece in pieces where piece.count > 0 {
      guard piece.offset >= end, piece.count <= size, piece.offset <= size - piece.count else { return nil }
      end = piece.offset + piece.count
      sum += piece.count
    }
    guard size >= 0, pieces.allSatisfy({ $0.count >= 0 }), sum == packed else { return nil }
    self.size = size
    self.pieces = pieces
  }

  /// From offsets and counts in turns.
  init?(size: Int, numbers: [Int], packed: Int) {
    guard numbers.count % 2 == 0 else { return nil }
    self.init(
      size: size,
      pieces: stride(from: 0, to: numbers.count, by: 2).map {
        Piece(offset: numbers[$0], count: numbers[$0 + 1])
      },
      packed: packed)
  }

  /// The file's bytes.
  /// - Parameter packed: what is stored; fewer bytes than the map says leave zeros
  func expanded(_ packed: Data) -> Data {
    var file = Data(count: size)
    var rest = packed
    for piece in pieces {
      let bytes = rest.prefix(piece.count)
      file.replaceSubrange(piece.offset..<piece.offset + bytes.count, with: bytes)
      rest = rest.dropFirst(piece.count)
    }
    return file
  }
}

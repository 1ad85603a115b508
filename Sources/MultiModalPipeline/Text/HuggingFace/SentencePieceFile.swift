import Foundation

/// What is needed of a SentencePiece model's file, which is a protocol buffer.
struct SentencePieceFile {
  enum Kind: Int { case normal = 1, unknown, control, userDefined, unused, byte }

  struct Piece {
    var text = ""
    var score: Float = 0
    var kind = Kind.normal
  }

  private(set) var pieces: [Piece] = []
  /// Empty where texts stay as they are.
  private(set) var charsmap = Data()

  /// - Throws: `TokenizerError` for a file that is damaged or has another algorithm than unigram.
  init(_ data: Data) throws {
    var type = 1
    try Self.fields(data) { number, value in
      switch (number, value) {
      case (1, .bytes(let piece)): pieces.append(try Self.piece(piece))
      case (2, .bytes(let trainer)):
        try Self.fields(trainer) {
          if case (3, .integer(let value)) = ($0, $1) { type = Int(clamping: value) }
        }
      case (3, .bytes(let normalizer)):
        try Self.fields(normalizer) { if case (2, .bytes(let value)) = ($0, $1) { charsmap = value } }
      default: break
      }
    }
    guard type == 1 else {
      throw TokenizerError(
        "SentencePiece's algorithm \(type) is not supported with fairseq's ids, only 1 (unigram)")
    }
  }

  private static func piece(_ data: Data) throws -> Piece {
    var piece = Piece()
    try fields(data) { number, value in
      switch (number, value) {
      case (1, .bytes(let text)): piece.text = String(decoding: text, as: UTF8.self)
      case (2, .fixed32(let bits)): piece.score = Float(bitPattern: bits)
      case (3, .integer(let kind)): piece.kind = Kind(rawValue: Int(clamping: kind)) ?? .normal
      default: break
      }
    }
    return piece
  }

  private enum Value {
    case integer(UInt64)
    case bytes(Data)
    case fixed32(UInt32)
    case fixed64
  }

  /// Calls `body` with the number and value of each field.
  private static func fields(_ data: Data, _ body: (Int, Value) throws -> Void) throws {
    var rest = data[...]
    let damaged = TokenizerError("it is no SentencePiece model, or cut off")
    func integer() throws -> UInt64 {
      var value: UInt64 = 0
      for shift in stride(from: UInt64(0), to: 64, by: 7) {
        guard let byte = rest.popFirst() else { throw damaged }
        value |= UInt64(byte & 0x7F) << shift
        if byte < 0x80 { return value }
      }
      throw damaged
    }
    func bytes(_ count: UInt64) throws -> Data {
      guard count <= rest.count else { throw damaged }
      defer { rest = rest.dropFirst(Int(count)) }
      return Data(rest.prefix(Int(count)))
    }
    while !rest.isEmpty {
      let tag = try integer()
      let value: Value =
        switch tag & 7 {
        case 0: .integer(try integer())
        case 1:
          try {
            _ = try bytes(8); return .fixed64
          }()
        case 2: .bytes(try bytes(integer()))
        case 5: .fixed32(try bytes(4).reversed().reduce(0) { $0 << 8 | UInt32($1) })
        default: throw damaged
        }
      try body(Int(clamping: tag >> 3), value)
    }
  }
}

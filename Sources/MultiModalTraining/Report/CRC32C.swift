/// The cyclic redundancy check of RFC 3720, appendix B.4 (Castagnoli's polynomial, bits reversed).
enum CRC32C {
  private static let polynomial: UInt32 = 0x82f6_3b78

  private static let table = (UInt32(0)..<256).map { byte -> UInt32 in
    var rest = byte
    for _ in 0..<8 { rest = (rest >> 1) ^ (rest & 1 == 1 ? polynomial : 0) }
    return rest
  }

  static func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
    ~bytes.reduce(UInt32.max) { crc, byte in table[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] ^ (crc >> 8) }
  }
}

import Foundation

/// An address of the internet protocol, of either version.
struct IPAddress: Equatable, Sendable {
  /// 4 or 16, as they are sent.
  private let bytes: [UInt8]

  /// nil for another kind of address
  init?(_ address: UnsafePointer<sockaddr>) {
    switch Int32(address.pointee.sa_family) {
    case AF_INET:
      bytes = address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
        withUnsafeBytes(of: $0.pointee.sin_addr) { Array($0) }
      }
    case AF_INET6:
      bytes = address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) {
        withUnsafeBytes(of: $0.pointee.sin6_addr) { Array($0) }
      }
    default: return nil
    }
  }

  /// Whether anyone on the internet may be behind it, and nobody else: not this machine, its network or its provider's, many
  /// at once, or another address within this one.
  var isPublic: Bool {
    guard bytes.count == 16 else { return !Self.special.contains { $0.contains(self) } }
    return Self.global.contains { $0.contains(self) } && !Self.specialLong.contains { $0.contains(self) }
  }

  /// All addresses that begin with the same bits.
  private struct Block {
    private let base: [UInt8]
    private let length: Int

    /// - Parameters:
    ///   - base: the first bytes; those that are not given are 0
    ///   - length: how many bits count
    init(_ base: UInt8..., length: Int) {
      self.base = base
      self.length = length
    }

    func contains(_ address: IPAddress) -> Bool {
      (0..<length).allSatisfy { bit in
        let byte = bit / 8 < base.count ? base[bit / 8] : 0
        return (address.bytes[bit / 8] ^ byte) & 0x80 >> UInt8(bit % 8) == 0
      }
    }
  }

  /// Of 4 bytes: IANA's registry of special addresses, multicast and reserved ones, the relays of 6to4, and the one at which
  /// Azure's platform answers its virtual machines. Numbers, not texts, so that none is lost by being misspelt.
  private static let special = [
    Block(0, length: 8), Block(10, length: 8), Block(100, 64, length: 10), Block(127, length: 8),
    Block(168, 63, 129, 16, length: 32), Block(169, 254, length: 16), Block(172, 16, length: 12),
    Block(192, 0, 0, length: 24), Block(192, 0, 2, length: 24), Block(192, 88, 99, length: 24),
    Block(192, 168, length: 16), Block(198, 18, length: 15), Block(198, 51, 100, length: 24),
    Block(203, 0, 113, length: 24), Block(224, length: 4), Block(240, length: 4),
  ]

  /// Of 16 bytes: what is given to the internet's networks; IPv4 addresses in IPv6's clothes, local ones and multicast are
  /// outside.
  private static let global = [Block(0x20, length: 3)]

  /// Of those: protocols' own addresses (Teredo among them), documentation, and 6to4, which has IPv4 addresses within.
  private static let specialLong = [
    Block(0x20, 0x01, length: 23), Block(0x20, 0x01, 0x0D, 0xB8, length: 32), Block(0x20, 0x02, length: 16),
    Block(0x3F, 0xFF, length: 20),
  ]
}

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

  /// nil for what is not written as one
  init?(_ text: String) {
    let isLong = text.contains(":")
    var bytes = [UInt8](repeating: 0, count: isLong ? 16 : 4)
    guard inet_pton(isLong ? AF_INET6 : AF_INET, text, &bytes) == 1 else { return nil }
    self.bytes = bytes
  }

  /// Whether anyone on the internet may be behind it, and nobody else: not this machine, its network or its provider's, many
  /// at once, or another address within this one.
  var isPublic: Bool {
    guard bytes.count == 16 else { return !Self.special.contains { $0.contains(self) } }
    return Self.global.contains { $0.contains(self) } && !Self.specialLong.contains { $0.contains(self) }
  }

  private struct Block {
    let base: IPAddress
    let length: Int

    init?(_ text: String) {
      let parts = text.split(separator: "/")
      guard parts.count == 2, let base = IPAddress(String(parts[0])), let length = Int(parts[1]) else {
        return nil
      }
      self.base = base
      self.length = length
    }

    func contains(_ address: IPAddress) -> Bool {
      guard address.bytes.count == base.bytes.count else { return false }
      return (0..<length).allSatisfy { bit in
        (address.bytes[bit / 8] ^ base.bytes[bit / 8]) & 0x80 >> UInt8(bit % 8) == 0
      }
    }
  }

  /// IANA's registry of special addresses, multicast and reserved ones, the relays of 6to4, and the one at which Azure's
  /// platform answers its virtual machines.
  private static let special = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16",
    "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
  ].compactMap(Block.init)

  /// What is given to the internet's networks; IPv4 addresses in IPv6's clothes, local ones and multicast are outside.
  private static let global = ["2000::/3"].compactMap(Block.init)

  /// Protocols' own addresses (Teredo among them), documentation, and 6to4, which has IPv4 addresses within.
  private static let specialLong = ["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"].compactMap(
    Block.init)
}

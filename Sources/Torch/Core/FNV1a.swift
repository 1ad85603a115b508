/// The hash of Fowler, Noll and Vo (FNV-1a, 64 bits): the same in every process and version. Not for secrets.
package struct FNV1a {
  /// Of what was added.
  package private(set) var hash: UInt64 = 0xCBF2_9CE4_8422_2325

  package init() {}

  package mutating func add(_ bytes: some Sequence<UInt8>) {
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
  }
}

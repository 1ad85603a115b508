/// The generator of Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014): small, quick and the
/// same everywhere, for seeded augmentation and sampling. Not for secrets.
public struct SplitMix64: RandomNumberGenerator, Codable, Equatable, Sendable {
  /// All there is to save in order to continue.
  public private(set) var state: UInt64

  /// The sequence of a seed.
  public init(seed: UInt64) { state = seed }

  /// A generator of its own for every seed and place, such as a sample's number in an epoch. Places near each other have
  /// nothing in common, as states near each other would.
  public init(seed: UInt64, place: Int...) {
    var hash = seed
    for part in place {
      var mixer = SplitMix64(seed: hash ^ UInt64(bitPattern: Int64(part)))
      hash = mixer.next()
    }
    state = hash
  }

  /// A generator of its own for every seed and name.
  package init(seed: UInt64, name: String) {
    self.init(seed: seed, place: name.utf8.reduce(0) { $0 &* 31 &+ Int($1) })
  }

  /// The next number of the sequence.
  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

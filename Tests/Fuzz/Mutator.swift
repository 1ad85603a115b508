import Foundation
import Torch

/// Damages files as hostile hands and broken disks do: bytes, numbers, lengths and pieces, and parts of other files.
struct Mutator {
  private var generator: SplitMix64
  /// Words that readers take as special.
  private let words: [[UInt8]]

  private static let common = [
    "{", "}", "[", "]", "\"", ",", ":", "null", "NaN", "-1", "1e999", "99999999999999999999", "\\ud83d",
    "../", "/", "\0", "\n",
    "\u{1B}[2J", "\u{FEFF}", "9223372036854775807",
  ].map { Array($0.utf8) }
  private static let numbers: [UInt64] = [
    0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 32,
    UInt64(Int64.max), 1 << 63, .max,
  ]

  init(seed: UInt64, words: [String] = []) {
    generator = SplitMix64(seed: seed)
    self.words = Self.common + words.map { Array($0.utf8) }
  }

  private mutating func place(_ count: Int) -> Int { Int.random(in: 0..<max(1, count), using: &generator) }

  /// - Parameter others: sound files to take pieces from
  mutating func mutate(_ file: Data, others: [Data]) -> Data {
    var bytes = Array(file)
    for _ in 0..<(1 << place(5)) { change(&bytes, others) }
    return Data(bytes)
  }

  private mutating func change(_ bytes: inout [UInt8], _ others: [Data]) {
    guard !bytes.isEmpty else { return bytes = words[place(words.count)] }
    let start = place(bytes.count)
    let length = min(bytes.count - start, 1 << place(10))
    switch place(10) {
    case 0: bytes[start] ^= 1 << UInt8(place(8))
    case 1: bytes[start] = UInt8(place(256))
    case 2, 3: put(number(), &bytes, start)
    case 4: bytes.removeSubrange(start..<start + length)
    case 5: bytes.insert(contentsOf: bytes[start..<start + length], at: place(bytes.count))
    case 6: bytes.insert(contentsOf: words[place(words.count)], at: start)
    case 7: put(words[place(words.count)], &bytes, start)
    case 8:
      let other = others.isEmpty ? [] : Array(others[place(others.count)])
      let from = place(other.count)
      bytes.insert(contentsOf: other[from..<min(other.count, from + length)], at: start)
    default: if place(8) == 0 { bytes.removeLast(bytes.count - start) }
    }
  }

  /// A number at the edge of some type, or its neighbour, in any width and order of bytes.
  private mutating func number() -> [UInt8] {
    let value = Self.numbers[place(Self.numbers.count)] &+ UInt64(bitPattern: Int64(place(3)) - 1)
    let all = withUnsafeBytes(of: value.littleEndian) { Array($0) }.prefix([1, 2, 4, 8][place(4)])
    return place(2) == 0 ? Array(all) : all.reversed()
  }

  private func put(_ new: [UInt8], _ bytes: inout [UInt8], _ start: Int) {
    let end = min(bytes.count, start + new.count)
    bytes.replaceSubrange(start..<end, with: new.prefix(end - start))
  }
}

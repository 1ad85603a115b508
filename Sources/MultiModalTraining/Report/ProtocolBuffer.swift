import Foundation

/// A message in the protocol buffers' wire format (https://protobuf.dev/programming-guides/encoding).
struct ProtocolBuffer {
  private(set) var data = Data()

  private enum WireType: UInt64 {
    case variable = 0
    case eightBytes = 1
    case lengthDelimited = 2
    case fourBytes = 5
  }

  mutating func add(_ field: UInt64, integer: Int) {
    add(field, .variable)
    add(UInt64(bitPattern: Int64(integer)))
  }

  mutating func add(_ field: UInt64, double: Double) {
    add(field, .eightBytes)
    data += Data(littleEndian: double.bitPattern)
  }

  mutating func add(_ field: UInt64, float: Float) {
    add(field, .fourBytes)
    data += Data(littleEndian: float.bitPattern)
  }

  mutating func add(_ field: UInt64, bytes: some Collection<UInt8>) {
    add(field, .lengthDelimited)
    add(UInt64(bytes.count))
    data += bytes
  }

  /// A message within this one.
  mutating func add(_ field: UInt64, _ build: (inout ProtocolBuffer) -> Void) {
    var message = ProtocolBuffer()
    build(&message)
    add(field, bytes: message.data)
  }

  private mutating func add(_ field: UInt64, _ type: WireType) { add(field << 3 | type.rawValue) }

  /// Seven bits a byte, the lowest first; the eighth says that there are more.
  private mutating func add(_ value: UInt64) {
    var rest = value
    while rest > 0x7f {
      data.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    data.append(UInt8(rest))
  }
}

extension Data {
  init(littleEndian value: some FixedWidthInteger) {
    self = Swift.withUnsafeBytes(of: value.littleEndian) { Data($0) }
  }
}

import Foundation

/// The bytes within a `data:` URL (RFC 2397), forgiving as clients need it: any case, any parameters, spaces and line breaks,
/// the URL-safe alphabet, no padding. What they are is told by themselves, whatever the URL says.
enum DataURL {
  static func isOne(_ url: String) -> Bool { url.quoted(5).lowercased() == "data:" }

  /// - Returns: nil where it is not base64
  static func bytes(_ url: String) -> Data? {
    // What comes before is short; a hostile one would be split into millions of parts.
    guard let comma = url.utf8.prefix(1000).firstIndex(of: UInt8(ascii: ",")) else { return nil }
    let parameters = url[..<comma].lowercased().split(separator: ";").map {
      $0.filter { !$0.isWhitespace }
    }
    guard parameters.contains("base64") else { return nil }
    let text = url[url.utf8.index(after: comma)...]
    guard text.utf8.contains(UInt8(ascii: "%")) else { return decode(text.utf8) }
    return text.removingPercentEncoding.flatMap { decode($0.utf8) }
  }

  /// By character; 64 for what is passed over, 65 for the end, 66 for what is wrong.
  private static let values: [UInt8] = {
    var values = [UInt8](repeating: 66, count: 256)
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    for (value, character) in (alphabet + "+/").utf8.enumerated() { values[Int(character)] = UInt8(value) }
    for (value, character) in (alphabet + "-_").utf8.enumerated() { values[Int(character)] = UInt8(value) }
    for space in " \t\r\n".utf8 { values[Int(space)] = 64 }
    values[Int(UInt8(ascii: "="))] = 65
    return values
  }()

  private static func decode(_ text: some Collection<UInt8>) -> Data? {
    var isValid = true
    let capacity = text.count / 4 * 3 + 3
    let bytes = [UInt8](unsafeUninitializedCapacity: capacity) { bytes, count in
      var held: UInt32 = 0
      var bits = 0
      var hasEnded = false
      values.withUnsafeBufferPointer { values in
        for character in text {
          let value = values[Int(character)]
          switch value {
          case 64: continue
          case 65: hasEnded = true
          case 66: isValid = false
          default:
            if hasEnded { isValid = false }
            held = held << 6 | UInt32(value)
            bits += 6
            if bits >= 8 {
              bits -= 8
              bytes[count] = UInt8(truncatingIfNeeded: held >> UInt32(bits))
              count += 1
            }
          }
          if !isValid { return }
        }
        // One character alone is no byte.
        if bits == 6 { isValid = false }
      }
    }
    return isValid ? Data(bytes) : nil
  }
}

import Foundation
import Torch

/// The records of a file with values between commas (RFC 4180), one after the other. A value between double quotes may hold
/// commas, line breaks and, doubled, quotes.
final class CSVReader {
  private let lines: LineReader
  private let comma = UInt8(ascii: ",")
  private let quote = UInt8(ascii: "\"")

  /// A text for one picture is never longer.
  private static let longestRecord = 16 << 20

  init(_ url: URL) throws { lines = try LineReader(url) }

  /// File and line of the last record's end.
  var place: String { lines.place }

  /// - Returns: nil at the end; lines without any value are passed over
  func next() throws -> [String]? {
    while let line = try lines.next() {
      guard line.contains(where: { $0 > UInt8(ascii: " ") }) else { continue }
      return try record(from: line).map {
        guard let text = String(validating: $0, as: UTF8.self) else {
          throw TrainingError("\(place) is not UTF-8")
        }
        return text
      }
    }
    return nil
  }

  private func record(from first: Data) throws -> [[UInt8]] {
    var fields: [[UInt8]] = [[]]
    var (isQuoted, isAfterQuotes) = (false, false)
    var line = first
    var size = 0
    while true {
      for byte in line {
        let field = fields.count - 1
        switch byte {
        case quote where isQuoted: (isQuoted, isAfterQuotes) = (false, true)
        case quote where isAfterQuotes:
          fields[field].append(quote)
          (isQuoted, isAfterQuotes) = (true, false)
        case quote where fields[field].isEmpty: isQuoted = true
        case comma where !isQuoted:
          fields.append([])
          isAfterQuotes = false
        default:
          fields[field].append(byte)
          isAfterQuotes = false
        }
      }
      guard isQuoted else { return fields }
      let begin = place
      size += line.count
      guard size <= Self.longestRecord, let more = try lines.next() else {
        throw TrainingError("\(begin) is in a value whose double quotes are not closed")
      }
      fields[fields.count - 1].append(UInt8(ascii: "\n"))
      line = more
    }
  }
}

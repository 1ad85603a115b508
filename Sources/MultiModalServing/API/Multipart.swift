import Foundation

/// The parts of a form that holds files (RFC 7578), by their names.
enum Multipart {
  /// A form has a picture and a prompt; of hostile ones the parts and their headers take long to read.
  private static let (maxParts, maxHeaderBytes) = (32, 8 << 10)

  /// - Parameter contentType: of the whole body, with the boundary
  /// - Returns: nil where the body is no such form, or has too many parts
  static func parts(_ body: Data, contentType: String) -> [String: Data]? {
    guard let boundary = parameter("boundary", of: contentType), (1...200).contains(boundary.utf8.count)
    else {
      return nil
    }
    let delimiter = Data("\r\n--\(boundary)".utf8)
    // The first delimiter has no line before it.
    let body = Data("\r\n".utf8) + body
    var parts: [String: Data] = [:]
    var count = 0
    guard var delimiterFound = body.range(of: delimiter) else { return nil }
    while let next = body.range(of: delimiter, in: delimiterFound.upperBound..<body.endIndex) {
      count += 1
      guard count <= maxParts, let (name, content) = part(body[delimiterFound.upperBound..<next.lowerBound])
      else {
        return nil
      }
      if parts[name] == nil { parts[name] = content }
      delimiterFound = next
    }
    // Two hyphens behind the last one: the form is complete.
    return body[delimiterFound.upperBound...].starts(with: "--".utf8) ? parts : nil
  }

  private static func part(_ bytes: Data) -> (name: String, content: Data)? {
    guard let end = bytes.prefix(maxHeaderBytes).range(of: Data("\r\n\r\n".utf8)) else { return nil }
    let headers = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
    guard let disposition = headers.first(where: { $0.lowercased().hasPrefix("content-disposition:") }),
      let name = parameter("name", of: disposition)
    else { return nil }
    return (name, Data(bytes[end.upperBound...]))
  }

  /// `name=value` or `name="value"` behind a semicolon.
  private static func parameter(_ name: String, of header: String) -> String? {
    for field in header.split(separator: ";").dropFirst() {
      let field = field.drop { $0 == " " }
      guard field.lowercased().hasPrefix("\(name)=") else { continue }
      let value = field.dropFirst(name.count + 1)
      return value.hasPrefix("\"")
        ? String(value.dropFirst().prefix { $0 != "\"" }) : String(value.prefix { $0 != " " })
    }
    return nil
  }
}

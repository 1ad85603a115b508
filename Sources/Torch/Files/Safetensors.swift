import Foundation

/// The safetensors format: 8 bytes of header length, a JSON header, the tensors' bytes.
/// Source: github.com/huggingface/safetensors, README.
public enum Safetensors {
  /// What a file holds.
  public struct Contents: Sendable {
    /// By name.
    public let tensors: [String: Tensor]
    /// Texts by name.
    public let metadata: [String: String]
    /// Of the files that the tensors may lie in.
    package var stamps: [FileStamp] = []
  }

  private static let names: [(DType, String)] = [
    (.float64, "F64"), (.float32, "F32"), (.float16, "F16"), (.bfloat16, "BF16"), (.int64, "I64"),
    (.int32, "I32"),
    (.int16, "I16"), (.int8, "I8"), (.uint8, "U8"), (.bool, "BOOL"),
  ]
  /// What the format has and is not computed with, with the bits of an element.
  private static let foreign: [String: Int] = [
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E5M2FNUZ": 8,
    "F8_E4M3FNUZ": 8, "U16": 16, "U32": 32, "U64": 64, "C64": 64,
  ]
  private static let metadataKey = "__metadata__"
  /// Some 200 bytes a tensor are usual.
  private static let maxHeader = 32 << 20

  private struct Entry {
    let name: String
    let dtypeName: String
    let shape: [Int]
    let range: Range<Int>
  }

  // MARK: Reading

  /// Maps a file's tensors, without copying them.
  /// - Throws: `FileError` for a file that is damaged or not of this format.
  public static func read(_ url: URL) throws -> Contents {
    let file = try MappedFile(url)
    let (entries, metadata, start) = try header(of: file)
    var tensors: [String: Tensor] = [:]
    tensors.reserveCapacity(entries.count)
    for entry in entries {
      guard let dtype = dtype(entry.dtypeName) else {
        throw FileError(
          "\(url.path): tensor \"\(entry.name)\" has the dtype \(entry.dtypeName), which is not computed with: known are "
            + names.map(\.1).joined(separator: ", "))
      }
      do {
        tensors[entry.name] = try file.tensor(
          at: start + entry.range.lowerBound, shape: entry.shape, dtype: dtype, isAlone: true)
      } catch let error as TorchError {
        throw FileError(
          "\(url.path) is not a sound safetensors file: tensor \"\(entry.name)\": \(error.message)")
      }
    }
    return Contents(tensors: tensors, metadata: metadata)
  }

  /// What a file holds, of every dtype of the format.
  static func list(_ url: URL) throws -> (tensors: [WeightFile.Description], metadata: [String: String]) {
    let (entries, metadata, _) = try header(of: MappedFile(url))
    return (
      entries.map {
        WeightFile.Description(
          name: $0.name, dtype: dtype($0.dtypeName)?.description ?? $0.dtypeName, shape: $0.shape,
          byteCount: $0.range.count)
      }, metadata
    )
  }

  private static func dtype(_ name: String) -> DType? { names.first { $0.1 == name }?.0 }

  private static func header(of file: MappedFile) throws -> (
    entries: [Entry], metadata: [String: String], start: Int
  ) {
    let (fields, start) = try fields(of: file)
    var metadata: [String: String] = [:]
    var entries: [Entry] = []
    for (name, value) in fields {
      if name == metadataKey, case .null = value { continue }
      guard case .object(let description) = value else {
        throw damaged(file, "\"\(name)\" is not described by an object")
      }
      if name == metadataKey {
        for (key, value) in description {
          guard case .string(let text) = value else {
            throw damaged(file, "its metadata \"\(key)\" is not a text")
          }
          metadata[key] = text
        }
      } else {
        do {
          entries.append(try entry(name, description))
        } catch let failure as JSONScanner.Failure {
          throw damaged(file, "tensor \"\(name)\" \(failure.reason)")
        }
      }
    }
    entries.sort { ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound) }
    try check(entries, fill: file, from: start)
    return (entries, metadata, start)
  }

  private static func damaged(_ file: MappedFile, _ reason: String) -> FileError {
    FileError("\(file.url.path) is not a sound safetensors file: \(reason)")
  }

  /// The header as JSON, and where it ends.
  private static func fields(of file: MappedFile) throws -> (
    [(key: String, value: JSONScanner.Value)], start: Int
  ) {
    guard file.count >= 8 else { throw damaged(file, "it has \(file.count) bytes, too few for a header") }
    let length = file.bytes.loadUnaligned(as: UInt64.self).littleEndian
    guard length <= maxHeader else {
      throw damaged(file, "its header claims \(length) bytes, more than \(maxHeader)")
    }
    let start = 8 + Int(length)
    guard start <= file.count else {
      throw damaged(file, "its header claims \(length) bytes, more than the file has")
    }
    let root: JSONScanner.Value
    do {
      root = try JSONScanner.parse(UnsafeRawBufferPointer(rebasing: file.bytes[8..<start]))
    } catch let failure as JSONScanner.Failure {
      throw damaged(file, "its header is not valid JSON: \(failure.reason)")
    }
    guard case .object(let fields) = root else { throw damaged(file, "its header is not a JSON object") }
    return (fields, start)
  }

  /// - Parameter entries: in the order of their places
  /// - Throws: `FileError` where tensors overlap, leave gaps, or are not all there is.
  private static func check(_ entries: [Entry], fill file: MappedFile, from start: Int) throws {
    var end = 0
    for entry in entries {
      guard entry.range.lowerBound == end else {
        throw damaged(
          file,
          "tensor \"\(entry.name)\" begins at byte \(entry.range.lowerBound), where \(end) is expected "
            + "(tensors must not overlap or leave gaps)")
      }
      end = entry.range.upperBound
    }
    guard start + end == file.count else {
      throw damaged(file, "its tensors take \(end) bytes, but \(file.count - start) are there")
    }
  }

  private static func entry(_ name: String, _ description: [(key: String, value: JSONScanner.Value)]) throws
    -> Entry
  {
    let fields = Dictionary(description.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 })
    guard case .string(let dtypeName)? = fields["dtype"], case .array(let sizes)? = fields["shape"],
      case .array(let offsets)? = fields["data_offsets"]
    else { throw JSONScanner.Failure(reason: "must have dtype, shape and data_offsets") }
    guard let bits = dtype(dtypeName).map({ 8 * $0.size }) ?? foreign[dtypeName] else {
      throw JSONScanner.Failure(reason: "has the dtype \(dtypeName), which the format does not have")
    }
    func integers(_ values: [JSONScanner.Value], _ what: String) throws -> [Int] {
      try values.map {
        guard case .integer(let number) = $0, number >= 0 else {
          throw JSONScanner.Failure(reason: "has a \(what) that is not a whole number from 0 on")
        }
        return number
      }
    }
    let shape = try integers(sizes, "size")
    let bounds = try integers(offsets, "data offset")
    guard bounds.count == 2, bounds[0] <= bounds[1] else {
      throw JSONScanner.Failure(reason: "has data_offsets \(bounds), which are no range")
    }
    guard let size = elementCount(of: [bits] + shape).map({ $0 / 8 + ($0 % 8).signum() }) else {
      throw JSONScanner.Failure(reason: "has the impossible shape \(shape)")
    }
    guard size == bounds[1] - bounds[0] else {
      throw JSONScanner.Failure(
        reason:
          "of \(dtypeName) \(shape) needs \(size) bytes, but its data_offsets give \(bounds[1] - bounds[0])"
      )
    }
    return Entry(name: name, dtypeName: dtypeName, shape: shape, range: bounds[0]..<bounds[1])
  }

  // MARK: Writing

  /// Writes tensors to a file, which appears when it is complete.
  /// - Throws: `FileError` for a name that is given twice or reserved, or when the file cannot be written.
  public static func write(_ tensors: [(String, Tensor)], metadata: [String: String] = [:], to url: URL)
    throws
  {
    // Wide elements first, as the format's own library does it: then every tensor is aligned.
    let sorted = try tensors.map { (name: $0.0, tensor: $0.1, dtype: try $0.1.dtype) }
      .sorted { ($1.dtype.size, $0.name) < ($0.dtype.size, $1.name) }
    var header: [String: Any] = metadata.isEmpty ? [:] : [metadataKey: metadata]
    var offset = 0
    for (name, tensor, dtype) in sorted {
      guard header[name] == nil, name != metadataKey else {
        throw FileError("\(url.path) cannot hold two tensors of the name \"\(name)\"")
      }
      let size = tensor.count * dtype.size
      header[name] = [
        "dtype": names.first { $0.0 == dtype }?.1 ?? "", "shape": tensor.shape,
        "data_offsets": [offset, offset + size],
      ]
      offset += size
    }
    var json = try JSONSerialization.data(
      withJSONObject: header, options: [.sortedKeys, .withoutEscapingSlashes])
    json.append(contentsOf: repeatElement(UInt8(ascii: " "), count: (8 - json.count % 8) % 8))
    try AtomicFile.write(to: url) { append in
      try withUnsafeBytes(of: UInt64(json.count).littleEndian) { try append($0) }
      try json.withUnsafeBytes { try append($0) }
      for (_, tensor, _) in sorted { try tensor.detach().withUnsafeBytes { try append($0) } }
    }
  }
}

import Foundation

/// A model's weights, in whichever file they are. What a file is shows in its first bytes; its name does not matter.
public enum WeightFile {
  private static let names = [
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
    "model.pt", "model.pth", "model.bin",
  ]
  private static let adapter = "adapter_model.safetensors"
  private static let longestIndex = 32 << 20

  /// What a file says of one of its tensors.
  public struct Description: Sendable {
    /// The tensor's name in the file.
    public let name: String
    /// `DType`'s name, or the format's own for what is not computed with, such as `U16`.
    public let dtype: String
    /// The tensor's sizes.
    public let shape: [Int]
    /// The bytes that it takes in the file.
    public let byteCount: Int
    /// How many elements it has.
    public var count: Int { shape.reduce(1, *) }
  }

  /// - Parameter url: a safetensors file, a shard index, a PyTorch file, or a folder that holds one under its usual name
  /// - Throws: `FileError` for what is missing or damaged.
  public static func read(_ url: URL) throws -> Safetensors.Contents {
    let url = try file(url)
    let stamp = FileStamp(url)
    var contents: Safetensors.Contents
    switch try kind(url) {
    case .safetensors: contents = try Safetensors.read(url)
    case .pyTorch: contents = Safetensors.Contents(tensors: try PyTorchCheckpoint.read(url), metadata: [:])
    case .index: contents = try sharded(url)
    }
    contents.stamps.append(stamp)
    return contents
  }

  /// What weights hold, of every dtype that their format has, by name.
  /// - Parameter url: as for `read`
  /// - Throws: `FileError` for what is missing or damaged.
  public static func list(_ url: URL) throws -> (tensors: [Description], metadata: [String: String]) {
    let url = try file(url)
    switch try kind(url) {
    case .safetensors:
      let (tensors, metadata) = try Safetensors.list(url)
      return (tensors.sorted { $0.name < $1.name }, metadata)
    case .pyTorch:
      return (try PyTorchCheckpoint.read(url).sorted { $0.key < $1.key }.map(description), [:])
    case .index:
      var metadata: [String: String] = [:]
      var tensors: [Description] = []
      for (shard, names) in try shards(url) {
        let (all, more) = try list(shard)
        let found = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })
        for name in names {
          guard let tensor = found[name] else { throw missing(name, shard, url) }
          tensors.append(tensor)
        }
        metadata.merge(more) { first, _ in first }
      }
      return (tensors.sorted { $0.name < $1.name }, metadata)
    }
  }

  private static func description(_ name: String, _ tensor: Tensor) throws -> Description {
    let dtype = try tensor.dtype
    return Description(
      name: name, dtype: "\(dtype)", shape: tensor.shape, byteCount: tensor.count * dtype.size)
  }

  // MARK: Which file

  private static func file(_ url: URL) throws -> URL {
    func isThere(_ name: String) -> Bool { access(url.appendingPathComponent(name).path, F_OK) == 0 }
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder) else {
      throw FileError("there is no file \(url.path)")
    }
    guard isFolder.boolValue else { return url }
    if let name = names.first(where: isThere) { return url.appendingPathComponent(name) }
    guard !isThere(adapter) else {
      throw FileError(
        "\(url.path) holds an adapter (\(adapter)), not a model: merge it into the model that it was learned for"
      )
    }
    throw FileError("\(url.path) holds no weights: it needs one of \(names.joined(separator: ", "))")
  }

  private enum Kind { case safetensors, index, pyTorch }

  /// Beginnings of what people take for weights.
  private static let others: [([UInt8], String)] = [
    (
      Array("version https://git-lfs".utf8), "a pointer of Git LFS: fetch the file itself with 'git lfs pull'"
    ),
    (Array("GGUF".utf8), "GGUF"), ([0x89] + Array("HDF".utf8), "HDF5"),
    ([0x1F, 0x8B], "compressed by gzip: unpack it"),
    (Array("<".utf8), "a page of HTML or XML: download the file itself"),
  ]

  private static func kind(_ url: URL) throws -> Kind {
    let file = try MappedFile(url)
    let front = file.bytes.prefix(1 << 10)
    // A header of safetensors: a length that the file has, and a brace.
    let length = front.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    if front.count > 8, front[8] == UInt8(ascii: "{"), length <= UInt64(file.count) { return .safetensors }
    if front.starts(with: [0x50, 0x4B]) || front.starts(with: [0x80, 2]) { return .pyTorch }
    if front.first(where: { !" \t\r\n".utf8.contains($0) }) == UInt8(ascii: "{") { return .index }
    if let other = others.first(where: { front.starts(with: $0.0) })?.1 {
      throw FileError("\(url.path) is no weights file but \(other)")
    }
    // The reader of what the name promises says what is wrong with it.
    switch url.pathExtension.lowercased() {
    case "json": return .index
    case "pt", "pth", "bin", "ckpt": return .pyTorch
    default: return .safetensors
    }
  }

  // MARK: Shards

  private static func sharded(_ url: URL) throws -> Safetensors.Contents {
    var metadata: [String: String] = [:]
    var tensors: [String: Tensor] = [:]
    var stamps: [FileStamp] = []
    for (shard, names) in try shards(url) {
      let contents = try read(shard)
      stamps += contents.stamps
      for name in names {
        guard let tensor = contents.tensors[name] else { throw missing(name, shard, url) }
        tensors[name] = tensor
      }
      metadata.merge(contents.metadata) { first, _ in first }
    }
    return Safetensors.Contents(tensors: tensors, metadata: metadata, stamps: stamps)
  }

  private static func missing(_ name: String, _ shard: URL, _ index: URL) -> FileError {
    FileError("\(index.path): \(shard.lastPathComponent) does not hold \"\(name)\"")
  }

  /// The files of an index, in order, with the names of the tensors that are in each.
  private static func shards(_ url: URL) throws -> [(file: URL, names: [String])] {
    let data = try InputFile.read(url, atMost: longestIndex)
    guard case .object(let fields)? = try? data.withUnsafeBytes({ try JSONScanner.parse($0) }),
      case .object(let map)? = fields.first(where: { $0.key == "weight_map" })?.value
    else {
      throw FileError(
        "\(url.path) is not a shard index: it needs an object \"weight_map\" of names and files")
    }
    var names: [String: [String]] = [:]
    for (name, value) in map {
      guard case .string(let shard) = value, !shard.utf8.contains(UInt8(ascii: "/")), shard != "..",
        !shard.isEmpty,
        shard != ".", !shard.utf8.contains(0)
      else {
        throw FileError("\(url.path): the file of \"\(name)\" must be a plain name in the same folder")
      }
      names[shard, default: []].append(name)
    }
    return try names.sorted { $0.key < $1.key }.map { shard, names in
      let file = url.deletingLastPathComponent().appendingPathComponent(shard)
      // An index of an index could go round in a circle.
      guard try kind(file) != .index else { throw FileError("\(url.path): \(shard) is no weights file") }
      return (file, names)
    }
  }
}

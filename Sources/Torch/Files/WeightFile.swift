import Foundation

/// A model's weights, in whichever file they are.
public enum WeightFile {
  private static let single = "model.safetensors"
  private static let index = "model.safetensors.index.json"
  private static let pyTorch = ["pytorch_model.bin", "model.pt", "model.pth", "model.bin"]

  /// - Parameter url: a safetensors file, a shard index (`.json`), a PyTorch file (`.pt`, `.pth`, `.bin`), or a folder
  ///   that holds one under its usual name
  /// - Throws: `FileError` for what is missing or damaged.
  public static func read(_ url: URL) throws -> Safetensors.Contents {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder) else {
      throw FileError("there is no file \(url.path)")
    }
    if isFolder.boolValue {
      for name in [single, index] + pyTorch
      where FileManager.default.fileExists(atPath: url.appendingPathComponent(name).path) {
        return try read(url.appendingPathComponent(name))
      }
      throw FileError(
        "\(url.path) holds no weights: it needs \(single), \(index) or \(pyTorch.joined(separator: ", "))")
    }
    switch url.pathExtension {
    case "json": return try sharded(url)
    case "pt", "pth", "bin":
      return Safetensors.Contents(tensors: try PyTorchCheckpoint.read(url), metadata: [:])
    default: return try Safetensors.read(url)
    }
  }

  private static func sharded(_ url: URL) throws -> Safetensors.Contents {
    let file = try MappedFile(url)
    guard case .object(let fields)? = try? JSONScanner.parse(file.bytes),
      case .object(let map)? = fields.first(where: { $0.key == "weight_map" })?.value
    else {
      throw FileError(
        "\(url.path) is not a shard index: it needs an object \"weight_map\" of names and files")
    }
    var shards: [String: Safetensors.Contents] = [:]
    var tensors: [String: Tensor] = [:]
    for (name, value) in map {
      guard case .string(let shard) = value, !shard.contains("/"), shard != "..", !shard.isEmpty else {
        throw FileError("\(url.path): the file of \"\(name)\" must be a plain name in the same folder")
      }
      let contents =
        try shards[shard] ?? Safetensors.read(url.deletingLastPathComponent().appendingPathComponent(shard))
      shards[shard] = contents
      guard let tensor = contents.tensors[name] else {
        throw FileError("\(url.path): \(shard) does not hold \"\(name)\"")
      }
      tensors[name] = tensor
    }
    return Safetensors.Contents(tensors: tensors, metadata: shards.values.first?.metadata ?? [:])
  }
}

import Foundation

/// Weights that `torch.save` wrote: a state dict, alone or under a key, in the zip format or the one before it. Nothing
/// that the file names is run.
public enum PyTorchCheckpoint {
  private static let asStrided = Operator("aten::as_strided")
  /// Keys under which training scripts keep a state dict.
  private static let usualKeys = ["state_dict", "model_state_dict", "model", "module", "net", "weights"]
  /// Low bytes of the number that begins a file of the legacy format, 0x1950a86a20f9469cfc6c.
  private static let legacyMagic = Int(truncatingIfNeeded: 0xA86A_20F9_469C_FC6C as UInt)
  private static let legacyVersion = 1001

  /// - Parameter key: where in the file the state dict is; found when nil
  /// - Throws: `FileError` for a file that is damaged, holds anything but tensors and plain values, or has no state dict.
  public static func read(_ url: URL, key: String? = nil) throws -> [String: Tensor] {
    let file = try MappedFile(url)
    do {
      return file.bytes.starts(with: [0x50, 0x4B])
        ? try readZip(file, key: key) : try readLegacy(file, key: key)
    } catch let failure as WeightsPickle.Failure {
      throw FileError("\(url.path) is not a sound PyTorch file: \(failure.reason)")
    } catch let failure as ZipArchive.Failure {
      throw FileError("\(url.path) is not a sound PyTorch file: \(failure.reason)")
    } catch is ByteReader.EndOfData {
      throw FileError("\(url.path) is not a sound PyTorch file: it ends too early")
    }
  }

  private static func readZip(_ file: MappedFile, key: String?) throws -> [String: Tensor] {
    let archive = try ZipArchive(file.bytes)
    let pickles = archive.entries.filter { $0.key.hasSuffix("/data.pkl") }
    guard let data = pickles.first else { throw ZipArchive.Failure(reason: "it has no entry data.pkl") }
    guard pickles.count == 1 else {
      throw ZipArchive.Failure(
        reason: "it has \(pickles.count) entries data.pkl, so which one holds the weights is not known")
    }
    let folder = data.key.dropLast("data.pkl".count)
    if let order = archive.entries["\(folder)byteorder"], !file.bytes[order].elementsEqual("little".utf8) {
      throw ZipArchive.Failure(reason: "its numbers are not little-endian")
    }
    let pickle = try WeightsPickle(UnsafeRawBufferPointer(rebasing: file.bytes[data.value]))
    return try tensors(stateDict(pickle.root, key: key)) { name in
      guard let range = archive.entries["\(folder)data/\(name)"] else {
        throw ZipArchive.Failure(reason: "it lacks the storage \(name)")
      }
      return (file, range)
    }
  }

  /// Five pickles (magic number, version, system, the object, storage keys), then each storage: its length in elements
  /// and its bytes.
  private static func readLegacy(_ file: MappedFile, key: String?) throws -> [String: Tensor] {
    let magic = try WeightsPickle(file.bytes)
    guard case .int(legacyMagic) = magic.root else {
      throw WeightsPickle.Failure(reason: "it begins neither as a zip archive nor as PyTorch's older format")
    }
    let version = try WeightsPickle(file.bytes, at: magic.end)
    guard case .int(legacyVersion) = version.root else {
      throw WeightsPickle.Failure(reason: "it is of an unknown version")
    }
    let system = try WeightsPickle(file.bytes, at: version.end)
    let object = try WeightsPickle(file.bytes, at: system.end)
    let keys = try WeightsPickle(file.bytes, at: object.end)
    guard case .list(let names) = keys.root else {
      throw WeightsPickle.Failure(reason: "it has no list of storages")
    }
    var reader = ByteReader(file.bytes, at: keys.end)
    var ranges: [String: Range<Int>] = [:]
    for case .string(let name) in names.items {
      let (bytes, overflow) = try reader.size().multipliedReportingOverflow(
        by: object.storages[name]?.size ?? 1)
      guard !overflow else { throw ByteReader.EndOfData() }
      let start = reader.position
      _ = try reader.take(bytes)
      ranges[name] = start..<start + bytes
    }
    return try tensors(stateDict(object.root, key: key)) { name in
      guard let range = ranges[name] else {
        throw WeightsPickle.Failure(reason: "it lacks the storage \(name)")
      }
      return (file, range)
    }
  }

  // MARK: State dicts

  private static func fields(_ value: WeightsPickle.Value) -> [(String, WeightsPickle.Value)]? {
    guard case .dictionary(let dictionary) = value else { return nil }
    return dictionary.items.compactMap {
      guard case .string(let key) = $0.key else { return nil }
      return (key, $0.value)
    }
  }

  private static func stateDict(_ root: WeightsPickle.Value, key: String?) throws -> [(
    String, WeightsPickle.View
  )] {
    guard let top = fields(root) else { throw WeightsPickle.Failure(reason: "it does not hold a dictionary") }
    func views(_ fields: [(String, WeightsPickle.Value)]) -> [(String, WeightsPickle.View)] {
      fields.compactMap {
        guard case .tensor(let view) = $0.1 else { return nil }
        return ($0.0, view)
      }
    }
    let names = top.map(\.0)
    if let key {
      guard let inner = top.first(where: { $0.0 == key }).flatMap({ fields($0.1) }) else {
        throw WeightsPickle.Failure(
          reason: "it has no dictionary \"\(key)\" but \(names.joined(separator: ", "))")
      }
      return views(inner)
    }
    // Beside a state dict lie tensors that are no weights, such as a random state: the one with the most is meant.
    let nested = usualKeys.compactMap { key in top.first { $0.0 == key }.flatMap { fields($0.1) }.map(views) }
    if let most = ([views(top)] + nested).max(by: { $0.count < $1.count }), !most.isEmpty { return most }
    throw WeightsPickle.Failure(
      reason:
        "no state dict was found under \(usualKeys.joined(separator: ", ")); it has \(names.joined(separator: ", "))"
    )
  }

  private static func tensors(
    _ views: [(String, WeightsPickle.View)], storage: (String) throws -> (MappedFile, Range<Int>)
  ) throws -> [String: Tensor] {
    var storages: [String: Tensor] = [:]
    var tensors: [String: Tensor] = [:]
    for (name, view) in views {
      let whole: Tensor
      if let known = storages[view.storage] {
        whole = known
      } else {
        let (file, range) = try storage(view.storage)
        whole = try file.tensor(
          at: range.lowerBound, shape: [range.count / view.dtype.size], dtype: view.dtype)
        storages[view.storage] = whole
      }
      guard view.offset >= 0, try whole.dtype == view.dtype, let end = reach(view), end <= whole.count else {
        throw WeightsPickle.Failure(reason: "tensor \"\(name)\" reaches beyond its storage")
      }
      // A few bytes could claim terabytes that way, and no trained parameter is of this kind.
      guard let count = elementCount(of: view.shape), count <= whole.count else {
        throw WeightsPickle.Failure(
          reason: "tensor \"\(name)\" has more elements than its storage: save it again after contiguous()")
      }
      guard tensors[name] == nil else {
        throw WeightsPickle.Failure(reason: "tensor \"\(name)\" occurs twice")
      }
      tensors[name] = try asStrided(
        .tensor(whole), .ints(view.shape), .ints(view.strides), .int(view.offset))
    }
    return tensors
  }

  /// One past the last element that a view touches; nil where that is no number.
  private static func reach(_ view: WeightsPickle.View) -> Int? {
    guard view.shape.allSatisfy({ $0 >= 0 }), view.strides.allSatisfy({ $0 >= 0 }) else { return nil }
    if view.shape.contains(0) { return view.offset }
    var last = view.offset
    for (size, stride) in zip(view.shape, view.strides) {
      let (step, overflow) = (size - 1).multipliedReportingOverflow(by: stride)
      let (sum, overflowed) = last.addingReportingOverflow(step)
      guard !overflow, !overflowed else { return nil }
      last = sum
    }
    let (end, overflow) = last.addingReportingOverflow(1)
    return overflow ? nil : end
  }
}

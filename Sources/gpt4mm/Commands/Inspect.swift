import Foundation
import MultiModalPipeline
import Torch

extension Command {
  static let inspect = Command(
    name: "inspect", summary: "Show what weights hold: parameters, dtypes, memory, a tree of names.",
    arguments: "DIR|FILE",
    options: [Shared.json, Option("depth", "N", default: "3", "how many levels of the tree to show")],
    details:
      "Reads model folders, safetensors files, PyTorch's files and indexes of shards, whatever their names.",
    examples: ["gpt4mm inspect Models/emoji"]
  ) { arguments in
    guard let path = arguments.positional.first, arguments.positional.count == 1 else {
      throw UsageError("'inspect' needs one model folder or weights file")
    }
    let (tensors, metadata) = try WeightFile.list(url(path))
    let depth = try arguments.int("depth") ?? 3
    guard depth >= 1 else { throw UsageError("--depth must be at least 1, got \(depth)") }
    if arguments.flag("json") {
      let entries = tensors.map { Entry(name: $0.name, dtype: $0.dtype, shape: $0.shape) }
      Terminal.print(try Shared.encode(Report(metadata: metadata, tensors: entries), pretty: true))
      return
    }
    var tree = Tree()
    var dtypes: [String: (count: Int, bytes: Int)] = [:]
    for tensor in tensors {
      let size = (count: tensor.count, bytes: tensor.byteCount)
      // Names come from files that may be hostile: no bottomless tree.
      let path = tensor.name.printable.split(separator: ".", maxSplits: 31, omittingEmptySubsequences: false)
      tree.add(path.map(String.init)[...], size, leaf: "\(tensor.dtype) \(tensor.shape)")
      dtypes[tensor.dtype, default: (0, 0)].count += size.count
      dtypes[tensor.dtype, default: (0, 0)].bytes += size.bytes
    }
    Terminal.print(
      "\(path): \(tensors.count) tensors, \(grouped(tree.count)) elements, \(megabytes(tree.bytes))")
    for (dtype, size) in dtypes.sorted(by: { $0.key < $1.key }) {
      Terminal.print("  \(dtype): \(grouped(size.count)) elements, \(megabytes(size.bytes))")
    }
    for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
      Terminal.print("  \(key.printable): \(value.printable)")
    }
    for line in tree.lines(depth: depth) { Terminal.print(line) }
  }

  private struct Entry: Encodable {
    let name: String
    let dtype: String
    let shape: [Int]
  }

  private struct Report: Encodable {
    let metadata: [String: String]
    let tensors: [Entry]
  }
}

/// Names by their dots.
private struct Tree {
  private(set) var count = 0
  private(set) var bytes = 0
  private var leaf: String?
  private var children: [String: Tree] = [:]

  mutating func add(_ path: ArraySlice<String>, _ size: (count: Int, bytes: Int), leaf: String) {
    count += size.count
    bytes += size.bytes
    guard let first = path.first else {
      self.leaf = leaf
      return
    }
    children[first, default: Tree()].add(path.dropFirst(), size, leaf: leaf)
  }

  func lines(depth: Int, indent: String = "  ") -> [String] {
    guard depth > 0 else { return [] }
    func key(_ name: String) -> (Int, String) { (Int(name) ?? -1, name) }
    return children.sorted { key($0.key) < key($1.key) }.flatMap { name, child in
      ["\(indent)\(name)  \(child.leaf ?? "\(grouped(child.count)) elements, \(megabytes(child.bytes))")"]
        + child.lines(depth: depth - 1, indent: indent + "  ")
    }
  }
}

private func grouped(_ number: Int) -> String {
  let digits = Array(String(number))
  return digits.enumerated().map { index, digit in
    index > 0 && (digits.count - index) % 3 == 0 ? ",\(digit)" : "\(digit)"
  }.joined()
}

private func megabytes(_ bytes: Int) -> String { String(format: "%.2f MB", Double(bytes) / 1e6) }

import Torch
import Foundation
import MultiModalPipeline

/// Draws pictures with their prompts from a dataset that is read once, and gathers all texts of each: those whose names have
/// the smallest hashes, which are the same in every validation and process.
struct HeldOutTexts {
  private struct Key: Hashable {
    let name: String
    let file: URL?
    let range: Range<Int>?
    let prompt: String?

    init(_ sample: Sample) {
      let picture = sample.picture
      name = picture.plainName
      file = picture.file?.standardizedFileURL
      range = picture.range
      prompt = sample.prompt
    }
  }
  private let count: Int
  private let seed: UInt64
  private typealias Found = (hash: UInt64, order: Int, picture: StoredPicture, texts: [String])
  /// Somewhat more than asked for, so that those with the largest hashes go rarely.
  private var found: [Key: Found] = [:]
  /// What hashes are below, of those that may yet belong to the smallest.
  private var limit = UInt64.max
  private var samples = 0

  init(count: Int, seed: UInt64) {
    self.count = count
    self.seed = seed
  }

  mutating func add(_ sample: Sample) {
    guard count > 0 else { return }
    samples += 1
    let key = Key(sample)
    if found[key] != nil {
      found[key]?.texts.append(sample.text)
      return
    }
    let hash = hash(key)
    guard hash <= limit else { return }
    found[key] = (hash, samples, sample.picture, [sample.text])
    guard found.count - count >= count else { return }
    found = Dictionary(uniqueKeysWithValues: smallest)
    limit = found.values.reduce(0) { max($0, $1.hash) }
  }

  private var smallest: [(key: Key, value: Found)] {
    Array(found.sorted { ($0.value.hash, $0.value.order) < ($1.value.hash, $1.value.order) }.prefix(count))
  }

  /// In the order of storage.
  var jobs: [Evaluation.Job] {
    smallest.sorted { $0.value.order < $1.value.order }.map {
      Evaluation.Job(picture: $0.value.picture, prompt: $0.key.prompt, texts: $0.value.texts)
    }
  }

  private func hash(_ key: Key) -> UInt64 {
    SplitMix64(seed: seed, name: "\(key.name)\0\(key.prompt ?? "")").state
  }
}

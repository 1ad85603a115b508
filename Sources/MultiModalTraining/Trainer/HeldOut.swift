import Torch
import Foundation
import MultiModalPipeline

/// What a run validates with.
struct HeldOut {
  let loader: BatchLoader
  /// Samples.
  let count: Int
  /// Pictures for which texts are generated, with all texts that are right.
  let jobs: [Evaluation.Job]
}

/// Draws pictures with their prompts from a dataset that is read once, and gathers all texts of each: those whose names have
/// the smallest hashes, which are the same in every validation and process.
struct HeldOutTexts {
  private struct Key: Hashable {
    let name: String
    let file: URL
    let range: Range<Int>?
    let prompt: String?

    /// One for all spellings of a name, such as `./a.png` and `a.png`.
    init(_ sample: Sample) {
      let picture = sample.picture
      name = picture.name.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
      file = picture.file.standardizedFileURL
      range = picture.range
      prompt = sample.prompt
    }
  }
  private let count: Int
  private let seed: UInt64
  private var found: [Key: (hash: UInt64, order: Int, picture: StoredPicture, texts: [String])] = [:]
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
    if found.count == count {
      guard let largest = found.max(by: { $0.value.hash < $1.value.hash }), hash < largest.value.hash else {
        return
      }
      found[largest.key] = nil
    }
    found[key] = (hash, samples, sample.picture, [sample.text])
  }

  /// In the order of storage.
  var jobs: [Evaluation.Job] {
    found.sorted { $0.value.order < $1.value.order }.map {
      Evaluation.Job(picture: $0.value.picture, prompt: $0.key.prompt, texts: $0.value.texts)
    }
  }

  private func hash(_ key: Key) -> UInt64 {
    let bytes = Array(key.name.utf8) + [0] + Array((key.prompt ?? "").utf8)
    return SplitMix64(seed: seed, place: bytes.reduce(0) { $0 &* 31 &+ Int($1) }).state
  }
}

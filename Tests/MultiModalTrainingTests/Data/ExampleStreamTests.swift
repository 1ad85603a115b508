import Foundation
import MultiModalModel
import MultiModalPipeline
import Synchronization
import Testing
import Torch

@testable import MultiModalTraining

private let tokenizer = Result {
  try SentencePieceTokenizer.train(on: ["a", "ab", "abc", "abcd"], configuration: .init(vocabularySize: 270))
}

private func encoder(longestText: Int = 64) throws -> ExampleEncoder {
  var configuration = GPT4MultiModal.Configuration()
  configuration.maxSeqLen = longestText
  return try ExampleEncoder(
    tokenizer: tokenizer.get(), generation: .init([:], tokenizer: tokenizer.get()),
    configuration: configuration)
}

@Suite struct ExampleStreamTests {
  /// Samples of texts of different lengths, in three shards.
  private func dataset(_ count: Int) -> SampleList {
    let samples = (0..<count).map { index in
      Sample(
        picture: StoredPicture(name: "\(index)", file: URL(fileURLWithPath: "/\(index)")), prompt: nil,
        text: String(repeating: "x", count: index * 7 % 13))
    }
    let (one, two) = (count / 5, count / 2)
    return SampleList(shards: [Array(samples[..<one]), Array(samples[one..<two]), Array(samples[two...])])
  }

  private func batches(
    _ dataset: SampleList, batchSize: Int = 4, buffer: Int, bucket: Int = 1, seed: UInt64 = 1, epoch: Int = 0
  ) throws -> [[Example]] {
    var stream = ExampleStream(
      dataset, encoder: try encoder(),
      order: SampleOrder(batchSize: batchSize, shuffleBuffer: buffer, bucketBatches: bucket, seed: seed),
      epoch: epoch)
    var batches: [[Example]] = []
    while let batch = try stream.nextBatch() {
      batches.append(try batch.map { try $0.example(by: encoder()) })
    }
    return batches
  }

  private func names(_ batches: [[Example]]) -> [Int] {
    batches.flatMap { $0.compactMap { Int($0.sample.picture.name) } }
  }

  @Test(arguments: [1, 2, 7, 22, 23, 1000], [1, 3, 100])
  func everySampleComesOnceInAnEpochAndTheRestLast(buffer: Int, bucket: Int) throws {
    let data = dataset(23)
    for epoch in 0..<3 {
      let batches = try batches(data, buffer: buffer, bucket: bucket, epoch: epoch)
      #expect(batches.map(\.count) == [4, 4, 4, 4, 4, 3])
      #expect(names(batches).sorted() == Array(0..<23))
      #expect(Set(batches.flatMap { $0.map(\.index) }) == Set(0..<23))
    }
  }

  @Test func theOrderFollowsFromSeedAndEpochAlone() throws {
    let data = dataset(23)
    for bucket in [1, 3] {
      let first = try names(batches(data, buffer: 9, bucket: bucket))
      #expect(try names(batches(data, buffer: 9, bucket: bucket)) == first)
      #expect(try names(batches(data, buffer: 9, bucket: bucket, seed: 2)) != first)
      #expect(try names(batches(data, buffer: 9, bucket: bucket, epoch: 1)) != first)
    }
  }

  @Test func aBufferOfOneKeepsTheOrder() throws {
    for epoch in 0..<2 {
      #expect(try names(batches(dataset(23), buffer: 1, epoch: epoch)) == Array(0..<23))
    }
  }

  @Test func aBufferThatHoldsAllMixesShards() throws {
    let first = try names(batches(dataset(200), buffer: 1000)).prefix(50)
    #expect(first.contains { $0 < 40 } && first.contains { $0 >= 100 })
  }

  @Test func samplesSortedByLengthNeedLessPadding() throws {
    func padding(_ bucket: Int) throws -> Int {
      try batches(dataset(97), batchSize: 8, buffer: 1000, bucket: bucket).reduce(0) { sum, batch in
        let lengths = batch.map(\.tokens.count)
        return sum + (lengths.max() ?? 0) * lengths.count - lengths.reduce(0, +)
      }
    }
    let (mixed, some, all) = (try padding(1), try padding(4), try padding(100))
    #expect(some < mixed / 2)
    #expect(all < some)
  }

  /// What fills no batch is left out in training; it must not always be the longest.
  @Test func theRestIsDrawnFromAllLengths() throws {
    var seen: Set<Int> = []
    for epoch in 0..<6 {
      let batches = try batches(dataset(23), buffer: 100, bucket: 100, epoch: epoch)
      seen.formUnion(names(Array(batches.dropLast())))
    }
    #expect(seen == Set(0..<23))
  }

  @Test func aTextThatIsTooLongIsNamed() throws {
    let short = try encoder(longestText: 5)
    let sample = Sample(
      picture: StoredPicture(name: "p", file: URL(fileURLWithPath: "/p.png")), prompt: "a", text: "xxxxxxxx")
    #expect(refusal { try short(sample) }.hasPrefix("the text of /p.png has "))
    #expect(refusal { try short(sample) }.contains("but max_seq_len is 5"))
  }
}

@Suite struct BatchLoaderTests {
  /// Pictures of several colours and texts.
  private func folder(_ count: Int) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    var lines = ""
    for index in 0..<count {
      try folder.writePicture("\(index).png", [UInt8(20 * index), 90, UInt8(255 - 20 * index)])
      lines += "\(index).png\t" + String(repeating: "ab", count: index % 4) + "\n"
    }
    try folder.write(lines, "list.tsv")
    return folder
  }

  private func loader(
    _ folder: TemporaryFolder, count: Int, batchSize: Int = 4, bucket: Int = 1, keepsRest: Bool = false,
    isAugmented: Bool = true, rank: Int = 0, processes: Int = 1
  ) throws -> BatchLoader {
    try loader(
      ListFile(folder.file("list.tsv")), count: count, batchSize: batchSize, bucket: bucket,
      keepsRest: keepsRest, isAugmented: isAugmented, rank: rank, processes: processes)
  }

  private func loader(
    _ dataset: any Dataset, count: Int, batchSize: Int = 4, bucket: Int = 1, keepsRest: Bool = false,
    isAugmented: Bool = true, rank: Int = 0, processes: Int = 1
  ) throws -> BatchLoader {
    var image = ImageProcessor.Configuration()
    image.size = .init(height: 16, width: 16)
    return BatchLoader(
      dataset, count: count, encoder: try encoder(),
      order: SampleOrder(batchSize: batchSize, shuffleBuffer: 100, bucketBatches: bucket, seed: 4),
      processor: try ImageProcessor(configuration: image),
      augmentation: isAugmented ? try PictureAugmentation(.init(), height: 16, width: 16) : nil,
      keepsRest: keepsRest, rank: rank, processes: processes)
  }

  private func load(_ loader: BatchLoader, _ numbers: Range<Int>, workers: Int = 3) async throws
    -> [LoadedBatch]
  {
    var prefetcher = loader.prefetch(numbers, workers: workers)
    var result: [LoadedBatch] = []
    while let batch = try await prefetcher.next() { result.append(batch) }
    return result
  }

  private func pixels(_ batch: LoadedBatch) throws -> [Float] {
    try batch.parts.flatMap { try $0.images.array(of: Float.self) }
  }

  private func targets(_ batch: LoadedBatch) throws -> [Int] {
    try batch.parts.flatMap { try $0.targets.array(of: Int.self) }.filter { $0 >= 0 }
  }

  @Test(arguments: [1, 2, 3, 4], [1, 2])
  func processesShareEachBatch(processes: Int, bucket: Int) async throws {
    let folder = try folder(11)
    let whole = try await load(
      loader(folder, count: 11, bucket: bucket, keepsRest: true), 0..<6)
    var parts: [[LoadedBatch]] = []
    for rank in 0..<processes {
      parts.append(
        try await load(
          loader(folder, count: 11, bucket: bucket, keepsRest: true, rank: rank, processes: processes), 0..<6)
      )
    }
    for (number, batch) in whole.enumerated() {
      let mine = parts.map { $0[number] }
      #expect(mine.flatMap(\.samples) == batch.samples)
      #expect(try mine.flatMap { try pixels($0) } == pixels(batch))
      #expect(try mine.flatMap { try targets($0) } == targets(batch))
      #expect(mine.reduce(0) { $0 + $1.targetCount } == batch.targetCount)
    }
    #expect(whole.map(\.samples.count) == [4, 4, 3, 4, 4, 3])
    #expect(Set(whole[..<3].flatMap { $0.samples.map(\.picture.name) }).count == 11)
  }

  @Test(arguments: [1, 2, 4]) func aProcessReadsThePicturesOfItsOwnSamplesAlone(processes: Int) async throws {
    let folder = try folder(1)
    let png = try Data(contentsOf: folder.file("0.png"))
    let read = Mutex<[String]>([])
    let samples = (0..<12).map { index in
      let name = "\(index)"
      return Sample(
        picture: StoredPicture(
          name: name,
          bytes: {
            read.withLock { $0.append(name) }
            return png
          }), text: String(repeating: "ab", count: index % 3))
    }
    for rank in 0..<processes {
      read.withLock { $0 = [] }
      // The second of three batches, after all samples of the first were passed over.
      let part = try await load(
        loader(SampleList(samples), count: 12, bucket: 3, rank: rank, processes: processes), 1..<2)[0]
      #expect(part.samples.count == 4 / processes)
      #expect(read.withLock { $0 } == part.samples.map(\.picture.name))
    }
  }

  @Test(arguments: [1, 2])
  func aLoaderThatBeginsInTheMiddleGivesTheSameBatches(bucket: Int) async throws {
    let folder = try folder(9)
    let loader = try loader(folder, count: 9, bucket: bucket)
    #expect(loader.batchesPerEpoch == 2)
    let all = try await load(loader, 0..<7)
    for first in 1..<7 {
      let rest = try await load(self.loader(folder, count: 9, bucket: bucket), first..<7, workers: first)
      #expect(rest.map(\.samples) == all[first...].map(\.samples))
      for (one, other) in zip(rest, all[first...]) { #expect(try pixels(one) == pixels(other)) }
    }
    // A loader that was used before, too.
    let again = try await load(loader, 1..<2)
    #expect(try pixels(again[0]) == pixels(all[1]))
  }

  @Test func viewsDifferBetweenSamplesAndEpochs() async throws {
    let folder = try TemporaryFolder()
    try folder.writePicture("a.png")
    try folder.write(String(repeating: "a.png\ta\n", count: 4), "list.tsv")
    let augmented = try await load(loader(folder, count: 4, batchSize: 1), 0..<8)
    let views = try augmented.map { try pixels($0) }
    #expect(Set(views).count == 8)
    let plain = try await load(loader(folder, count: 4, batchSize: 1, isAugmented: false), 0..<8)
    #expect(try Set(plain.map { try pixels($0) }).count == 1)
  }

  @Test func picturesOfSeveralSizesMakeAPartOfEachSize() async throws {
    let folder = try TemporaryFolder()
    for (name, width) in [("a", 16), ("b", 8), ("c", 16), ("d", 7)] {
      let picture = try Picture(
        height: 16, width: width, channels: 3, pixels: Array(repeating: 9, count: 48 * width))
      try picture.png().write(to: folder.file("\(name).png"))
    }
    try folder.write("a.png\ta\nb.png\tabab\nc.png\tab\nd.png\ta\n", "list.tsv")
    let image = try JSONDecoder().decode(
      ImageProcessor.Configuration.self,
      from: Data(#"{"image_processor_type": "ViTImageProcessor", "size": 16, "widths": [8]}"#.utf8))
    let loader = BatchLoader(
      try ListFile(folder.file("list.tsv")), count: 4, encoder: try encoder(),
      order: SampleOrder(batchSize: 4, shuffleBuffer: 1, bucketBatches: 1, seed: 4),
      processor: try ImageProcessor(configuration: image))
    let batch = try await load(loader, 0..<1)[0]
    #expect(batch.parts.map(\.images.shape) == [[2, 3, 16, 16], [2, 3, 16, 8]])
    #expect(batch.samples.map(\.picture.name) == ["a.png", "b.png", "c.png", "d.png"])
    // Each part is as long as its own texts.
    let tokens = try batch.samples.map { try encoder()($0).tokens.count }
    #expect(batch.parts.map { $0.text.shape[1] } == [max(tokens[0], tokens[2]), max(tokens[1], tokens[3])])
    #expect(batch.targetCount == tokens.reduce(0) { $0 + $1 - 1 })
  }

  @Test func damagedAndMissingPicturesAreLeftOutAndNamed() async throws {
    let folder = try folder(8)
    let all = try await load(loader(folder, count: 8), 0..<2)
    let first = all[0].samples
    try folder.write("no picture", first[1].picture.name)
    try FileManager.default.removeItem(at: #require(first[2].picture.file))
    for sample in all[1].samples { try folder.write("no picture", sample.picture.name) }
    let damaged = try await load(loader(folder, count: 8), 0..<2)
    #expect(damaged[0].samples == [first[0], first[3]])
    #expect(damaged[0].parts.map(\.images.shape) == [[2, 3, 16, 16]])
    #expect(damaged[0].damaged.count == 2)
    #expect(damaged[0].damaged[0].hasPrefix("cannot read picture \(first[1].picture.place): "))
    #expect(damaged[0].damaged[1].hasPrefix("cannot read picture \(first[2].picture.place): "))
    #expect(try pixels(damaged[0]) == Array(pixels(all[0])[..<768] + pixels(all[0])[(3 * 768)...]))
    #expect(damaged[1].parts.isEmpty)
    #expect(damaged[1].samples.isEmpty)
    #expect(damaged[1].damaged.count == 4)
  }

  @Test func aDatasetThatShrankIsTold() async throws {
    let folder = try folder(4)
    let loader = try loader(folder, count: 8)
    _ = try await load(loader, 0..<1)
    let error = await #expect(throws: TrainingError.self) { try await load(loader, 1..<2) }
    #expect(error?.description.contains("has fewer samples than before") == true)
  }
}

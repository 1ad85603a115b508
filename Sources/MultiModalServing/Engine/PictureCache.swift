import Foundation
import LibGnuTLS
import MultiModalPipeline

/// Pictures as the model sees them, by what their files hold, so that the same picture is decoded and encoded once.
actor PictureCache {
  /// A picture that was decoded and encoded.
  struct Seen: Sendable {
    /// What the encoder saw.
    let picture: Picture
    /// What the decoder sees.
    let encoded: Captioner.EncodedImage

    var bytes: Int { picture.pixels.count + encoded.bytes }
  }

  private struct Entry {
    let task: Task<Seen, any Error>
    var lastUse = 0
    /// Who wanted it and did not go away.
    var requests = 0
    /// 0 until it is known.
    var bytes = 0
  }

  private let captioner: Captioner
  private let processor: ImageProcessor
  private let capacity: Int
  /// For pictures that are decoded.
  private let decoding = AdmissionQueue(
    most: ProcessInfo.processInfo.activeProcessorCount, waiting: .max)
  private var entries: [Digest: Entry] = [:]
  private var uses = 0
  private(set) var hits = 0

  /// - Parameter capacity: bytes of memory
  init(_ captioner: Captioner, processor: ImageProcessor, capacity: Int) {
    self.captioner = captioner
    self.processor = processor
    self.capacity = capacity
  }

  /// - Parameter bytes: of a picture file
  /// - Throws: `PictureError` for what is no picture, `ModelError` for one that the model cannot take.
  func picture(_ bytes: Data) async throws -> Seen {
    let digest = Digest(bytes)
    uses += 1
    if entries[digest] != nil { hits += 1 }
    var entry =
      entries[digest]
      ?? Entry(
        task: Task { [captioner, processor, decoding] in
          let image = try await Self.decode(bytes, by: processor, decoding)
          return Seen(picture: try processor.picture(of: image), encoded: try await captioner.encode(image))
        })
    entry.lastUse = uses
    entry.requests += 1
    entries[digest] = entry
    let task = entry.task
    return try await withTaskCancellationHandler {
      do {
        let picture = try await task.value
        if entries[digest]?.task == task, entries[digest]?.bytes == 0 {
          entries[digest]?.bytes = picture.bytes
          removeOldest()
        }
        return picture
      } catch {
        if entries[digest]?.task == task { entries[digest] = nil }
        throw error
      }
    } onCancel: {
      Task { await self.leave(digest, task) }
    }
  }

  /// A large picture takes seconds, for which the threads that tasks share would be missing to all others.
  private static func decode(_ bytes: Data, by processor: ImageProcessor, _ queue: AdmissionQueue)
    async throws -> ProcessedImage
  {
    let place = try await queue.enter(texts: 1)
    defer { withExtendedLifetime(place) {} }
    return try await withCheckedThrowingContinuation { continuation in
      Thread.detachNewThread {
        continuation.resume(with: Result { try processor(bytes: bytes, name: "of the request") })
      }
    }
  }

  /// One who wanted a picture goes away; a picture that nobody else waits for is not encoded.
  private func leave(_ digest: Digest, _ task: Task<Seen, any Error>) {
    guard entries[digest]?.task == task, entries[digest]?.bytes == 0 else { return }
    entries[digest]?.requests -= 1
    guard entries[digest]?.requests == 0 else { return }
    // Who wants it next begins anew.
    entries[digest] = nil
    task.cancel()
  }

  private func removeOldest() {
    var held = entries.values.reduce(0) { $0 + $1.bytes }
    while held > capacity,
      let oldest = entries.filter({ $0.value.bytes > 0 }).min(by: { $0.value.lastUse < $1.value.lastUse })
    {
      held -= oldest.value.bytes
      entries[oldest.key] = nil
    }
  }
}

/// SHA-256.
struct Digest: Hashable, Sendable {
  let bytes: [UInt8]

  init(_ data: some ContiguousBytes) {
    bytes = data.withUnsafeBytes { data in
      [UInt8](unsafeUninitializedCapacity: 32) { digest, count in
        gnutls_hash_fast(GNUTLS_DIG_SHA256, data.baseAddress, data.count, digest.baseAddress)
        count = 32
      }
    }
  }

  /// In a time that says nothing about where they differ.
  func isEqual(to other: Digest) -> Bool { gnutls_memcmp(bytes, other.bytes, bytes.count) == 0 }
}

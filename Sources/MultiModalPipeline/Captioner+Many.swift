import MultiModalModel

extension Captioner {
  /// Texts for any number of pictures: as soon as one is done, the next takes its place in the batch.
  /// - Parameters:
  ///   - batchSize: how many pictures at once
  ///   - next: the next picture, nil at the end; what it throws ends the work
  ///   - report: gets each picture's texts, or why it has none, in the order of the pictures; what it throws ends the work
  /// - Throws: what `next` and `report` throw, `ModelError` for a batch size below 1, `CancellationError` when the task is cancelled
  public nonisolated func caption(
    batchSize: Int, next: () throws -> Input?,
    report: (Result<[Caption], any Error>) async throws -> Void
  ) async throws {
    guard batchSize >= 1 else { throw ModelError("the batch size must be at least 1, got \(batchSize)") }
    try await withThrowingTaskGroup(of: (place: Int, result: Result<[Caption], any Error>).self) { group in
      var begun = 0
      var reported = 0
      var early: [Int: Result<[Caption], any Error>] = [:]
      while true {
        try Task.checkCancellation()
        while begun < reported + early.count + batchSize, let input = try next() {
          let place = begun
          begun += 1
          group.addTask { (place, await self.result(of: input)) }
        }
        guard let (place, result) = try await group.next() else { return }
        early[place] = result
        while let result = early.removeValue(forKey: reported) {
          reported += 1
          try await report(result)
        }
      }
    }
  }

  private nonisolated func result(of input: Input) async -> Result<[Caption], any Error> {
    do { return .success(try await caption([input])[0]) } catch { return .failure(error) }
  }
}

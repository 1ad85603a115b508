import Foundation
import Testing

@testable import MultiModalTraining

struct EvaluationTests {
  private func sample(_ name: String, _ prompt: String?, _ text: String) -> Sample {
    let folder = URL(fileURLWithPath: "/pictures")
    return Sample(
      picture: StoredPicture(name: name, file: folder.appendingPathComponent(name)), prompt: prompt,
      text: text)
  }

  @Test func textsOfOnePictureAndPromptAreReferencesOfOneText() throws {
    let jobs = try Evaluation.jobs(
      of: SampleList([
        sample("b.png", nil, "one"), sample("a.png", nil, "two"), sample("b.png", "colour:", "three"),
        sample("./b.png", nil, "four"), sample("b.png", "", "five"), sample("a.png", nil, "two"),
      ]))
    #expect(jobs.map(\.picture.file?.lastPathComponent) == ["b.png", "a.png", "b.png", "b.png"])
    #expect(jobs.map(\.prompt) == [nil, nil, "colour:", ""])
    #expect(jobs.map(\.texts) == [["one", "four"], ["two", "two"], ["three"], ["five"]])
  }

  @Test func drawnPicturesHaveAllTheirTextsAndAreTheSameInEveryOrder() {
    let samples = (0..<60).map { sample("\($0 % 20).png", nil, "text \($0)") }
    func drawn(_ samples: [Sample], _ seed: UInt64 = 3) -> [Evaluation.Job] {
      var texts = HeldOutTexts(count: 6, seed: seed)
      for sample in samples { texts.add(sample) }
      return texts.jobs
    }
    let jobs = drawn(samples)
    #expect(jobs.count == 6)
    #expect(jobs.allSatisfy { $0.texts.count == 3 })
    let names = Set(jobs.map(\.picture.name))
    #expect(Set(drawn(samples.reversed()).map(\.picture.name)) == names)
    #expect(Set(drawn(samples, 4).map(\.picture.name)) != names)
    var none = HeldOutTexts(count: 0, seed: 3)
    none.add(samples[0])
    #expect(none.jobs.isEmpty)
  }

  @Test func drawingFewOfManyTakesTimeForEachSampleOnly() {
    let clock = ContinuousClock()
    func time(_ count: Int) -> Duration {
      var texts = HeldOutTexts(count: count, seed: 3)
      return clock.measure {
        for index in 0..<20_000 { texts.add(sample("\(index).png", nil, "text")) }
        #expect(texts.jobs.count == count)
      }
    }
    // Looking through all that were drawn, for each sample, took 100 times as long.
    #expect(time(4000) < time(4) * 20)
  }

  private func evaluation(_ texts: [(prompt: String?, expected: String, generated: String)]) -> Evaluation {
    Evaluation(
      results: texts.map {
        .init(
          picture: "a.png", prompt: $0.prompt, expected: [$0.expected], generated: $0.generated, confidence: 1
        )
      })
  }

  @Test func oneTextForPicturesWhoseTextsDifferIsSaid() {
    let same = evaluation([(nil, "cat", "dog"), (nil, "bird", "dog"), (nil, "dog", "dog")])
    #expect(same.warning?.hasPrefix("the model writes the same text for all 3 pictures, \"dog\": ") == true)
    #expect(evaluation([(nil, "cat", "dog"), (nil, "bird", "a dog")]).warning == nil)
    #expect(evaluation([(nil, "dog", "dog"), (nil, "dog", "dog")]).warning == nil)
    #expect(evaluation([]).warning == nil)
  }

  @Test func eachPromptHasMetricsOfItsOwn() {
    let prompts = evaluation([
      ("colour: ", "red", "red"), (nil, "cat", "dog"), ("colour: ", "blue", "red"), (nil, "dog", "dog"),
      ("colour: ", "red", "red"),
    ]).metricsByPrompt
    #expect(prompts.map(\.prompt) == ["", "colour: "])
    #expect(prompts.map(\.metrics.count) == [2, 3])
    #expect(prompts.map(\.metrics.exactMatch) == [0.5, 2.0 / 3])
  }
}

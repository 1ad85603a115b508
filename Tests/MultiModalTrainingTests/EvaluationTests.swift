import Foundation
import Testing

@testable import MultiModalTraining

struct EvaluationTests {
  @Test func textsOfOnePictureAndPromptAreReferencesOfOneText() {
    func sample(_ name: String, _ prompt: String?, _ text: String) -> ImageFolder.Sample {
      ImageFolder.Sample(picture: URL(fileURLWithPath: "/pictures/\(name)"), prompt: prompt, text: text)
    }
    let jobs = Evaluation.jobs(of: [
      sample("b.png", nil, "one"), sample("a.png", nil, "two"), sample("b.png", "colour:", "three"),
      sample("./b.png", nil, "four"), sample("b.png", "", "five"), sample("a.png", nil, "two"),
    ])
    #expect(jobs.map(\.picture.lastPathComponent) == ["b.png", "a.png", "b.png", "b.png"])
    #expect(jobs.map(\.prompt) == [nil, nil, "colour:", ""])
    #expect(jobs.map(\.texts) == [["one", "four"], ["two", "two"], ["three"], ["five"]])
  }
}

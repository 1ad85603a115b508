import Foundation
import MultiModalTraining
let a = CommandLine.arguments
let config = try TrainingConfiguration(contentsOf: URL(fileURLWithPath: a[2]))
let trainer = try Trainer(data: URL(fileURLWithPath: a[1]), run: URL(fileURLWithPath: a[3]), configuration: config, resume: false)
_ = try await trainer.train { event in
  switch event {
  case .step(let p): if p.step % 50 == 0 { print(p.step, p.steps, p.epoch, p.loss, p.gradientNorm, p.samplesPerSecond); fflush(nil) }
  default: print(event); fflush(nil)
  }
}

import Foundation
import Torch

signal(SIGPIPE, SIG_IGN)
// Weights are read where they lie; whoever cuts the file meanwhile takes them away.
signal(SIGBUS) { _ in
  let words: StaticString = "gpt4mm: a file was cut short while it was read\n"
  _ = write(STDERR_FILENO, words.utf8Start, words.utf8CodeUnitCount)
  _exit(1)
}
Terminal.openStandardStreams()
LibTorch.tunesAllocator = true
_ = Interruption.shared
// Without running exit handlers: they would take down what tasks in the background still use.
let code = await Program.run()
fflush(nil)
_exit(code)

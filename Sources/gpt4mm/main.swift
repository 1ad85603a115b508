import Foundation
import Torch

signal(SIGPIPE, SIG_IGN)
Terminal.openStandardStreams()
LibTorch.tunesAllocator = true
let interruption = Interruption()
// Without running exit handlers: they would take down what tasks in the background still use.
let code = await Program.run(interruption: interruption)
fflush(nil)
_exit(code)

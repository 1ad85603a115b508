import Foundation
import Torch

signal(SIGPIPE, SIG_IGN)
LibTorch.tunesAllocator = true
let interruption = Interruption()
// Without running exit handlers: they would take down what tasks in the background still use.
let code = await Program.run(Array(CommandLine.arguments.dropFirst()), interruption: interruption)
fflush(nil)
_exit(code)

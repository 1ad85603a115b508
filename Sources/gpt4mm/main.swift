import Foundation

signal(SIGPIPE, SIG_IGN)
let interruption = Interruption()
exit(await Program.run(Array(CommandLine.arguments.dropFirst()), interruption: interruption))

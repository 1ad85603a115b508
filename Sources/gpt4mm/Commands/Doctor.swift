import Foundation
import MultiModalPipeline
import Torch

extension Command {
  static let doctor = Command(
    name: "doctor", summary: "Show what was found on this machine, what was expected, and what to do.",
    options: [Shared.json]
  ) { arguments in
    let findings = examine()
    if arguments.flag("json") {
      Terminal.print(try Shared.encode(findings, pretty: true))
    } else {
      for finding in findings {
        let verdict = finding.ok ? "ok     " : finding.isNeeded ? "missing" : "absent "
        Terminal.print("\(verdict) \(finding.subject): \(finding.found)")
        if !finding.remedy.isEmpty { Terminal.print("        \(finding.remedy)") }
      }
    }
    if findings.contains(where: { !$0.ok && $0.isNeeded }) { throw Failed() }
  }

  private struct Finding: Encodable {
    let subject: String
    let ok: Bool
    let isNeeded: Bool
    let found: String
    var remedy = ""
  }

  private static func examine() -> [Finding] {
    let version = LibTorch.version
    let fits = version.hasPrefix("2.15.")
    var findings = [
      Finding(
        subject: "LibTorch", ok: fits, isNeeded: true, found: "\(version), expected 2.15",
        remedy: fits ? "" : "Set LIBTORCH to a LibTorch 2.15 or unset it, then run 'make build'."),
      Finding(
        subject: "cpu", ok: true, isNeeded: true,
        found:
          "\(ProcessInfo.processInfo.activeProcessorCount) cores, \(LibTorch.threads) threads per operator, "
          + LibTorch.instructionSet
          + (LibTorch.multipliesBFloat16 ? "" : ", training in bfloat16 computes in float32")),
    ]
    let cuda = Device.count(of: .cuda)
    findings.append(
      Finding(
        subject: "cuda", ok: cuda > 0, isNeeded: false, found: "\(cuda) devices",
        remedy: cuda > 0
          ? ""
          : "Only needed for --device cuda: a driver that 'nvidia-smi' sees, and 'GPT4MM_CUDA=1 scripts/setup'."
      ))
    findings.append(
      Finding(
        subject: "mps", ok: Device.count(of: .mps) > 0, isNeeded: false,
        found: "\(Device.count(of: .mps)) devices",
        remedy: Device.count(of: .mps) > 0 ? "" : "Only on Apple GPUs."))
    let pictures = Result { try PictureFormat.checkLibrary() }
    let formats = PictureFormat.supported
    let absent = PictureFormat.allCases.filter { !formats.contains($0) }.map(\.rawValue)
    findings.append(
      Finding(
        subject: "libvips", ok: !formats.isEmpty, isNeeded: true,
        found: failure(pictures) ?? "reads \(formats.map(\.rawValue).joined(separator: ", "))",
        remedy: formats.isEmpty || absent.isEmpty
          ? "" : "Cannot read \(absent.joined(separator: ", ")): install a libvips built with them."))
    let tokenizer = Result {
      try SentencePieceTokenizer.train(on: ["a b c"], configuration: .init(vocabularySize: 270)).encode("a b")
    }
    findings.append(
      Finding(
        subject: "SentencePiece", ok: failure(tokenizer) == nil, isNeeded: true,
        found: failure(tokenizer) ?? "trains and encodes",
        remedy: failure(tokenizer) == nil ? "" : "Run 'scripts/setup', which installs libsentencepiece-dev."))
    return findings
  }

  /// Why something does not work.
  private static func failure<Success>(_ result: Result<Success, any Error>) -> String? {
    if case .failure(let error) = result { error.localizedDescription } else { nil }
  }
}

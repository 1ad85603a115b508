import MultiModalModel
import MultiModalPipeline
import Torch

extension Command {
  static let forward = Command(
    name: "forward", summary: "Compute logits from tensors in a file, to compare with other implementations.",
    options: [
      Option("model", "DIR", "a folder with config.json and model.safetensors"),
      Option("input", "FILE", "a safetensors file with img, text (int64) and optionally mask (bool)"),
      Option("output", "FILE", "the safetensors file to write, with logits"),
      Option(
        "compatibility", "NAME", "documented or zetascale: the behaviour, instead of what config.json says"),
      Shared.precision, Shared.device, Shared.threads,
    ],
    details:
      "img is [batch, height, width, 3] or [batch, 3, height, width], text is [batch, length], logits is "
      + "[batch, length, num_tokens].",
    examples: [
      "gpt4mm forward --model DIR --input in.safetensors --output out.safetensors --compatibility zetascale"
    ]
  ) { arguments in
    let folder = try ModelFolder(url(arguments.required("model")))
    let input = try arguments.required("input")
    let output = try url(arguments.required("output"))
    try AtomicFile.check(output)
    let compatibility = arguments.string("compatibility")
    let device = try Shared.machine(arguments)
    let tensors = try Safetensors.read(url(input)).tensors
    func tensor(_ name: String) throws -> Tensor {
      guard let tensor = tensors[name] else {
        throw ModelError("\(input) lacks the tensor \"\(name)\": it must hold img and text")
      }
      return try tensor.to(device: device)
    }
    let configuration = try compatibility.map { name in
      do {
        return try folder.configuration().replacing("compatibility", with: name)
      } catch let error as ModelError {
        throw UsageError("--\(error)")
      }
    }
    let model = try folder.model(
      precision: Shared.precision(arguments), configuration: configuration, device: device)
    let logits = try withoutGradients {
      try model.forward(
        img: tensor("img"), text: tensor("text"), mask: tensors["mask"].map { try $0.to(device: device) })
    }
    try Safetensors.write([("logits", logits)], to: output)
  }
}

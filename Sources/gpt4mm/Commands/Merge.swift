import MultiModalPipeline
import MultiModalTraining

extension Command {
  static let merge = Command(
    name: "merge", summary: "Add adapters (LoRA) to the weights of the model that they were learned for.",
    options: [
      Option("model", "DIR", "the model folder that the training began with"),
      Option("adapter", "DIR", "the folder \"adapter\" of the run"),
      Option("out", "DIR", "where the model with its adapters goes"),
    ],
    examples: ["gpt4mm merge --model Models/emoji --adapter runs/mine/adapter --out runs/mine-merged"]
  ) { arguments in
    let out = try url(arguments.required("out"))
    try AdapterFolder.merge(
      url(arguments.required("adapter")), into: ModelFolder(url(arguments.required("model"))), to: out)
    Terminal.print(out.path)
  }
}

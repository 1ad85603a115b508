"""One of the contenders that gpt4mm is compared with, as a process of its own that bench.py drives (protocol.py)."""

import argparse
from pathlib import Path

import numpy as np

from protocol import Worker
from runtimes import OUTPUTS, Arrays, Run, arguments, onnxruntime_session, openvino_compiled, serve, set_torch_threads

NEW_TOKENS = 64
CHECKED_STEPS = 5


def onnxruntime(work: str, precision: str, onnx: Path, inputs: Arrays, threads: int) -> tuple[Run, Arrays]:
    import onnxruntime as ort

    session = onnxruntime_session(onnx, precision, threads)
    output = session.run(None, inputs)[0]
    # inputs and output stay where they are: nothing is copied or allocated in a run
    binding = session.io_binding()
    for name, value in inputs.items():
        binding.bind_cpu_input(name, value)
    binding.bind_ortvalue_output(OUTPUTS[work], ort.OrtValue.ortvalue_from_numpy(np.empty_like(output)))

    return lambda: session.run_with_iobinding(binding), {OUTPUTS[work]: output}


def openvino(work: str, precision: str, onnx: Path, inputs: Arrays, threads: int) -> tuple[Run, Arrays]:
    import openvino as ov

    compiled = openvino_compiled(str(onnx), precision, threads)
    request = compiled.create_infer_request()
    output = np.array(request.infer(inputs)[compiled.output(0)])
    # inputs and output stay where they are: nothing is copied or allocated in a run
    for name, value in inputs.items():
        request.set_tensor(name, ov.Tensor(value, shared_memory=True))

    def run() -> None:
        request.start_async()
        request.wait()

    return run, {OUTPUTS[work]: output}


def torch_inference(
    work: str, precision: str, model_folder: Path, inputs: Arrays, compiled: bool
) -> tuple[Run, Arrays]:
    import torch

    from zetascale import EncoderAlone, load_zetascale

    model = load_zetascale(model_folder)
    module = model if work == "forward" else EncoderAlone(model).eval()
    arguments = tuple(torch.from_numpy(value) for value in inputs.values())
    with torch.no_grad():
        if compiled:
            # exported first, so that one graph is compiled instead of the pieces between zetascale's context managers
            module = torch.compile(torch.export.export(module, arguments).module())

    @(torch.no_grad() if compiled else torch.inference_mode())  # inference mode has compiled code made anew
    @torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")
    def run() -> torch.Tensor:
        return module(*arguments)

    return run, {OUTPUTS[work]: run().float().numpy()}


def torch_generation(model_folder: Path, inputs: Arrays) -> tuple[Run, Arrays]:
    import torch

    from zetascale import load_zetascale

    model = load_zetascale(model_folder)
    img, prompt = torch.from_numpy(inputs["img"]), torch.from_numpy(inputs["text"])

    @torch.inference_mode()
    def generate() -> torch.Tensor:
        """zetascale keeps nothing between tokens: the whole model sees the picture and the text so far."""
        text = prompt
        for _ in range(NEW_TOKENS):
            text = torch.cat([text, model(img, text)[:, -1].argmax(-1, keepdim=True)], dim=1)
        return text[:, prompt.shape[1] :]

    return generate, {"tokens": generate().numpy()}


def torch_training(
    precision: str, model_folder: Path, inputs: Arrays, compiled: bool, fused: bool
) -> tuple[Run, Arrays]:
    import torch
    import torch.nn.functional as F

    from zetascale import load_zetascale

    img, text = torch.from_numpy(inputs["img"]), torch.from_numpy(inputs["text"])
    model = load_zetascale(model_folder).train()
    module = torch.compile(torch.export.export(model, (img, text)).module()) if compiled else model
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4, weight_decay=0.01, fused=fused or None)

    def step() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            logits = module(img, text)
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), text[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    losses = [step().item() for _ in range(CHECKED_STEPS)]
    return step, {"losses": np.array(losses, dtype=np.float32)}


def prepare(options: argparse.Namespace, inputs: Arrays) -> tuple[Run, Arrays]:
    onnx = options.onnx / f"{options.work}.onnx"
    if options.precision == "int8":  # see quantized.py
        onnx = onnx.with_name(f"{options.work}-int8.{'xml' if options.peer == 'openvino' else 'onnx'}")
    if options.peer == "onnxruntime":
        return onnxruntime(options.work, options.precision, onnx, inputs, options.threads)
    if options.peer == "openvino":
        return openvino(options.work, options.precision, onnx, inputs, options.threads)

    set_torch_threads(options.threads)
    compiled, fused = options.peer == "compile", options.peer == "zetascale-fused"
    if options.work == "train":
        return torch_training(options.precision, options.model, inputs, compiled, fused)
    if options.work == "generate":
        return torch_generation(options.model, inputs)
    return torch_inference(options.work, options.precision, options.model, inputs, compiled)


def main() -> None:
    options = arguments(
        __doc__, ["zetascale", "zetascale-fused", "compile", "onnxruntime", "openvino"],
        ["forward", "encode", "generate", "train"])
    worker = Worker()
    serve(worker, options, lambda inputs: prepare(options, inputs))


if __name__ == "__main__":
    main()

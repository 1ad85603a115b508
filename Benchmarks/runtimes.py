"""What the programs of the peers share: how the runtimes are set up, and how what was computed is said."""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from protocol import Worker

Run = Callable[[], Any]
Arrays = dict[str, np.ndarray]
OUTPUTS = {"forward": "logits", "encode": "embeddings"}
WARM_UP = 5


def onnxruntime_session(onnx: Path, precision: str, threads: int) -> Any:
    import onnxruntime as ort

    if precision == "bfloat16":
        raise ValueError("ONNX Runtime's CPU provider has no bfloat16")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    return ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


def openvino_compiled(model: Any, precision: str, threads: int) -> Any:
    """Of a file, or of what was read from one."""
    import openvino as ov

    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": str(threads)}
    if precision != "int8":  # where what was not quantised is best left to OpenVINO
        hints["INFERENCE_PRECISION_HINT"] = {"float32": "f32", "bfloat16": "bf16"}[precision]
    return ov.Core().compile_model(model, "CPU", hints)


def set_torch_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)


def arguments(description: str, peers: Iterable[str], works: Iterable[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--peer", required=True, choices=list(peers))
    parser.add_argument("--work", required=True, choices=list(works))
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16", "int8"])
    parser.add_argument("--model", required=True, type=Path, help="model folder")
    parser.add_argument("--input", required=True, type=Path, help="safetensors file with img and text")
    parser.add_argument("--onnx", required=True, type=Path, help="folder with what was exported")
    parser.add_argument("--threads", required=True, type=int)
    parser.add_argument("--output", required=True, type=Path, help="safetensors file to write what was computed to")
    return parser.parse_args()


def serve(worker: Worker, options: argparse.Namespace, prepare: Callable[[Arrays], tuple]) -> None:
    """`prepare` makes of the inputs a run and what it computes, and maybe what each run needs but does not count."""
    stored = load_file(options.input)
    # kept until the end: runtimes read them where they are
    inputs = {name: stored[name] for name in (("img",) if options.work == "encode" else ("img", "text"))}
    run, outputs, *before = prepare(inputs)
    save_file({name: np.ascontiguousarray(value) for name, value in outputs.items()}, options.output)
    if options.work in OUTPUTS:
        for _ in range(WARM_UP):
            run()
    worker.serve(run, *before)

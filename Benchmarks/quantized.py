"""The exported forward pass in int8, as one makes it for OpenVINO and for ONNX Runtime.

python quantized.py openvino|onnxruntime FOLDER: reads FOLDER/forward.onnx, writes FOLDER/forward-int8.xml or .onnx.

Both keep weights to 7 bits, as they advise for CPUs without int8 dot products, where sums of two products saturate:
with 8 bits ONNX Runtime's errors were twelve times as large on AVX2. It costs no time.
"""

import sys
from pathlib import Path

import numpy as np

from workload import INPUTS, SEED, draw_inputs

CALIBRATION_INPUTS = 8


def openvino(folder: Path) -> None:
    """Quantised after training, calibrated on inputs like the benchmark's."""
    import nncf
    import openvino as ov

    generator = np.random.default_rng(SEED + 1)
    samples = [draw_inputs(generator, *INPUTS["one"]) for _ in range(CALIBRATION_INPUTS)]
    parameters = nncf.AdvancedQuantizationParameters(
        overflow_fix=nncf.OverflowFix.ENABLE,
        # off, because it makes the errors four times as large here
        smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=-1))
    model = nncf.quantize(
        ov.Core().read_model(folder / "forward.onnx"), nncf.Dataset(samples), model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(samples), advanced_parameters=parameters)
    ov.save_model(model, folder / "forward-int8.xml", compress_to_fp16=False)


def onnxruntime(folder: Path) -> None:
    """int8 weights; activations are quantised to uint8 as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        folder / "forward.onnx", folder / "forward-int8.onnx", weight_type=QuantType.QInt8, reduce_range=True)


if __name__ == "__main__":
    {"openvino": openvino, "onnxruntime": onnxruntime}[sys.argv[1]](Path(sys.argv[2]))

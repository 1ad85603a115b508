"""zetascale's GPT4MultiModal with the weights of a model folder, and its export to ONNX."""

import json
import sys
import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

sys.path.append(str(Path(__file__).parent.parent / "Tests" / "Reference"))
from zetascale_model import DEFAULTS, gpt4_multi_modal  # noqa: E402

warnings.filterwarnings("ignore", message=".*sdp_kernel.*")


class EncoderAlone(nn.Module):
    """The vision transformer as GPT4MultiModal calls it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.encoder = model.encoder

    def forward(self, img: Tensor) -> Tensor:
        return self.encoder(img, return_embeddings=True)


def load_zetascale(folder: Path) -> nn.Module:
    """The model that folder/config.json describes, with the weights in folder/model.safetensors."""
    given = json.loads((folder / "config.json").read_text())
    config = {name: given.get(name, default) for name, default in DEFAULTS.items()}
    model = gpt4_multi_modal()(**config)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval()


def export(model: nn.Module, inputs: dict[str, Tensor], output: str, path: Path) -> None:
    """Writes an ONNX file for inputs of exactly these shapes, which leaves most to be computed beforehand."""
    with torch.no_grad():
        torch.onnx.export(
            model, tuple(inputs.values()), str(path), input_names=list(inputs), output_names=[output], dynamo=True,
            verbose=False)


def main() -> None:
    """python zetascale.py MODEL INPUT OUT: writes OUT/forward.onnx and OUT/encode.onnx."""
    model_folder, input_file, out = (Path(argument) for argument in sys.argv[1:])
    model = load_zetascale(model_folder)
    inputs = load_file(input_file)
    img, text = inputs["img"], inputs["text"]
    export(model, {"img": img, "text": text}, "logits", out / "forward.onnx")
    export(EncoderAlone(model).eval(), {"img": img}, "embeddings", out / "encode.onnx")


if __name__ == "__main__":
    main()

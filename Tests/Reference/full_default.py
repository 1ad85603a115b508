"""Writes Tests/Fixtures/parity/full-default.safetensors: a sample of the logits of the full default model, whose weights
zetascale makes from a seed. LibTorch draws the same numbers from that seed in Swift, so the weights need not be kept.

With a folder as argument it also writes there a model folder with these weights, in.safetensors and expected.safetensors,
to check `gpt4mm forward` with."""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

import documented
from zetascale_model import DEFAULTS, gpt4_multi_modal

SEED, IMAGE_SEED, STRIDE = 42, 43, 97
FIXTURE = Path(__file__).parent.parent / "Fixtures" / "parity" / "full-default.safetensors"

if __name__ == "__main__":
    torch.manual_seed(SEED)
    model = gpt4_multi_modal()(**DEFAULTS).eval()
    img = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(IMAGE_SEED))
    text = torch.randint(0, DEFAULTS["num_tokens"], (1, 50))
    with torch.no_grad():
        logits = model(img, text)
        said = documented.forward(DEFAULTS, model.state_dict(), img, text)
    save_file(
        {
            "text": text,
            "zetascale": logits[:, :, ::STRIDE].contiguous(),
            "documented": said[:, :, ::STRIDE].contiguous(),
            "weight_sums": torch.stack([p.double().sum() for _, p in sorted(model.named_parameters())]).float(),
        },
        FIXTURE, {"seed": str(SEED), "image_seed": str(IMAGE_SEED), "stride": str(STRIDE)})
    if len(sys.argv) > 1:
        out = Path(sys.argv[1])
        out.mkdir(parents=True, exist_ok=True)
        (out / "config.json").write_text(json.dumps(DEFAULTS, indent=2))
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, out / "model.safetensors")
        save_file({"img": img, "text": text}, out / "in.safetensors")
        save_file({"logits": logits.contiguous()}, out / "expected-zetascale.safetensors")
        save_file({"logits": said.contiguous()}, out / "expected-documented.safetensors")

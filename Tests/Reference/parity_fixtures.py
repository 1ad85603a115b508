"""Writes Tests/Fixtures/parity: weights, an image and a text, and the logits, the loss and its gradients, computed by
zetascale itself (zetascale-*) and by documented.py (documented-*)."""

import json
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import documented
from zetascale_model import SMALL, gpt4_multi_modal

OUT = Path(__file__).parent.parent / "Fixtures" / "parity"
BUFFERS = (".inv_freq", ".scale")

# name: (changes to SMALL, batch, image height, image width, text length)
ZETASCALE = {
    "plain": ({}, 1, 16, 16, 7),
    "batch": ({}, 3, 16, 16, 5),
    "longest-text": ({}, 1, 16, 16, 12),
    "one-token": ({}, 2, 16, 16, 2),
    "one-patch": ({"image_size": 8}, 1, 8, 8, 6),
    "small-image": ({}, 1, 8, 8, 6),
    "wide-image": ({"image_size": 16}, 1, 8, 32, 6),
    "no-rotary": ({"rotary_xpos": False}, 2, 16, 16, 7),
    "absolute": ({"rotary_xpos": False, "use_abs_pos_emb": True}, 2, 16, 16, 7),
    "absolute-ignored": ({"use_abs_pos_emb": True}, 1, 16, 16, 7),
    "no-alibi": ({"alibi_pos_bias": False}, 1, 16, 16, 7),
    "no-positions": ({"alibi_pos_bias": False, "rotary_xpos": False}, 1, 16, 16, 7),
    "no-flash": ({"attn_flash": False}, 1, 16, 16, 7),
    "no-flash-no-qk-norm": ({"attn_flash": False, "qk_norm": False}, 2, 16, 16, 7),
    "no-qk-norm": ({"qk_norm": False}, 1, 16, 16, 7),
    "alibi-all-heads": ({"alibi_num_heads": 3, "decoder_heads": 3}, 1, 16, 16, 9),
    "five-heads-of-seven": ({"alibi_num_heads": 5, "decoder_heads": 7, "encoder_heads": 5}, 1, 16, 16, 9),
    "deep": ({"encoder_depth": 2, "decoder_depth": 3}, 1, 16, 16, 7),
}
DOCUMENTED = {
    "plain": ({}, 1, 16, 16, 7),
    "batch": ({}, 3, 16, 16, 5),
    "longest-text": ({}, 1, 16, 16, 12),
    "wide-image": ({}, 1, 8, 32, 6),
    "no-qk-norm": ({"qk_norm": False}, 2, 16, 16, 7),
    "no-rotary": ({"rotary_xpos": False}, 1, 16, 16, 7),
    "no-alibi": ({"alibi_pos_bias": False}, 1, 16, 16, 7),
    "no-positions": ({"alibi_pos_bias": False, "rotary_xpos": False}, 1, 16, 16, 7),
    "no-flash": ({"attn_flash": False}, 1, 16, 16, 7),
    "absolute": ({"use_abs_pos_emb": True}, 2, 16, 16, 7),
    "absolute-alone": ({"use_abs_pos_emb": True, "rotary_xpos": False, "alibi_pos_bias": False}, 1, 16, 16, 7),
    "before": ({"cross_attend": False}, 2, 16, 16, 7),
    "before-absolute": ({"cross_attend": False, "use_abs_pos_emb": True}, 1, 16, 16, 12),
    "before-no-rotary": ({"cross_attend": False, "rotary_xpos": False}, 1, 16, 16, 7),
    "before-no-alibi": ({"cross_attend": False, "alibi_pos_bias": False, "qk_norm": False}, 1, 8, 8, 7),
    "before-wider": ({"cross_attend": False, "encoder_dim": 12, "attn_flash": False}, 1, 16, 16, 7),
    "wider-decoder": ({"encoder_dim": 6, "decoder_depth": 2}, 2, 16, 16, 7),
    "wider-encoder": ({"encoder_dim": 10, "decoder_dim": 6}, 1, 16, 16, 7),
    "five-heads-of-seven": ({"alibi_num_heads": 5, "decoder_heads": 7, "encoder_heads": 5}, 1, 16, 16, 9),
    "padded-right": ({}, 3, 16, 16, 7),
    "padded-left": ({"use_abs_pos_emb": True}, 3, 16, 16, 7),
    "padded-left-before": ({"cross_attend": False}, 3, 16, 16, 7),
}


def loss_of(logits, text, mask):
    targets = text[:, 1:]
    if mask is not None:
        # a target counts where both it and the token that predicts it are real
        targets = targets.masked_fill(~(mask[:, 1:] & mask[:, :-1]), -100)
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten(), ignore_index=-100)


def padding(name, batch, length):
    if not name.startswith("padded"):
        return None
    counts = torch.tensor([length, length - 2, length - 4])[:, None]
    place = torch.arange(length)[None]
    return place < counts if "right" in name else place >= length - counts


def write(kind, name, config, run, weights, trainable, batch, height, width, length):
    img = torch.randn(batch, 3, height, width)
    text = torch.randint(0, config["num_tokens"], (batch, length))
    mask = padding(name, batch, length)
    logits = run(img, text, mask)
    if mask is not None:
        for row in range(batch):
            alone = run(img[row : row + 1], text[row][mask[row]][None], None)
            difference = (alone[0] - logits[row][mask[row]]).abs().max().item()
            assert difference < 1e-5, f"{kind}-{name}: padding changes row {row} by {difference}"
    loss = loss_of(logits, text, mask)
    loss.backward()
    tensors = {f"weights.{k}": v.detach().clone().contiguous() for k, v in weights.items()}
    tensors |= {f"gradients.{k}": v.grad.contiguous() for k, v in trainable.items() if v.grad is not None}
    tensors |= {"img": img, "text": text, "logits": logits.detach().contiguous(), "loss": loss.detach()}
    if mask is not None:
        tensors["mask"] = mask
    save_file(tensors, OUT / f"{kind}-{name}.safetensors", {"config": json.dumps(config), "behaviour": kind})


def zetascale(name, changes, *shape):
    config = dict(SMALL, **changes)
    model = gpt4_multi_modal()(**config)
    with torch.no_grad():  # norms that do something
        for key, value in model.named_parameters():
            if value.ndim == 1:
                value += 0.1 * torch.randn_like(value)
    write(
        "zetascale", name, config, lambda img, text, mask: model(img, text), model.state_dict(),
        dict(model.named_parameters()), *shape)


def documented_behaviour(name, changes, *shape):
    config = dict(SMALL, **changes)
    weights = documented.random_weights(config)
    trainable = {k: v.requires_grad_() for k, v in weights.items() if not k.endswith(BUFFERS)}
    write(
        "documented", name, config, lambda img, text, mask: documented.forward(config, weights, img, text, mask),
        weights, trainable, *shape)


def check_against_zetascale():
    """Where zetascale's bugs do not reach, both must agree."""
    config = dict(SMALL, rotary_xpos=False, use_abs_pos_emb=True, qk_norm=False)
    model = gpt4_multi_modal()(**config)
    img, text = torch.randn(2, 3, 16, 16), torch.randint(0, config["num_tokens"], (2, 9))
    difference = (model(img, text) - documented.forward(config, model.state_dict(), img, text)).abs().max().item()
    assert difference < 1e-5, f"documented.py differs from zetascale by {difference}"


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.glob("*.safetensors"):
        if old.name.startswith(("zetascale-", "documented-")):
            old.unlink()
    torch.manual_seed(1)
    check_against_zetascale()
    for kind, cases, make in (("zetascale", ZETASCALE, zetascale), ("documented", DOCUMENTED, documented_behaviour)):
        for index, (name, (changes, *shape)) in enumerate(cases.items()):
            torch.manual_seed(1000 + index)
            make(name, changes, *shape)
            print(f"{kind}-{name}", file=sys.stderr)

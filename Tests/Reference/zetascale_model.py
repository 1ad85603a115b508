"""zetascale 2.8.8's GPT4MultiModal, imported without the package's unrelated dependencies."""

import functools
import importlib.util
import sys
import types
from pathlib import Path


@functools.cache
def gpt4_multi_modal():
    """The class itself, unchanged."""
    root = Path(importlib.util.find_spec("zeta").submodule_search_locations[0])
    for name in ("zeta", "zeta.structs", "zeta.models"):
        module = types.ModuleType(name)
        module.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = module
    wrapper = types.ModuleType("zeta.structs.auto_regressive_wrapper")
    wrapper.AutoRegressiveWrapper = type("AutoRegressiveWrapper", (), {})
    sys.modules["zeta.structs.auto_regressive_wrapper"] = wrapper
    from zeta.models.gpt4 import GPT4MultiModal

    return GPT4MultiModal


DEFAULTS = dict(
    image_size=256, patch_size=32, encoder_dim=512, encoder_depth=6, encoder_heads=8, num_tokens=20000,
    max_seq_len=1024, decoder_dim=512, decoder_depth=6, decoder_heads=8, alibi_num_heads=4, use_abs_pos_emb=False,
    cross_attend=True, alibi_pos_bias=True, rotary_xpos=True, attn_flash=True, qk_norm=True,
)
# Small enough that fixtures with all weights and gradients are about 100 kB each.
SMALL = dict(
    DEFAULTS, image_size=16, patch_size=8, encoder_dim=8, encoder_depth=1, encoder_heads=1, num_tokens=29,
    max_seq_len=12, decoder_dim=8, decoder_depth=1, decoder_heads=2, alibi_num_heads=1,
)

"""The documented behaviour of GPT4MultiModal in plain PyTorch, written for reading: one function per concept, weights by
zetascale's names. It shares no code with zetascale or with the Swift implementation."""

import math

import torch
import torch.nn.functional as F

HEAD = 64
ROTARY = 32


def linear(x, w, name):
    return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))


def layer_norm(x, w, name):
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], 1e-5)


def feed_forward(x, w, name):
    return linear(F.gelu(linear(x, w, f"{name}.ff.0.0")), w, f"{name}.ff.2")


def split_heads(x):
    batch, length, width = x.shape
    return x.view(batch, length, width // HEAD, HEAD).transpose(1, 2)


def alibi_slopes(n):
    """The ALiBi paper's rule, for any number of heads."""
    def power_of_two(n):
        return [2 ** (-8 * (i + 1) / n) for i in range(n)]

    lower = 2 ** math.floor(math.log2(n))
    return power_of_two(lower) + power_of_two(2 * lower)[0::2][: n - lower]


def rotate(x, positions, sign):
    """Rotary embedding with xPos on the first ROTARY elements; sign +1 for queries, -1 for keys."""
    index = torch.arange(0, ROTARY, 2, dtype=torch.float32)
    angle = positions[:, None, :, None].float() * (1 / 10000 ** (index / ROTARY))
    zeta = (index + 0.4 * ROTARY) / (1.4 * ROTARY)
    scale = zeta ** (sign * positions[:, None, :, None].float() / 512)
    first, second, rest = x[..., : ROTARY // 2], x[..., ROTARY // 2 : ROTARY], x[..., ROTARY:]
    turned_first = (first * angle.cos() - second * angle.sin()) * scale
    turned_second = (second * angle.cos() + first * angle.sin()) * scale
    return torch.cat([turned_first, turned_second, rest], dim=-1)


def attention(x, context, w, name, *, qk_norm=False, bias=None, hidden=None, positions=None):
    """bias is added to the logits; hidden is true where a query may not look."""
    q, k, v = (split_heads(linear(t, w, f"{name}.{p}")) for t, p in ((x, "to_q"), (context, "to_k"), (context, "to_v")))
    scale = HEAD**-0.5
    if qk_norm:
        q, k, scale = F.normalize(q, dim=-1), F.normalize(k, dim=-1), 10.0
    if positions is not None:
        q, k = rotate(q, positions, 1), rotate(k, positions, -1)
    logits = q @ k.transpose(-1, -2) * scale
    if bias is not None:
        logits = logits + bias
    if hidden is not None:
        logits = logits.masked_fill(hidden, -1e30)
    out = logits.softmax(-1) @ v
    return linear(out.transpose(1, 2).flatten(2), w, f"{name}.to_out")


def encode(c, w, img):
    p = c["patch_size"]
    batch, channels, height, width = img.shape
    x = img.view(batch, channels, height // p, p, width // p, p).permute(0, 2, 4, 3, 5, 1)
    x = x.reshape(batch, -1, p * p * channels)
    x = layer_norm(x, w, "encoder.patch_to_embedding.0")
    x = linear(x, w, "encoder.patch_to_embedding.1")
    x = layer_norm(x, w, "encoder.patch_to_embedding.2")
    x = x + w["encoder.pos_embedding"][:, : x.shape[1]]
    for depth in range(c["encoder_depth"]):
        name = f"encoder.attn_layers.layers.{2 * depth}"
        normed = layer_norm(x, w, f"{name}.0.0")
        x = x + attention(normed, normed, w, f"{name}.1")
        name = f"encoder.attn_layers.layers.{2 * depth + 1}"
        x = x + feed_forward(layer_norm(x, w, f"{name}.0.0"), w, f"{name}.1")
    x = layer_norm(x, w, "encoder.attn_layers.final_norm")
    return linear(x, w, "encoder_to_decoder") if "encoder_to_decoder.weight" in w else x


def forward(c, w, img, text, mask=None):
    """Logits [batch, length, num_tokens]. mask is true for real tokens, whose positions count from 0 in each row."""
    context = encode(c, w, img)
    batch, length = text.shape
    real = torch.ones_like(text, dtype=torch.bool) if mask is None else mask
    positions = (real.long().cumsum(1) - 1).clamp(min=0)
    x = w["decoder.token_emb.emb.weight"][text]
    if c["use_abs_pos_emb"]:
        x = x + w["decoder.pos_emb.emb.weight"][positions] * c["decoder_dim"] ** -0.5
    if not c["cross_attend"]:
        before = context.shape[1]
        x = torch.cat([context, x], dim=1)
        positions = torch.cat([torch.arange(before).expand(batch, -1), positions + before], dim=1)
        real = torch.cat([torch.ones(batch, before, dtype=torch.bool), real], dim=1)

    total = x.shape[1]
    hidden = torch.ones(total, total, dtype=torch.bool).triu(1) | ~real[:, None, None, :]
    bias = None
    if c["alibi_pos_bias"]:
        slopes = alibi_slopes(c["alibi_num_heads"])
        slopes = torch.tensor(slopes + [0.0] * (c["decoder_heads"] - len(slopes)))
        distance = (positions[:, None, :] - positions[:, :, None]).abs()
        bias = -slopes[None, :, None, None] * distance[:, None]

    blocks = 3 if c["cross_attend"] else 2
    for depth in range(c["decoder_depth"]):
        name = f"decoder.attn_layers.layers.{blocks * depth}"
        normed = layer_norm(x, w, f"{name}.0.0")
        x = x + attention(
            normed, normed, w, f"{name}.1", qk_norm=c["qk_norm"], bias=bias, hidden=hidden,
            positions=positions if c["rotary_xpos"] else None)
        if c["cross_attend"]:
            name = f"decoder.attn_layers.layers.{blocks * depth + 1}"
            x = x + attention(layer_norm(x, w, f"{name}.0.0"), context, w, f"{name}.1", qk_norm=c["qk_norm"])
        name = f"decoder.attn_layers.layers.{blocks * depth + blocks - 1}"
        x = x + feed_forward(layer_norm(x, w, f"{name}.0.0"), w, f"{name}.1")
    x = layer_norm(x, w, "decoder.attn_layers.final_norm")
    return linear(x[:, -length:], w, "decoder.to_logits")


def random_weights(c):
    """Weights of the right names and shapes, large enough that a wrong detail shows."""
    def draw(*shape, std):
        return torch.randn(*shape) * std

    e, d, p = c["encoder_dim"], c["decoder_dim"], c["patch_size"]
    patches = (c["image_size"] // p) ** 2
    w = {"encoder.pos_embedding": draw(1, patches, e, std=1)}

    def norm(name, width):
        w[f"{name}.weight"] = 1 + draw(width, std=0.1)
        w[f"{name}.bias"] = draw(width, std=0.1)

    def dense(name, inputs, outputs, bias=True):
        w[f"{name}.weight"] = draw(outputs, inputs, std=inputs**-0.5)
        if bias:
            w[f"{name}.bias"] = draw(outputs, std=0.1)

    def attend(name, dim, heads):
        for part in ("to_q", "to_k", "to_v"):
            dense(f"{name}.{part}", dim, heads * HEAD, bias=False)
        dense(f"{name}.to_out", heads * HEAD, dim, bias=False)

    def stack(name, dim, depth, heads, blocks):
        for layer in range(depth * len(blocks)):
            norm(f"{name}.layers.{layer}.0.0", dim)
            if blocks[layer % len(blocks)] == "f":
                dense(f"{name}.layers.{layer}.1.ff.0.0", dim, 4 * dim)
                dense(f"{name}.layers.{layer}.1.ff.2", 4 * dim, dim)
            else:
                attend(f"{name}.layers.{layer}.1", dim, heads)
        norm(f"{name}.final_norm", dim)

    norm("encoder.patch_to_embedding.0", 3 * p * p)
    dense("encoder.patch_to_embedding.1", 3 * p * p, e)
    norm("encoder.patch_to_embedding.2", e)
    stack("encoder.attn_layers", e, c["encoder_depth"], c["encoder_heads"], "af")
    if e != d:
        dense("encoder_to_decoder", e, d)
    w["decoder.token_emb.emb.weight"] = draw(c["num_tokens"], d, std=(2 / d) ** 0.5)
    if c["use_abs_pos_emb"]:
        w["decoder.pos_emb.emb.weight"] = draw(c["max_seq_len"], d, std=1)
    stack("decoder.attn_layers", d, c["decoder_depth"], c["decoder_heads"], "acf" if c["cross_attend"] else "af")
    if c["rotary_xpos"]:
        index = torch.arange(0, ROTARY, 2).float()
        w["decoder.attn_layers.rotary_pos_emb.inv_freq"] = 1 / 10000 ** (index / ROTARY)
        w["decoder.attn_layers.rotary_pos_emb.scale"] = (index + 0.4 * ROTARY) / (1.4 * ROTARY)
    dense("decoder.to_logits", d, c["num_tokens"])
    return w

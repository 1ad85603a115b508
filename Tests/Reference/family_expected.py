"""What a vision encoder-decoder of transformers gives: hidden states, logits, searches, rules, a loss and its gradients."""

import json
import re
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, VisionEncoderDecoderModel

NEW_TOKENS = 10
MARGIN = 2e-2  # between the best and the second score, all along a greedy text
NOISE = 1e-3  # no search changes when this is added to every score
RULES = {
    "temperature": {"temperature": 0.7, "top_k": 0},
    "top-k": {"top_k": 5},
    "top-p": {"top_k": 0, "top_p": 0.8},
    "all": {"temperature": 0.8, "top_k": 12, "top_p": 0.9, "repetition_penalty": 1.4},
}
SEARCHES = {
    "greedy": {"num_beams": 1},
    "beam-4": {"num_beams": 4},
    "beam-4-ngram": {"num_beams": 4, "no_repeat_ngram_size": 2, "length_penalty": 2.0, "early_stopping": True},
}
# 5.x names the encoder's layers its own way.
NAMES_4 = [
    (r"encoder\.layers\.(\d+)\.attention\.o_proj", r"encoder.encoder.layer.\1.attention.output.dense"),
    (r"encoder\.layers\.(\d+)\.attention\.q_proj", r"encoder.encoder.layer.\1.attention.attention.query"),
    (r"encoder\.layers\.(\d+)\.attention\.k_proj", r"encoder.encoder.layer.\1.attention.attention.key"),
    (r"encoder\.layers\.(\d+)\.attention\.v_proj", r"encoder.encoder.layer.\1.attention.attention.value"),
    (r"encoder\.layers\.(\d+)\.mlp\.fc1", r"encoder.encoder.layer.\1.intermediate.dense"),
    (r"encoder\.layers\.(\d+)\.mlp\.fc2", r"encoder.encoder.layer.\1.output.dense"),
    (r"encoder\.layers\.(\d+)\.", r"encoder.encoder.layer.\1."),
]


def name_4(name: str) -> str:
    for pattern, replacement in NAMES_4:
        name = re.sub("^" + pattern, replacement, name)
    return name


class Noise(LogitsProcessor):
    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, input_ids, scores):
        return scores + NOISE * (2 * torch.rand(scores.shape, generator=self.generator) - 1)


class Unsteady(Exception):
    """Another seed must be taken: what this one gives hangs on rounding."""


def load(folder, eager=False) -> VisionEncoderDecoderModel:
    options = {"attn_implementation": "eager"} if eager else {}
    model = VisionEncoderDecoderModel.from_pretrained(folder, dtype=torch.float32, **options).eval()
    if model.config.decoder.model_type == "trocr" and not model.config.decoder.use_learned_position_embeddings:
        table = model.decoder.model.decoder.embed_positions  # 5.24 leaves it without numbers
        table.weights = table.get_embedding(table.weights.shape[0], table.embedding_dim, table.padding_idx)
    mend_head_bias(model, Path(folder) / "model.safetensors")
    return model


def mend_head_bias(model, file: Path):
    """Untied, 4.57 and 5.24 take the other's bias for BERT's head: the layer's own bias is right, else the one beside it."""
    head = model.decoder.get_output_embeddings()
    if head.bias is None or model.config.decoder.tie_word_embeddings or not file.exists():
        return
    weights = load_file(file)
    beside = "decoder.cls.predictions" if model.config.decoder.model_type == "bert" else "decoder.lm_head"
    with torch.no_grad():
        head.bias.copy_(weights.get(f"{beside}.decoder.bias", weights[f"{beside}.bias"]))


def resolved(model) -> dict:
    """The generation settings that differ from the defaults."""
    keys = ["decoder_start_token_id", "bos_token_id", "eos_token_id", "pad_token_id", "max_length", "min_length", "num_beams",
            "early_stopping", "length_penalty", "no_repeat_ngram_size", "repetition_penalty", "forced_bos_token_id",
            "forced_eos_token_id", "suppress_tokens", "begin_suppress_tokens"]
    standard = {"max_length": 20, "min_length": 0, "num_beams": 1, "early_stopping": False, "length_penalty": 1.0,
                "no_repeat_ngram_size": 0, "repetition_penalty": 1.0}
    found = {key: getattr(model.generation_config, key, None) for key in keys}
    return {key: value for key, value in found.items() if value is not None and value != standard.get(key)}


def rows(sequences, prompt, ends) -> list[list[int]]:
    """Each row up to its end, which begins after the prompt."""
    texts = []
    for row in sequences.tolist():
        stop = next((i for i in range(prompt, len(row)) if row[i] in ends), len(row) - 1)
        texts.append(row[: stop + 1])
    return texts


def search(model, pixels, options, noise=None, prompt=None):
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    prompts = {} if prompt is None else {"decoder_input_ids": prompt}
    processors = LogitsProcessorList([] if noise is None else [Noise(noise)])
    out = model.generate(pixels, do_sample=False, output_scores=True, return_dict_in_generate=True,
                         logits_processor=processors, **prompts, **options)
    given = 1 if prompt is None else prompt.shape[1]
    texts = rows(out.sequences, given, ends)
    scores = out.sequences_scores.tolist() if getattr(out, "sequences_scores", None) is not None else None
    margins = []
    if scores is None:
        for step, score in enumerate(out.scores):
            best = score.topk(2, dim=-1).values
            margins += [(best[i, 0] - best[i, 1]).item() for i in range(len(texts)) if given + step < len(texts[i])]
    return {"ids": texts, "scores": scores, "margin": min(margins) if margins else None}


def steady_search(model, pixels, options, prompt=None) -> dict:
    found = search(model, pixels, options, prompt=prompt)
    if found["margin"] is not None and found["margin"] < MARGIN:
        raise Unsteady("margin")
    if any(search(model, pixels, options, noise, prompt)["ids"] != found["ids"] for noise in range(3)):
        raise Unsteady("noise")
    for row in range(len(pixels)):
        alone = search(model, pixels[row : row + 1], options, prompt=None if prompt is None else prompt[row : row + 1])
        assert alone["ids"] == found["ids"][row : row + 1], "a row alone differs from the row in its batch"
        if found["scores"] is not None:
            assert abs(alone["scores"][0] - found["scores"][row]) < 1e-4
    return {key: value for key, value in found.items() if value is not None}


def rule(model, pixels, prompt, options, noise=None):
    processors = LogitsProcessorList([] if noise is None else [Noise(noise)])
    out = model.generate(pixels, decoder_input_ids=prompt, do_sample=True, num_beams=1, max_new_tokens=2, output_scores=True,
                         return_dict_in_generate=True, logits_processor=processors, **options)
    return out.scores[0].log_softmax(-1)


def steady_rule(model, pixels, prompt, options):
    found = rule(model, pixels, prompt, options)
    if any(not torch.equal(rule(model, pixels, prompt, options, noise).isinf(), found.isinf()) for noise in range(3)):
        raise Unsteady("rule")
    return found


def training(model, pixels, labels):
    """The loss as 5.x has it, over unpadded labels: label i is what follows input i. 4.57's own loss moves labels once more."""
    settings = model.generation_config
    start = settings.decoder_start_token_id if settings.decoder_start_token_id is not None else settings.bos_token_id
    inputs = torch.cat([torch.full_like(labels[:, :1], start), labels[:, :-1]], dim=1)
    logits = model(pixel_values=pixels, decoder_input_ids=inputs, use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    model.zero_grad()
    loss.backward()
    norms = {name_4(name): value.grad.norm().item() for name, value in model.named_parameters() if value.grad is not None}
    return loss.item(), norms


def attentions(folder, pixels, prompt) -> dict:
    model = load(folder, eager=True)
    out = model(pixel_values=pixels, decoder_input_ids=prompt, output_attentions=True)
    maps = {"encoder": out.encoder_attentions, "self": out.decoder_attentions, "cross": out.cross_attentions}
    return {f"attention.{kind}.{layer}": value for kind, values in maps.items() for layer, value in enumerate(values)}


def expected(folder, case, inputs, settings=None):
    """Tensors and facts of the folder's model; `settings` in place of the generation settings that it finds."""
    model = load(folder, eager="eager" in case.extras)
    facts = {"resolved": resolved(model)}
    if settings is not None:
        model.generation_config = GenerationConfig(**settings)
    pixels, prompt = inputs["pixel_values"], inputs["decoder_input_ids"]
    with torch.no_grad():
        out = model(pixel_values=pixels, decoder_input_ids=prompt, use_cache=False)
        first = model(pixel_values=pixels, decoder_input_ids=prompt[:, :1], use_cache=False).logits[:, 0]
        tensors = {"last_hidden_state": out.encoder_last_hidden_state, "logits": out.logits, "first_logits": first}
        if "padded" in case.extras:
            padded = {"decoder_input_ids": inputs["padded.decoder_input_ids"], "use_cache": False}
            tensors["padded.logits"] = model(pixel_values=pixels, **padded).logits
        if "interpolated" in case.extras:
            larger = model.encoder(inputs["interpolated.pixel_values"], interpolate_pos_encoding=True)
            tensors["interpolated.last_hidden_state"] = larger.last_hidden_state
        searches = {name: {"max_new_tokens": NEW_TOKENS, **options} for name, options in (SEARCHES | case.searches).items()}
        searches = {"as-the-folder-says": {}, **searches}
        facts["searches"] = {name: {"options": options, **steady_search(model, pixels, options)} for name, options in searches.items()}
        given = {"num_beams": 1, "max_new_tokens": 6}
        after = steady_search(model, pixels, given, prompt)
        facts["searches"]["greedy-after-a-prompt"] = {"options": given, "prompt": prompt.tolist(), **after}
        facts["rules"] = RULES
        for name, options in RULES.items():
            tensors[f"rules.{name}"] = steady_rule(model, pixels, prompt, options)
        if "attentions" in case.extras:
            tensors |= attentions(folder, pixels, prompt)
    facts["loss"], facts["gradient_norms"] = training(model, pixels, inputs["labels"])
    return {name: tensor.detach().float().contiguous() for name, tensor in tensors.items()}, facts


def differences(tensors, facts, other_tensors, other_facts) -> float:
    """The largest difference of numbers; ids and settings must be the same."""
    largest = 0.0
    for name, tensor in tensors.items():
        a, b = tensor.nan_to_num(neginf=-1e3), other_tensors[name].nan_to_num(neginf=-1e3)
        largest = max(largest, (a - b).abs().max().item())
    for name, found in facts["searches"].items():
        other = other_facts["searches"][name]
        assert found["ids"] == other["ids"], f"{name}: {found['ids']} and {other['ids']}"
        largest = max([largest] + [abs(a - b) for a, b in zip(found.get("scores", []), other.get("scores", []))])
    assert abs(facts["loss"] - other_facts["loss"]) < 1e-5
    for name, norm in facts["gradient_norms"].items():
        assert abs(norm - other_facts["gradient_norms"].get(name, norm)) < 1e-3 * (1 + norm), name
    return largest


def write_facts(path, facts):
    """One line for each search, so that a person can read it."""
    text = json.dumps(facts, indent=1)
    text = re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda match: "[" + re.sub(r"\s+", " ", match[1]) + "]", text)
    path.write_text(text + "\n")

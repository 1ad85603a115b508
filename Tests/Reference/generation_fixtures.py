"""Writes Tests/Fixtures/generation: what Hugging Face's transformers does with the same logits.

rules.safetensors: for each case NAME, `NAME.before` [rows, vocabulary], `NAME.tokens` [rows, length], `NAME.after`; its options
are JSON in the metadata. beams.safetensors: a model that is a table of logits over the next token given the last two,
`table` [V, V, V]; for each case `NAME.prompt` [batch, length], `NAME.sequences` padded with -1 and `NAME.scores`."""

import json
import random
import warnings
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel
from transformers.generation import GenerationMixin, LogitsProcessorList
from transformers.generation import logits_process as hf
from transformers.modeling_outputs import CausalLMOutput

OUT = Path(__file__).parent.parent / "Fixtures" / "generation"
VOCABULARY, PAD, EOS = 12, 0, 2
warnings.filterwarnings("ignore")

RULES = {
    "temperature": {"temperature": 0.7},
    "top-k": {"temperature": 1.0, "top_k": 4},
    "top-k-one": {"temperature": 1.0, "top_k": 1},
    "top-p": {"temperature": 1.0, "top_p": 0.6},
    "top-p-small": {"temperature": 1.0, "top_p": 0.01},
    "min-p": {"temperature": 1.0, "min_p": 0.15},
    "repetition": {"repetition_penalty": 1.4},
    "n-gram-2": {"no_repeat_ngram_size": 2},
    "n-gram-3": {"no_repeat_ngram_size": 3},
    "min-new-tokens": {"min_new_tokens": 9, "stop_tokens": [EOS, 5]},
    "min-new-tokens-reached": {"min_new_tokens": 3, "stop_tokens": [EOS]},
    "bias": {"logit_bias": {"3": -4.0, "7": 2.5}},
    "penalties": {"presence_penalty": 0.6, "frequency_penalty": 0.3},
    "all": {
        "logit_bias": {"3": 1.0}, "repetition_penalty": 1.2, "no_repeat_ngram_size": 3, "min_new_tokens": 9,
        "stop_tokens": [EOS], "temperature": 0.8, "top_k": 8, "top_p": 0.9, "min_p": 0.05,
    },
}
PROMPT_LENGTH = 2


def rule(name, options):
    tokens = torch.randint(0, 6, (3, 8))
    before = torch.randn(3, VOCABULARY) * 2
    processors = LogitsProcessorList()  # in the order of GenerationMixin._get_logits_processor
    if "logit_bias" in options:
        processors.append(hf.SequenceBiasLogitsProcessor([[[int(k)], v] for k, v in options["logit_bias"].items()]))
    if "repetition_penalty" in options:
        processors.append(hf.RepetitionPenaltyLogitsProcessor(options["repetition_penalty"]))
    if "no_repeat_ngram_size" in options:
        processors.append(hf.NoRepeatNGramLogitsProcessor(options["no_repeat_ngram_size"]))
    if "min_new_tokens" in options:
        processors.append(
            hf.MinNewTokensLengthLogitsProcessor(PROMPT_LENGTH, options["min_new_tokens"], options["stop_tokens"]))
    if options.get("temperature", 1.0) != 1.0:
        processors.append(hf.TemperatureLogitsWarper(options["temperature"]))
    if "top_k" in options:
        processors.append(hf.TopKLogitsWarper(options["top_k"]))
    if "top_p" in options:
        processors.append(hf.TopPLogitsWarper(options["top_p"]))
    if "min_p" in options:
        processors.append(hf.MinPLogitsWarper(options["min_p"]))
    after = processors(tokens, before.clone())
    # OpenAI: mu[j] - c[j] * frequency - (c[j] > 0) * presence, over what was generated
    if "presence_penalty" in options:
        counts = torch.stack([torch.bincount(row, minlength=VOCABULARY) for row in tokens[:, PROMPT_LENGTH:]])
        after = after - counts * options["frequency_penalty"] - (counts > 0) * options["presence_penalty"]
    return {f"{name}.before": before, f"{name}.tokens": tokens, f"{name}.after": after.float().contiguous()}


class TableModel(PreTrainedModel, GenerationMixin):
    config_class = PretrainedConfig

    def __init__(self, table):
        super().__init__(PretrainedConfig(vocab_size=VOCABULARY, num_hidden_layers=1, is_decoder=True))
        self.table = torch.nn.Parameter(table)
        self.generation_config = GenerationConfig(pad_token_id=PAD, eos_token_id=EOS)

    def forward(self, input_ids=None, attention_mask=None, **_):
        before = torch.cat([input_ids[:, :1], input_ids[:, :-1]], dim=1)
        return CausalLMOutput(logits=self.table[before, input_ids])

    def prepare_inputs_for_generation(self, input_ids, attention_mask=None, **_):
        return {"input_ids": input_ids}


BEAMS = {
    "two": dict(num_beams=2),
    "three-returned": dict(num_beams=3, num_return_sequences=3),
    "five": dict(num_beams=5, num_return_sequences=2),
    "short-preferred": dict(num_beams=3, length_penalty=0.5),
    "long-preferred": dict(num_beams=3, length_penalty=2.0, num_return_sequences=2),
    "negative-penalty": dict(num_beams=3, length_penalty=-1.0),
    "early": dict(num_beams=3, early_stopping=True, num_return_sequences=3),
    "never": dict(num_beams=3, early_stopping="never", num_return_sequences=3),
    "never-negative": dict(num_beams=4, early_stopping="never", length_penalty=-0.5),
    "n-gram": dict(num_beams=3, no_repeat_ngram_size=2, num_return_sequences=2),
    "repetition": dict(num_beams=4, repetition_penalty=1.5, num_return_sequences=4),
    "minimum": dict(num_beams=3, min_new_tokens=5, num_return_sequences=3),
}
LIMIT = 9
RANDOM_BEAMS = 120


def random_beams():
    """Options in combinations that nobody thought of, several stop tokens among them."""
    draw = random.Random(4)
    for index in range(RANDOM_BEAMS):
        beams = draw.randint(2, 6)
        options = dict(num_beams=beams, num_return_sequences=draw.randint(1, beams))
        if draw.random() < 0.6:
            options["length_penalty"] = draw.choice([-2.0, -0.5, 0.0, 0.3, 1.7, 5.0])
        options["early_stopping"] = draw.choice([True, False, "never"])
        if draw.random() < 0.3:
            options["no_repeat_ngram_size"] = draw.choice([2, 3])
        if draw.random() < 0.3:
            options["repetition_penalty"] = draw.choice([0.7, 1.3, 2.0])
        if draw.random() < 0.3:
            options["min_new_tokens"] = draw.randint(1, 9)
        options["stop_tokens"] = draw.choice([[EOS], [EOS], [EOS, 5], [EOS, 5, 7]])
        yield f"random-{index}", options


def beam(name, options, model):
    options = dict(options)
    ends_with = options.pop("stop_tokens", [EOS])
    prompt = torch.tensor([[1, 4], [1, 7]])
    out = model.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=LIMIT, do_sample=False, use_cache=False,
        output_scores=True, return_dict_in_generate=True, eos_token_id=ends_with, **options)
    sequences = out.sequences[:, prompt.shape[1] :].clone()
    for row in sequences:  # what follows the end is padding
        ends = torch.isin(row, torch.tensor(ends_with)).nonzero()
        if len(ends):
            row[ends[0, 0] + 1 :] = -1
    return {
        f"{name}.prompt": prompt, f"{name}.sequences": sequences.contiguous(),
        f"{name}.scores": out.sequences_scores.contiguous(),
    }


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(5)
    tensors = {}
    for name, options in RULES.items():
        tensors |= rule(name, options)
    save_file(tensors, OUT / "rules.safetensors", {"cases": json.dumps(RULES), "prompt_length": str(PROMPT_LENGTH)})

    table = torch.randn(VOCABULARY, VOCABULARY, VOCABULARY) * 1.5
    table[:, :, EOS] += 0.7
    model = TableModel(table).eval()
    tensors = {"table": table}
    cases = BEAMS | dict(random_beams())
    for name, options in cases.items():
        tensors |= beam(name, options, model)
    save_file(tensors, OUT / "beams.safetensors", {"cases": json.dumps(cases), "limit": str(LIMIT), "eos": str(EOS)})

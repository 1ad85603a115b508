"""The vision encoder-decoders of Tests/Fixtures/families: one `Case` each, over the rows and variants that people's checkpoints have."""

from dataclasses import dataclass, field

VOCABULARY = 64


@dataclass
class Case:
    name: str
    encoder: dict  # keys of the encoder's configuration beside small defaults; "kind" is vit or deit
    decoder: dict  # likewise; "kind" is trocr, gpt2, bert or roberta
    top: dict = field(default_factory=dict)  # keys of config.json itself: start token, lengths, beams as older folders have them
    generation: dict | None = None  # generation_config.json; None: the file that save_pretrained derives; {}: no file
    writer: int = 4  # the transformers that writes the folder
    file: str = "safetensors"  # or bin, sharded, sharded-bin, names-5 (5.x's own names), legacy (gamma and beta, and buffers of old)
    dtype: str = "float32"  # of the weights in the file
    deviation: float = 0.3
    extras: tuple = ()  # attentions, interpolated, padded: more is expected; eager: its attention must be; no-pooler: the file has none
    searches: dict = field(default_factory=dict)  # more searches by name, with their options
    same_resolution: bool = True  # 5.x finds the same start, end and padding without a generation_config.json


def vit(width=32, heads=1, **keys):
    return {"kind": "vit", "hidden_size": width, "num_attention_heads": heads, **keys}


def deit(width=32, heads=1, **keys):
    return {**vit(width, heads, **keys), "kind": "deit"}


def trocr(width=32, heads=1, **keys):
    return {"kind": "trocr", "d_model": width, "decoder_attention_heads": heads, **keys}


def gpt2(width=32, heads=1, **keys):
    end = VOCABULARY - 1
    return {"kind": "gpt2", "n_embd": width, "n_head": heads, "bos_token_id": end, "eos_token_id": end, **keys}


def bert(width=32, heads=1, **keys):
    return {"kind": "bert", "hidden_size": width, "num_attention_heads": heads, **keys}


def roberta(width=32, heads=1, **keys):
    return {**bert(width, heads, **keys), "kind": "roberta"}


SINUSOIDAL = {"use_learned_position_embeddings": False}
MANGA = {"decoder_start_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
BERT_TOKENS = {"decoder_start_token_id": 2, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
TROCR_TOKENS = {"decoder_start_token_id": 2, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}

CASES = [
    # TrOCR's decoder: as the base models of 2021 are, as their first stage is, and as the small ones are.
    Case("vit-trocr-base", vit(64, 2, qkv_bias=False), trocr(cross_attention_hidden_size=64), extras=("attentions", "no-pooler"),
         searches={"beam-4-short": {"num_beams": 4, "length_penalty": 0.5, "early_stopping": True}}),
    Case("vit-trocr-stage1", vit(qkv_bias=False),
         trocr(cross_attention_hidden_size=32, activation_function="relu", scale_embedding=True, layernorm_embedding=False,
               tie_word_embeddings=False, **SINUSOIDAL), file="bin", extras=("padded",), deviation=0.2),
    Case("deit-trocr-small", deit(), trocr(64, 2, activation_function="relu", scale_embedding=True, decoder_ffn_dim=32,
         tie_word_embeddings=False, cross_attention_hidden_size=32), deviation=0.2),
    Case("vit-trocr-projected", vit(), trocr(48)),
    # One channel, sizes that are lists; no start token but the beginning, as one who names a generation configuration gets it.
    Case("vit-trocr-gray", vit(num_channels=1, image_size=[24, 40], patch_size=[8, 10], qkv_bias=False),
         trocr(), generation={"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}),
    Case("deit-trocr-lists", deit(image_size=[16, 24], patch_size=[4, 6], qkv_bias=False, hidden_act="relu"),
         trocr(layernorm_embedding=False, activation_function="gelu_new")),
    # The sinusoid begins after the padding's row, wherever that is.
    Case("vit-trocr-padding-5", vit(hidden_act="gelu_new"), trocr(pad_token_id=5, **SINUSOIDAL), writer=5, extras=("padded",)),
    Case("vit-trocr-heads-64", vit(64), trocr(activation_function="gelu_new"), extras=("no-pooler",)),
    Case("vit-trocr-names-5", vit(num_hidden_layers=2), trocr(), writer=5, file="names-5"),
    Case("vit-trocr-sharded", vit(num_hidden_layers=2), trocr(activation_function="relu"), file="sharded"),
    Case("vit-trocr-float16", vit(64, 2), trocr(), dtype="float16", extras=("interpolated",)),
    # Every rule that a generation_config.json may state.
    Case("vit-trocr-forced", vit(), trocr(), generation={
        **TROCR_TOKENS, "max_length": 9, "forced_bos_token_id": 11, "forced_eos_token_id": 2, "suppress_tokens": [7, 8],
        "begin_suppress_tokens": [2, 9], "no_repeat_ngram_size": 2, "num_beams": 3}),
    Case("vit-trocr-two-ends", vit(), trocr(), generation={
        **TROCR_TOKENS, "eos_token_id": [2, 17, 23], "max_length": 14, "min_length": 4, "repetition_penalty": 1.3}),

    # GPT-2: nothing but the end of the text is a special token.
    Case("vit-gpt2", vit(), gpt2(), file="legacy", generation={}, extras=("attentions",),
         top={"decoder_start_token_id": 63, "bos_token_id": 63, "eos_token_id": 63, "pad_token_id": 63}),
    Case("vit-gpt2-inner", vit(), gpt2(64, 2, n_inner=40), writer=5, dtype="bfloat16", generation={
        "bos_token_id": 63, "eos_token_id": 63, "pad_token_id": 63, "max_length": 12, "num_beams": 4}),
    Case("vit-gpt2-untied", vit(48, qkv_bias=False), gpt2(n_inner=40, tie_word_embeddings=False,
         activation_function="gelu")),
    Case("deit-gpt2-sharded", deit(), gpt2(n_inner=40), file="sharded-bin"),
    Case("vit-gpt2-layer-scale", vit(), gpt2(n_layer=2, n_inner=48, scale_attn_by_inverse_layer_idx=True,
         scale_attn_weights=False, reorder_and_upcast_attn=True), extras=("eager",)),

    # BERT and RoBERTa.
    Case("vit-bert", vit(), bert(num_hidden_layers=2), file="legacy", generation={}, top={
        **MANGA, "max_length": 12, "num_beams": 4, "no_repeat_ngram_size": 3, "length_penalty": 2.0, "early_stopping": True}),
    Case("vit-bert-untied", vit(48), bert(hidden_act="relu", tie_word_embeddings=False), generation=BERT_TOKENS),
    Case("vit-bert-untied-5", vit(), bert(tie_word_embeddings=False), writer=5, generation=BERT_TOKENS),
    Case("deit-bert", deit(), bert(64, 2, hidden_act="gelu_new", intermediate_size=32, type_vocab_size=1), dtype="float16",
         generation=BERT_TOKENS, extras=("interpolated",)),
    Case("vit-roberta", vit(), roberta(), extras=("padded",)),
    Case("vit-roberta-untied", vit(), roberta(hidden_act="relu", pad_token_id=3, tie_word_embeddings=False), writer=5),
    Case("deit-roberta", deit(), roberta(hidden_act="gelu_new"), file="bin", generation={}, top={
        "decoder_start_token_id": 0, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1},
        searches={"beam-4-never": {"num_beams": 4, "length_penalty": 1.5, "early_stopping": "never"}}),
    # Nothing at the top and no generation_config.json: the decoder's own tokens, its class's where the file does not say them.
    Case("vit-trocr-nested", vit(), trocr(decoder_start_token_id=3), generation={}, same_resolution=False),
]

SMALL = {
    "vit": {"num_hidden_layers": 1, "intermediate_size": 40, "image_size": 16, "patch_size": 4},
    "trocr": {"vocab_size": VOCABULARY, "decoder_layers": 1, "decoder_ffn_dim": 40, "max_position_embeddings": 24},
    "gpt2": {"vocab_size": VOCABULARY, "n_layer": 1, "n_positions": 24},
    "bert": {"vocab_size": VOCABULARY, "num_hidden_layers": 1, "intermediate_size": 40, "max_position_embeddings": 28},
}
SMALL |= {"deit": SMALL["vit"], "roberta": SMALL["bert"]}

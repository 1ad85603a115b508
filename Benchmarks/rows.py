"""What is compared with what, and the bars to be reached: with AVX-512, and without (AVX2)."""

from dataclasses import dataclass, replace

from bars import Bar, MemoryBar, RatioBar, ReadingBar, ThroughputBar


BEFORE = "before"  # the maker of what an older build of gpt4mm does
MOST_OF_BEFORE = 1.03


@dataclass(frozen=True)
class Contender:
    name: str
    maker: str  # "gpt4mm" or one of peers.py or checkpoint_peers.py
    work: str
    precision: str = "float32"
    model: str = "zetascale"
    input: str = "one"
    batch: int | None = None
    new_tokens: int | None = None
    checkpoint: str = ""  # the shape of checkpoints.py that it runs; none is the house's own model

    @property
    def is_ours(self) -> bool:
        return self.maker == "gpt4mm"

    @property
    def speaks_bench(self) -> bool:
        """Whether it is `gpt4mm bench`, of this build or of the one before."""
        return self.maker in ("gpt4mm", BEFORE)


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    contenders: tuple[Contender, ...]
    bars: tuple[Bar, ...]
    reference: Contender | None = None  # whose output is right
    limit: str = "compute"  # or "memory", or "none"
    note: str = ""
    most_rounds: int | None = None  # where a run takes long

    def rounds(self, wanted: int) -> int:
        return min(wanted, self.most_rounds or wanted)


def _ours(work: str, precision: str = "float32", name: str = "", **more) -> Contender:
    return Contender(name or f"gpt4mm {precision}", "gpt4mm", work, precision, **more)


def _openvino(work: str, precision: str = "float32") -> Contender:
    return Contender(f"OpenVINO {precision}", "openvino", work, precision)


def _onnxruntime(work: str, precision: str = "float32") -> Contender:
    name = "ONNX Runtime" if precision == "float32" else f"ONNX Runtime {precision}"
    return Contender(name, "onnxruntime", work, precision)


def _zetascale(work: str, **more) -> Contender:
    return Contender("zetascale", "zetascale", work, **more)


SHORT = {"float32": "fp32", "bfloat16": "bf16", "int8": "int8"}


def _forward(precision: str, *bars: Bar, others: tuple[Contender, ...]) -> Row:
    ours = _ours("forward", precision)
    return Row(
        f"forward-{SHORT[precision]}", f"One picture of 256 x 256 and 50 tokens to logits, {precision}",
        (ours, *others), (*bars, MemoryBar(ours.name, factor=1.25, plus=150_000_000)),
        reference=_zetascale("forward"))


def _forward_fp32(avx512: bool) -> Row:
    bars = (
        (RatioBar("gpt4mm float32", ("OpenVINO float32",), 0.95), RatioBar("gpt4mm float32", ("zetascale",), 0.55))
        if avx512 else (RatioBar("gpt4mm float32", ("OpenVINO float32", "ONNX Runtime"), 0.95),))
    return _forward(
        "float32", *bars,
        others=(
            _openvino("forward"), _onnxruntime("forward"), _zetascale("forward"),
            Contender("torch.compile", "compile", "forward")))


def _forward_bf16(avx512: bool) -> Row:
    autocast = Contender("zetascale autocast", "zetascale", "forward", "bfloat16")
    if avx512:
        return _forward(
            "bfloat16", RatioBar("gpt4mm bfloat16", ("OpenVINO bfloat16",), 0.95),
            others=(_openvino("forward", "bfloat16"), autocast))
    return _forward(
        "bfloat16", RatioBar("gpt4mm bfloat16", ("gpt4mm float32",), 1),
        others=(_ours("forward"), _openvino("forward"), autocast))


def _forward_int8(avx512: bool) -> Row:
    wider, at_most = (_openvino("forward", "bfloat16"), 0.65) if avx512 else (_openvino("forward"), 0.7)
    peers = (_openvino("forward", "int8"), _onnxruntime("forward", "int8"))
    return _forward(
        "int8", RatioBar("gpt4mm int8", (wider.name,), at_most),
        *(RatioBar("gpt4mm int8", (peer.name,), 1) for peer in peers), others=(*peers, wider))


def _generate(name: str, ours_model: str, zetascale_model: str, exact: bool, note: str) -> Row:
    zetascale = _zetascale("generate", model=zetascale_model, input="prompt")
    ours = _ours("generate", model=ours_model, input="prompt")
    return Row(
        name, "64 tokens greedily from one picture", (ours, zetascale), (RatioBar(ours.name, ("zetascale",), 1 / 12),),
        reference=zetascale if exact else None, limit="none", note=note)


def _decode() -> Row:
    contenders = tuple(
        _ours("decode", precision, model="documented", input="prompt")
        for precision in ("float32", "bfloat16", "int8", "int8_weight_only"))
    reader = _ours("limits", name="reading 512 MiB")
    return Row(
        "decode", "One more token after a cache, batch 1", (*contenders, reader),
        tuple(ReadingBar(contender.name, reader.name, 1.4) for contender in contenders), limit="memory",
        note="The limit is reading the decoder's weights once, at the rate of the contender that reads memory and does "
        "nothing else. A share above 100 % is of weights that stay in the cache.")


def _decode_batch8() -> Row:
    one, eight = (
        _ours("decode", name=f"gpt4mm batch {batch}", model="documented", input="prompt", batch=batch)
        for batch in (1, 8))
    unequal = _ours("decode", name="gpt4mm unequal prompts", model="documented", input="unequal8")
    return Row(
        "decode-batch8", "One more token for each of 8 texts against one text", (eight, one, unequal),
        (ThroughputBar(eight.name, one.name, gain=8, at_least=4), RatioBar(unequal.name, (eight.name,), 1.05)),
        limit="none", note="Of the unequal prompts one has one token, the next two, the last eight.")


def _train(precision: str, bar: Bar, *more: Contender, note: str = "") -> Row:
    zetascale = _zetascale("train", input="batch8")
    return Row(
        f"train-{SHORT[precision]}", f"A training step of 8 pictures with 50 tokens each, {precision}",
        (_ours("train", precision, input="batch8"), zetascale, *more), (bar,), reference=zetascale, note=note)


def _train_bf16(avx512: bool) -> Row:
    if avx512:
        return _train(
            "bfloat16", RatioBar("gpt4mm bfloat16", ("zetascale",), 0.45),
            Contender("zetascale autocast", "zetascale", "train", "bfloat16", input="batch8"))
    return _train(
        "bfloat16", RatioBar("gpt4mm bfloat16", ("gpt4mm float32",), 1.05), _ours("train", input="batch8"),
        note="zetascale's autocast is left out: without AVX-512 a step of it takes more than a minute.")


CHECKPOINTS = ("trocr-small", "trocr-base", "vit-gpt2", "manga-ocr")
LINE_TOKENS = 20
NAMES_OF = {
    "gpt4mm": "gpt4mm", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "transformers": "transformers"}
PEERS_IN = {
    "float32": ("openvino", "onnxruntime", "transformers"), "bfloat16": ("openvino", "transformers"),
    "int8": ("openvino", "onnxruntime"),
}


@dataclass(frozen=True)
class Task:
    """What is asked of every checkpoint, in every precision."""

    name: str
    title: str
    work: str
    input: str = "one"
    is_bound: bool = True  # whether ours must be faster than the peers
    limit: str = "none"  # of decoding too: the weights of a small decoder may stay in the cache
    most_rounds: int | None = None


TASKS = (
    Task("encode", "One picture to hidden states", "encode", is_bound=False, limit="compute"),
    Task("line", f"One picture and {LINE_TOKENS} tokens of it", "generate"),
    Task("lines16", f"16 pictures and {LINE_TOKENS} tokens of each", "generate", "sixteen", most_rounds=4),
    Task("decode", "One more token after a cache, batch 1", "decode", is_bound=False),
    Task("decode16", "One more token after a cache for each of 16 pictures", "decode", "sixteen", is_bound=False),
)


def _checkpoint_row(shape: str, task: Task, precision: str, avx512: bool) -> Row:
    def contender(maker: str, precision: str) -> Contender:
        return Contender(
            f"{NAMES_OF[maker]} {precision}", maker, task.work, precision, model="checkpoint", input=task.input,
            new_tokens=LINE_TOKENS, checkpoint=shape)

    # without AVX-512 nobody else is fast in bfloat16
    theirs = "float32" if precision == "bfloat16" and not avx512 else precision
    ours, right = contender("gpt4mm", precision), contender("transformers", "float32")
    peers = tuple(contender(maker, theirs) for maker in PEERS_IN[theirs])
    others, bars = peers, ()
    if task.name == "decode":
        others = (*peers, reader := _ours("limits", name="reading 512 MiB"))
        bars = (ReadingBar(ours.name, reader.name, 1.4),)
    elif task.is_bound:
        bars = (RatioBar(ours.name, tuple(peer.name for peer in peers), 0.9),)
    if task.name == "line":
        bars += (MemoryBar(ours.name, factor=1.3, plus=200_000_000),)
    # tokens are compared in float32 alone: another precision may choose another one, and then goes another way
    checked = task.work == "encode" or precision == "float32"
    return Row(
        f"{shape}-{task.name}-{SHORT[precision]}", f"{task.title}, {shape}'s shape, {precision}", (ours, *others),
        () if precision == "int8" else bars, reference=right if checked else None, limit=task.limit,
        most_rounds=task.most_rounds)


def _checkpoint_rows(avx512: bool) -> tuple[Row, ...]:
    return tuple(
        _checkpoint_row(shape, task, precision, avx512)
        for shape in CHECKPOINTS for task in TASKS for precision in SHORT)


def rows(avx512: bool) -> tuple[Row, ...]:
    return (
        _forward_fp32(avx512),
        _forward_bf16(avx512),
        _forward_int8(avx512),
        Row(
            "encode", "One picture of 256 x 256 to embeddings, float32",
            (_ours("encode"), _onnxruntime("encode"), _openvino("encode"), _zetascale("encode")),
            (RatioBar("gpt4mm float32", ("ONNX Runtime", "OpenVINO float32"), 0.95),), reference=_zetascale("encode")),
        _generate(
            "generate", "documented", "zetascale", exact=False,
            note="With rotary_xpos as zetascale computes it no cache can be exact, so gpt4mm runs the same weights with "
            "compatibility documented: the tokens differ by design."),
        _generate(
            "generate-exact", "no-rotary", "no-rotary", exact=True,
            note="Without rotary_xpos, where a cache is exact: the tokens must be equal."),
        _decode(),
        _decode_batch8(),
        _train(
            "float32", RatioBar("gpt4mm float32", ("zetascale",), 0.85),
            Contender("zetascale fused AdamW", "zetascale-fused", "train", input="batch8"),
            Contender("torch.compile", "compile", "train", input="batch8")),
        _train_bf16(avx512),
        *_checkpoint_rows(avx512),
    )


def beside_before(row: Row) -> Row:
    """The row with an older build's contender beside each of ours."""
    ours = [contender for contender in row.contenders if contender.is_ours and contender.work != "limits"]
    before = [
        replace(contender, name=contender.name.replace("gpt4mm", "before"), maker=BEFORE) for contender in ours]
    bars = (RatioBar(new.name, (old.name,), MOST_OF_BEFORE) for new, old in zip(ours, before))
    return replace(row, contenders=(*row.contenders, *before), bars=(*row.bars, *bars))


START = "start"  # no comparison, but stages of gpt4mm alone
NAMES = tuple(row.name for row in rows(avx512=True)) + (START,)
# Measured unless others are asked for; of the checkpoints the first alone.
DEFAULTS = tuple(name for name in NAMES if not name.startswith(CHECKPOINTS[1:]))


def named(name: str) -> tuple[str, ...]:
    """The row of this name, or all whose names begin with its words, such as a checkpoint's."""
    return (name,) if name in NAMES else tuple(row for row in NAMES if row.startswith(f"{name}-"))

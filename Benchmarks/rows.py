"""What is compared with what, and the bars to be reached."""

from dataclasses import dataclass

from bars import Bar, MemoryBar, RatioBar, ReadingBar, ThroughputBar


@dataclass(frozen=True)
class Contender:
    name: str
    maker: str  # "gpt4mm" or one of peers.py
    work: str
    precision: str = "float32"
    model: str = "zetascale"
    input: str = "one"
    batch: int | None = None

    @property
    def is_ours(self) -> bool:
        return self.maker == "gpt4mm"


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    contenders: tuple[Contender, ...]
    bars: tuple[Bar, ...]
    reference: Contender | None = None  # whose output is right
    limit: str = "compute"  # or "memory", or "none"
    note: str = ""


def _ours(work: str, precision: str = "float32", name: str = "", **more) -> Contender:
    return Contender(name or f"gpt4mm {precision}", "gpt4mm", work, precision, **more)


def _openvino(work: str, precision: str = "float32") -> Contender:
    return Contender(f"OpenVINO {precision}", "openvino", work, precision)


def _onnxruntime(work: str) -> Contender:
    return Contender("ONNX Runtime", "onnxruntime", work)


def _zetascale(work: str, **more) -> Contender:
    return Contender("zetascale", "zetascale", work, **more)


SHORT = {"float32": "fp32", "bfloat16": "bf16", "int8": "int8"}


def _forward(precision: str, *bars: Bar, peers: tuple[Contender, ...]) -> Row:
    ours = _ours("forward", precision)
    return Row(
        f"forward-{SHORT[precision]}", f"One picture of 256 x 256 and 50 tokens to logits, {precision}",
        (ours, *peers), (*bars, MemoryBar(ours.name, factor=1.25, plus=150_000_000)),
        reference=_zetascale("forward"))


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
        "nothing else.")


def _decode_batch8() -> Row:
    one, eight = (
        _ours("decode", name=f"gpt4mm batch {batch}", model="documented", input="prompt", batch=batch)
        for batch in (1, 8))
    return Row(
        "decode-batch8", "One more token for each of 8 texts against one text", (eight, one),
        (ThroughputBar(eight.name, one.name, gain=8, at_least=4),), limit="none")


def _train(name: str, precision: str, at_most: float) -> Row:
    ours = _ours("train", precision, input="batch8")
    peers = [_zetascale("train", input="batch8")]
    if precision == "float32":
        peers += [
            Contender("zetascale fused AdamW", "zetascale-fused", "train", input="batch8"),
            Contender("torch.compile", "compile", "train", input="batch8"),
        ]
    else:
        peers += [Contender("zetascale autocast", "zetascale", "train", precision, input="batch8")]
    return Row(
        name, f"A training step of 8 pictures with 50 tokens each, {precision}", (ours, *peers),
        (RatioBar(ours.name, ("zetascale",), at_most),), reference=peers[0])


ROWS = (
    _forward(
        "float32", RatioBar("gpt4mm float32", ("OpenVINO float32",), 0.95),
        RatioBar("gpt4mm float32", ("zetascale",), 0.55),
        peers=(
            _openvino("forward"), _onnxruntime("forward"), _zetascale("forward"),
            Contender("torch.compile", "compile", "forward"))),
    _forward(
        "bfloat16", RatioBar("gpt4mm bfloat16", ("OpenVINO bfloat16",), 0.95),
        peers=(
            _openvino("forward", "bfloat16"), Contender("zetascale autocast", "zetascale", "forward", "bfloat16"))),
    _forward(
        "int8", RatioBar("gpt4mm int8", ("OpenVINO bfloat16",), 0.65), peers=(_openvino("forward", "bfloat16"),)),
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
    _train("train-fp32", "float32", 0.85),
    _train("train-bf16", "bfloat16", 0.45),
)
START = "start"  # no comparison, but stages of gpt4mm alone
NAMES = tuple(row.name for row in ROWS) + (START,)

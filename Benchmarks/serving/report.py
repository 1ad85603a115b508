"""gpt4mm serve under load: against concurrency, beside itself without batching, and beside FastAPI with the same weights.

Usage: report.py --gpt4mm FILE [--models emoji,trocr-small,default] [--seconds 10] [--concurrency 1,2,...,64]
                 [--peer-concurrency 1,16] [--work FOLDER]

Every request has a new picture and is answered with 16 tokens. Beside gpt4mm stands transformers for trocr-small's shape, and
zetascale for the house's own family, which keeps nothing between tokens. Prints each line when it is measured; the last column
is how many times the requests per second of the other one gpt4mm answers.
"""

import argparse
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from load import Measurement, measure

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PICTURE = ROOT / "Examples" / "pictures" / "picture-1.jpg"
TOKENS = 16


def write_words(folder: Path, count: int) -> None:
    """A tokenizer with so many words, for weights that know no text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"[UNK]": 0} | {f"w{number}": number for number in range(1, count)}
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]").save_pretrained(folder)


def write_settings(folder: Path, side: int | None, start: int, end: int) -> None:
    """All texts are equally long, so that all do the same work."""
    (folder / "generation_config.json").write_text(json.dumps({
        "decoder_start_token_id": start, "eos_token_id": end, "pad_token_id": end, "min_new_tokens": TOKENS,
        "max_new_tokens": TOKENS}))
    if side:
        (folder / "preprocessor_config.json").write_text(json.dumps({
            "image_processor_type": "ViTImageProcessor", "do_resize": True, "size": {"height": side, "width": side},
            "resample": 3, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
            "image_mean": [0.5] * 3, "image_std": [0.5] * 3}))


def prepare(model: str, gpt4mm: Path, work: Path) -> Path:
    """The folder of a model that both servers read."""
    folder = work / model
    shutil.rmtree(folder, ignore_errors=True)
    if model == "emoji":
        shutil.copytree(ROOT / "Models" / "emoji", folder)
        write_settings(folder, None, 1, 2)
    elif model == "default":
        given = work / "default.json"
        given.write_text("{}")
        subprocess.run([gpt4mm, "init", "--config", given, "--seed", "1", "--out", folder], check=True, stdout=subprocess.DEVNULL)
        write_words(folder, 20000)
        write_settings(folder, 256, 1, 2)
    else:
        sys.path.append(str(ROOT / "Tests" / "Reference"))
        from family_full_size import make

        made = make(model, 1)
        made.save_pretrained(folder)
        write_words(folder, made.config.decoder.vocab_size)
        settings = made.generation_config
        write_settings(folder, made.config.encoder.image_size, settings.decoder_start_token_id, settings.eos_token_id)
    return folder


@contextmanager
def server(command: list, log: Path) -> Iterator[str]:
    """A server on a free port, once it answers; gives its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with open(log, "w") as output:
        process = subprocess.Popen([str(part).replace("PORT", str(port)) for part in command], stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):
            if process.poll() is not None:
                sys.exit(f"{command[0]} ended: {log.read_text()[-1000:]}")
            try:
                urllib.request.urlopen(f"{url}/health").close()
                break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait()


def overhead(url: str, model: str, picture: bytes, seconds: float) -> str:
    """What of a chat request is not the model's: one token for a picture that is remembered, less what a further token takes.

    What the model does once for a text counts as the server's, so it is less than that.
    """
    one, text = (measure(url, model, picture, 1, seconds, max_tokens=n, same=True).median * 1000 for n in (1, TOKENS))
    token = (text - one) / (TOKENS - 1)
    return f"one token takes {one:.2f} ms, a further one {token:.2f}: at most {one - token:.2f} ms are the server's and the client's"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpt4mm", type=Path, required=True)
    parser.add_argument("--models", default="emoji,trocr-small,default")
    parser.add_argument("--seconds", type=float, default=10, help="how long each line is measured")
    parser.add_argument("--concurrency", default="1,2,4,8,16,32,64")
    parser.add_argument("--peer-concurrency", default="1,16")
    parser.add_argument("--work", type=Path, default=HERE.parent / "results" / "serving")
    options = parser.parse_args()
    # Whoever stops this stops its servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options.work.mkdir(parents=True, exist_ok=True)
    picture = PICTURE.read_bytes()

    for model in options.models.split(","):
        folder = prepare(model, options.gpt4mm.resolve(), options.work)
        serve = [options.gpt4mm.resolve(), "serve", "--model", folder, "--name", model, "--port", "PORT", "--quiet", "--ignore-text"]
        ours: dict[int, Measurement] = {}

        def line(who: str, concurrency: int, url: str, stream: bool = False) -> Measurement:
            measured = measure(url, model, picture, concurrency, options.seconds, max_tokens=TOKENS, stream=stream)
            other = concurrency in ours and f"  {ours[concurrency].per_second / measured.per_second:.1f} x"
            print(f"{model:12s} {who:18s} {concurrency:3d} at once: {measured}{other or ''}", flush=True)
            return measured

        peers = list(map(int, options.peer_concurrency.split(",")))
        with server(serve, options.work / f"{model}.log") as url:
            if model == "emoji":  # Of larger ones too much is the model's.
                print(f"{model:12s} {overhead(url, model, picture, options.seconds)}", flush=True)
            measured = {c: line("gpt4mm", c, url) for c in map(int, options.concurrency.split(","))}
            for concurrency in measured:
                line("  to first token", concurrency, url, stream=True)
        ours |= measured
        with server([*serve, "--max-running", "1"], options.work / f"{model}-alone.log") as url:
            for concurrency in peers:
                line("without batching", concurrency, url)
        with server([sys.executable, HERE / "fastapi_peer.py", folder, "PORT"], options.work / f"{model}-peer.log") as url:
            for concurrency in peers:
                line("FastAPI", concurrency, url)


if __name__ == "__main__":
    main()

"""The usual way to serve a model in Python: FastAPI, uvicorn and transformers' generate, or zetascale, a request at a time in a
thread.

Usage: fastapi_peer.py FOLDER PORT
FOLDER is a checkpoint of Hugging Face, or a model folder of gpt4mm's own family, which zetascale runs. Takes the part of OpenAI's
API that load.py uses, and writes as many tokens as it asks for.
"""

import base64
import io
import json
import sys
import threading
from pathlib import Path

import anyio.to_thread
import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, Request
from PIL import Image

folder, port = Path(sys.argv[1]), int(sys.argv[2])
config = json.loads((folder / "config.json").read_text())
start = json.loads((folder / "generation_config.json").read_text())["decoder_start_token_id"]
lock = threading.Lock()
app = FastAPI()


def transformers_writer():
    """What writes a text for a picture with transformers."""
    from transformers import AutoImageProcessor, AutoTokenizer, VisionEncoderDecoderModel

    model = VisionEncoderDecoderModel.from_pretrained(folder).eval()
    processor = AutoImageProcessor.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def write(picture: Image.Image, count: int) -> str:
        pixels = processor(picture, return_tensors="pt").pixel_values
        tokens = model.generate(pixels, min_new_tokens=count, max_new_tokens=count, num_beams=1, do_sample=False)
        return tokenizer.batch_decode(tokens, skip_special_tokens=True)[0]

    return write


def zetascale_writer():
    """The same with zetascale."""
    sys.path.append(str(Path(__file__).parent.parent))
    from zetascale import load_zetascale

    model = load_zetascale(folder)
    side = config.get("image_size", 256)

    def write(picture: Image.Image, count: int) -> str:
        """zetascale keeps nothing between tokens: the whole model sees the picture and the text so far."""
        pixels = np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC), dtype=np.float32) / 127.5 - 1
        img, text = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous(), torch.tensor([[start]])
        for _ in range(count):
            text = torch.cat([text, model(img, text)[:, -1].argmax(-1, keepdim=True)], dim=1)
        return " ".join(map(str, text[0].tolist()))

    return write


write = transformers_writer() if "model_type" in config else zetascale_writer()


def answer(body: dict) -> str:
    """The text for a chat request's picture."""
    url = body["messages"][-1]["content"][0]["image_url"]["url"]
    picture = Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))).convert("RGB")
    # Two at once would take the cores from each other.
    with lock, torch.inference_mode():
        return write(picture, body["max_tokens"])


@app.get("/health")
async def health():
    return {"status": "ok"}


@app.post("/v1/chat/completions")
async def chat(request: Request):
    text = await anyio.to_thread.run_sync(answer, await request.json())
    return {"object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}


uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")

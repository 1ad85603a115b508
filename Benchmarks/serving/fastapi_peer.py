"""The usual way to serve a checkpoint in Python: FastAPI, uvicorn and transformers' generate, a request at a time in a thread.

Usage: fastapi_peer.py FOLDER PORT
Takes the part of OpenAI's API that load.py uses. Needs fastapi, uvicorn, torch, transformers and pillow.
"""

import base64
import io
import sys
import threading

import anyio.to_thread
import torch
import uvicorn
from fastapi import FastAPI, Request
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, VisionEncoderDecoderModel

folder, port = sys.argv[1:]
model = VisionEncoderDecoderModel.from_pretrained(folder).eval()
processor = AutoImageProcessor.from_pretrained(folder)
tokenizer = AutoTokenizer.from_pretrained(folder)
lock = threading.Lock()
app = FastAPI()


def write(body):
    url = body["messages"][-1]["content"][0]["image_url"]["url"]
    picture = Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))).convert("RGB")
    # Two at once would take the cores from each other.
    with lock, torch.inference_mode():
        pixels = processor(picture, return_tensors="pt").pixel_values
        tokens = model.generate(pixels, max_new_tokens=body["max_tokens"], num_beams=1, do_sample=False)
    return tokenizer.batch_decode(tokens, skip_special_tokens=True)[0]


@app.post("/v1/chat/completions")
async def chat(request: Request):
    text = await anyio.to_thread.run_sync(write, await request.json())
    return {"object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}


uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")

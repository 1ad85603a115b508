"""Sends what chat programs send, field for field, and checks the answers. Usage: recorded.py URL PICTURE"""

import base64
import json
import sys
import urllib.error
import urllib.request

url, path = sys.argv[1:]
data = "data:image/jpeg;base64," + base64.b64encode(open(path, "rb").read()).decode()


def post(body):
    request = urllib.request.Request(
        url + "/chat/completions", json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer sk-no-key-required"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


picture = {"type": "image_url", "image_url": {"url": data}}

# Open WebUI: the second turn of a chat; the first turn's picture is sent again.
status, body = post({
    "stream": True, "model": "emoji", "stream_options": {"include_usage": True}, "params": {}, "files": [],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": ""}, picture]},
        {"role": "assistant", "content": "owl"},
        {"role": "user", "content": [{"type": "text", "text": ""}, picture]}],
    "metadata": {"user_id": "1", "chat_id": "2", "features": {"web_search": False}, "variables": {}}})
assert status == 200 and body.endswith("data: [DONE]\n\n") and ": " not in [line[:2] for line in body.splitlines()], body

# Open WebUI: title, tags and follow-ups of a chat go to the same model.
status, body = post({
    "model": "emoji", "stream": False, "max_completion_tokens": 1000,
    "messages": [{"role": "user", "content": "### Task:\nGenerate a concise, 3-5 word title with an emoji"}]})
assert status == 400 and json.loads(body)["error"]["code"] == "image_required", body

# LibreChat: agents' defaults, detail, a system prompt and a user's id.
status, body = post({
    "model": "emoji", "user": "65f0c0ffee", "stream": True, "temperature": 1, "top_p": 1, "presence_penalty": 0,
    "frequency_penalty": 0, "seed": 3, "stream_options": {"include_usage": True}, "parallel_tool_calls": True,
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "image_url", "image_url": {"url": data, "detail": "auto"}}]}]})
assert status == 200 and "data: [DONE]" in body, body

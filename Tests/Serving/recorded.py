"""Sends what chat programs send, field for field, and checks the answers. Usage: recorded.py URL PICTURE"""

import base64
import json
import sys
import urllib.error
import urllib.request

url, path = sys.argv[1:]
data = "data:image/jpeg;base64," + base64.b64encode(open(path, "rb").read()).decode()


def post(body):
    """Status and body of the answer."""
    request = urllib.request.Request(
        url + "/chat/completions", json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer sk-no-key-required"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def image(**more):
    """The picture as a part of a message."""
    return {"type": "image_url", "image_url": {"url": data, **more}}


def check_stream(status, body):
    """Fails unless a whole text came, with its usage."""
    assert status == 200 and body.endswith("data: [DONE]\n\n"), body
    # Comments between events break clients that take each line for data.
    assert all(line == "" or line.startswith("data: ") for line in body.splitlines()), body
    chunks = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"]) == "owl", body
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] > 0, body


# Open WebUI, a chat's second turn: the page sends all turns again (open-webui/open-webui src/lib/components/chat/Chat.svelte:
# text, then pictures); features, variables, files, params, metadata and ids are taken out before the provider is asked, what is
# set in params is put beside them, and usage is asked for (backend/open_webui/utils/middleware.py, routers/openai.py).
check_stream(*post({
    "stream": True, "model": "emoji",
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, image()]},
        {"role": "assistant", "content": "owl"},
        {"role": "user", "content": [{"type": "text", "text": "And this?"}, image()]}],
    "temperature": 0.0, "top_p": 0.9, "max_tokens": 128, "frequency_penalty": 0.0, "seed": 0, "stop": ["\n\n"],
    "stream_options": {"include_usage": True}}))

# Open WebUI asks the same model for titles, tags and follow-ups (backend/open_webui/routers/tasks.py).
status, body = post({
    "model": "emoji",
    "messages": [{"role": "user", "content": "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history."}],
    "stream": False, "max_completion_tokens": 1000})
assert status == 400 and json.loads(body)["error"]["code"] == "image_required", body

# LibreChat, a chat's second turn with its settings left alone: text, then pictures with their detail
# (danny-avila/agents src/messages/format.ts, danny-avila/LibreChat api/server/services/Files/images/encode.js), in a body that
# @langchain/openai makes (langchain-ai/langchainjs libs/providers/langchain-openai/src/chat_models/completions.ts).
turns = [
    {"role": "user", "content": [{"type": "text", "text": "What is this?"}, image(detail="auto")]},
    {"role": "assistant", "content": "owl"},
    {"role": "user", "content": "Are you sure?"}]
check_stream(*post({
    "model": "emoji", "user": "65f0c0ffee65f0c0ffee65f0", "stream": True, "stream_options": {"include_usage": True},
    "messages": turns}))

# The same with every setting of its side panel (packages/api/src/endpoints/openai/llm.ts).
check_stream(*post({
    "model": "emoji", "temperature": 0, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0, "stop": ["###"],
    "user": "65f0c0ffee65f0c0ffee65f0", "stream": True, "stream_options": {"include_usage": True}, "verbosity": "low",
    "reasoning_effort": "low", "max_tokens": 256,
    "messages": [{"role": "system", "content": "Be brief."}] + turns}))

# LibreChat's title of a chat (danny-avila/agents src/utils/title.ts).
status, body = post({
    "model": "emoji", "user": "65f0c0ffee65f0c0ffee65f0", "stream": False,
    "messages": [{"role": "user", "content": "Provide a concise, 5-word-or-less title for the conversation.\n\nConversation:\nUser: What is this?\nAI: owl"}]})
assert status == 400 and json.loads(body)["error"]["code"] == "image_required", body

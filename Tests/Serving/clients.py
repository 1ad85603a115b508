"""What the clients of Python make of the server. Usage: clients.py URL PICTURE"""

import base64
import sys

import openai

url, path = sys.argv[1:]
data = "data:image/png;base64," + base64.b64encode(open(path, "rb").read()).decode()
messages = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": data}}]}]

client = openai.OpenAI(base_url=url, api_key="anything", max_retries=0)
answer = client.chat.completions.create(model="emoji", messages=messages, temperature=0)
assert answer.choices[0].message.content == "owl", answer
assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens

chunks = list(
    client.chat.completions.create(
        model="emoji", messages=messages, stream=True, stream_options={"include_usage": True}, logprobs=True,
        top_logprobs=2))
assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "owl", chunks
assert chunks[-1].usage.completion_tokens == 3, chunks[-1]
tokens = [t for c in chunks for choice in c.choices if choice.logprobs for t in choice.logprobs.content]
assert bytes(b for t in tokens for b in t.bytes) == b"owl" and all(len(t.top_logprobs) == 2 for t in tokens), tokens

three = client.chat.completions.create(model="emoji", messages=messages, n=3, temperature=1.5, seed=1)
again = client.chat.completions.create(model="emoji", messages=messages, n=3, temperature=1.5, seed=1)
assert [c.message.content for c in three.choices] == [c.message.content for c in again.choices]

assert [m.id for m in client.models.list()] == ["emoji"]
assert client.models.retrieve("emoji").owned_by == "gpt4mm"
try:
    client.chat.completions.create(model="other", messages=messages)
    raise AssertionError("an unknown model was accepted")
except openai.NotFoundError as error:
    assert error.code == "model_not_found", error
try:
    client.chat.completions.create(model="emoji", messages=[{"role": "user", "content": "title?"}])
    raise AssertionError("a request without a picture was accepted")
except openai.BadRequestError as error:
    assert error.code == "image_required" and error.param == "messages", error

with client.chat.completions.stream(model="emoji", messages=messages) as stream:
    for _ in stream:
        pass
    assert stream.get_final_completion().choices[0].message.content == "owl"

from langchain_openai import ChatOpenAI  # noqa: E402

chat = ChatOpenAI(model="emoji", base_url=url, api_key="anything", max_retries=0, max_tokens=50)
assert chat.invoke(messages).content == "owl"
assert "".join(chunk.content for chunk in chat.stream(messages)) == "owl"

import litellm  # noqa: E402

options = dict(model="openai/emoji", api_base=url, api_key="anything", messages=messages, num_retries=0)
assert litellm.completion(**options).choices[0].message.content == "owl"
parts = [chunk.choices[0].delta.content or "" for chunk in litellm.completion(stream=True, **options) if chunk.choices]
assert "".join(parts) == "owl", parts

"""Mixed, damaged and hostile requests, many of them; the server must answer all, never with 5xx, in memory that stays flat.

Usage: soak.py URL PID PICTURE REQUESTS
"""

import asyncio
import base64
import json
import random
import struct
import sys
import zlib
from urllib.parse import urlparse

url, pid, picture, count = urlparse(sys.argv[1]), int(sys.argv[2]), open(sys.argv[3], "rb").read(), int(sys.argv[4])
random = random.Random(1)


def chat(data, **fields):
    data = "data:image/jpeg;base64," + base64.b64encode(data).decode()
    return json.dumps({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": data}]}], **fields}).encode()


def damaged(data):
    data = bytearray(data)
    for _ in range(random.randint(1, 30)):
        data[random.randrange(len(data))] = random.randrange(256)
    return bytes(data[: random.choice([len(data), random.randrange(len(data))])])


def bomb():
    """A PNG file of few bytes that says it is 60,000 x 60,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + bytes(99)


def body():
    kind = random.randrange(12)
    if kind < 3:
        return chat(picture, max_tokens=random.randint(1, 8), temperature=random.choice([0, 1]), seed=random.randrange(99))
    if kind == 3:
        return chat(picture, stream=True, logprobs=True, n=random.randint(1, 3), temperature=1.0, max_tokens=6)
    if kind < 7:
        return chat(damaged(picture))
    if kind == 7:
        return damaged(chat(picture))
    if kind == 8:
        return random.choice([b"[" * 5000, b'{"messages":[' + b"1," * 30000, b'{"a":"' + b"\\u0000" * 3000, b"\xff" * 999, b""])
    if kind == 9:
        # A new picture each time, so that the cache has to let others go.
        return chat(picture + random.randbytes(16), max_tokens=1)
    if kind == 10:
        return chat(random.choice([b"\x89PNG\r\n\x1a\n" + random.randbytes(500), bomb(), b"<svg>", b"GIF89a" + random.randbytes(99)]))
    return json.dumps({"messages": [{"role": "user", "content": "title?"}], "x": list(range(random.randrange(900)))}).encode()


async def ask(data, statuses):
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        cut = random.random()
        request = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data)
        if cut < 0.03:
            request = request[: random.randrange(len(request))]
        writer.write(request)
        await writer.drain()
        if cut < 0.06:
            return
        answer = await reader.read()
        status = int(answer.split(b" ", 2)[1])
        statuses[status] = statuses.get(status, 0) + 1
        assert status < 500, (status, answer, data[:200])
    finally:
        writer.close()


def megabytes():
    return int(open(f"/proc/{pid}/statm").read().split()[1]) * 4096 / 1e6


async def main():
    statuses, left, memory = {}, [count], []

    async def worker():
        while left[0] > 0:
            left[0] -= 1
            if left[0] % max(1, count // 20) == 0:
                memory.append(round(megabytes()))
            await ask(body(), statuses)

    await asyncio.gather(*(worker() for _ in range(16)))
    print(f"statuses {dict(sorted(statuses.items()))}, MB {memory[0]} at the start, {memory[len(memory) // 2]} in the middle, "
          f"{memory[-1]} at the end, {memory}")
    assert statuses.get(200, 0) > count / 5 and statuses.get(400, 0) > count / 5, statuses
    settled = max(memory[len(memory) // 4 : len(memory) // 2])
    assert memory[-1] <= 1.1 * settled + 20, memory


asyncio.run(main())

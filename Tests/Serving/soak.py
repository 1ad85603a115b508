"""Mixed, damaged and hostile requests, many of them, from clients that are slow or leave; the server must answer all, never with
5xx, in memory that stays flat.

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
    """A chat's body."""
    data = "data:image/jpeg;base64," + base64.b64encode(data).decode()
    return json.dumps({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": data}]}], **fields}).encode()


def damaged(data):
    """Some bytes changed, and often cut off."""
    data = bytearray(data)
    for _ in range(random.randint(1, 30)):
        data[random.randrange(len(data))] = random.randrange(256)
    return bytes(data[: random.choice([len(data), random.randrange(len(data))])])


def bomb():
    """A PNG file of few bytes that says it is 60,000 x 60,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + bytes(99)


def conversation():
    """A chat's body, right or wrong."""
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
        return chat(no_picture())
    return json.dumps({"messages": [{"role": "user", "content": "title?"}], "x": list(range(random.randrange(900)))}).encode()


def no_picture():
    """Bytes that are no picture."""
    return random.choice([b"\x89PNG\r\n\x1a\n" + random.randbytes(500), bomb(), b"<svg>", b"GIF89a" + random.randbytes(99)])


def form(data):
    """A form's body with a picture."""
    head = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n'
    whole = head % b"prompt" + b"\r\n" + head % b"image" + data + b"\r\n--x--\r\n"
    return whole if random.random() < 0.8 else damaged(whole)


def request():
    """Path, type and body."""
    kind = random.randrange(10)
    if kind < 6:
        return b"/v1/chat/completions", b"application/json", conversation()
    if kind < 8:
        return b"/v1/explain", b"application/json", conversation()
    data = random.choice([picture, picture, damaged(picture), picture + random.randbytes(16), no_picture()])
    if kind == 8:
        return b"/v1/caption", b"image/jpeg", data
    return b"/v1/caption", b"multipart/form-data; boundary=x", form(data)


async def send(writer, data, is_slow):
    """Sends all, in parts with pauses where it is to be slow."""
    parts = 8 if is_slow else 1
    for part in range(parts):
        writer.write(data[len(data) * part // parts : len(data) * (part + 1) // parts])
        await writer.drain()
        await asyncio.sleep(0.05 if is_slow else 0)


async def ask(statuses):
    """One request, of which some clients do not hear the answer."""
    path, kind, data = request()
    way = random.random()
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        whole = b"POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (
            path, kind, len(data), data)
        if way < 0.03:  # Leaves before all is sent.
            return await send(writer, whole[: random.randrange(len(whole))], False)
        await send(writer, whole, is_slow=way > 0.98)
        if way < 0.06:  # Leaves without waiting.
            return
        answer = await reader.read(200 if way < 0.12 else 1 << 16)
        if way < 0.09:  # Leaves while it is answered.
            return
        while part := await reader.read(200 if way < 0.12 else 1 << 16):
            answer += part
            if way < 0.1:  # Reads slowly.
                await asyncio.sleep(0.01)
        status = int(answer.split(b" ", 2)[1])
        statuses[path, status] = statuses.get((path, status), 0) + 1
        assert status < 500, (status, answer, data[:200])
    finally:
        writer.close()


def megabytes():
    """What the server holds in memory."""
    return int(open(f"/proc/{pid}/statm").read().split()[1]) * 4096 / 1e6


async def main():
    statuses, left, memory = {}, [count], []

    async def worker():
        while left[0] > 0:
            left[0] -= 1
            if left[0] % max(1, count // 20) == 0:
                memory.append(round(megabytes()))
            await ask(statuses)

    await asyncio.gather(*(worker() for _ in range(16)))
    for (path, status), number in sorted(statuses.items()):
        print(f"{path.decode()} {status}: {number}")
    print(f"MB {memory[0]} at the start, {memory[len(memory) // 2]} in the middle, {memory[-1]} at the end, {memory}")
    for path in [b"/v1/chat/completions", b"/v1/explain", b"/v1/caption"]:
        assert statuses.get((path, 200), 0) > count / 50 < statuses.get((path, 400), 0), statuses
    settled = max(memory[len(memory) // 4 : len(memory) // 2])
    # A short run ends before the cache of pictures is full.
    assert memory[-1] <= 1.1 * settled + 64, memory


asyncio.run(main())

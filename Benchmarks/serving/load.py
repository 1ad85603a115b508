"""Requests per second and latency of a server that speaks OpenAI's API, at several concurrencies.

Usage: load.py URL MODEL PICTURE [--seconds X] [--max-tokens N] [--concurrency 1,4,16,64] [--stream] [--same]
Prints a line per concurrency: requests per second, median and 99th percentile of the latency; with --stream the time to the
first token instead.
"""

import argparse
import asyncio
import base64
import json
import os
import time
from dataclasses import dataclass
from urllib.parse import urlparse


@dataclass(frozen=True)
class Measurement:
    """What so many clients at once saw, each of which asks again as soon as it is answered."""

    requests: int
    per_second: float
    median: float
    p99: float

    def __str__(self) -> str:
        return (f"{self.per_second:7.2f} requests/s, p50 {1000 * self.median:7.1f} ms, p99 {1000 * self.p99:7.1f} ms "
                f"({self.requests} requests)")


def chat(model: str, picture: bytes, max_tokens: int, stream: bool, same: bool) -> bytes:
    """A request as it goes over the wire."""
    # Bytes behind the end of a JPEG make another file of the same picture.
    data = "data:image/jpeg;base64," + base64.b64encode(picture if same else picture + os.urandom(9)).decode()
    body = json.dumps({
        "model": model, "max_tokens": max_tokens, "temperature": 0, "stream": stream,
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": data}}]}]}).encode()
    return (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body) + body)


async def ask(reader, writer, request: bytes) -> float:
    """Seconds until the answer, or until the first token of a stream."""
    began = time.perf_counter()
    writer.write(request)
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert int(head.split(b" ", 2)[1]) == 200, head
    first = None
    if b"chunked" in head:
        while size := int(await reader.readline(), 16):
            part = await reader.readexactly(size + 2)
            if first is None and b'"content":"' in part and b'"content":""' not in part:
                first = time.perf_counter() - began
        await reader.readline()
    else:
        await reader.readexactly(next(int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.startswith(b"content-length")))
    return first or time.perf_counter() - began


async def clients(url: str, make, concurrency: int, seconds: float) -> Measurement:
    """So many clients for so many seconds."""
    address, times = urlparse(url), []
    began = time.perf_counter()

    async def client() -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        times.append(await ask(reader, writer, make()))
        while time.perf_counter() < began + seconds:
            times.append(await ask(reader, writer, make()))
        writer.close()

    await asyncio.gather(*(client() for _ in range(concurrency)))
    # What was begun in time is waited for and counted, its time too.
    took = time.perf_counter() - began
    times.sort()
    return Measurement(len(times), len(times) / took, times[len(times) // 2], times[int(len(times) * 0.99)])


def measure(
    url: str, model: str, picture: bytes, concurrency: int, seconds: float, *, max_tokens: int = 16, stream: bool = False,
    same: bool = False,
) -> Measurement:
    """After a request of each client as a warm-up."""
    make = lambda: chat(model, picture, max_tokens, stream, same)  # noqa: E731
    asyncio.run(clients(url, make, concurrency, 0))
    return asyncio.run(clients(url, make, concurrency, seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("model")
    parser.add_argument("picture")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--max-tokens", type=int, default=16)
    parser.add_argument("--concurrency", default="1,4,16,64")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--same", action="store_true", help="send one picture again and again, which is encoded once")
    options = parser.parse_args()
    picture = open(options.picture, "rb").read()
    for concurrency in map(int, options.concurrency.split(",")):
        measured = measure(
            options.url, options.model, picture, concurrency, options.seconds, max_tokens=options.max_tokens,
            stream=options.stream, same=options.same)
        print(f"{concurrency:3d} at once: {measured}{' to the first token' if options.stream else ''}", flush=True)


if __name__ == "__main__":
    main()
